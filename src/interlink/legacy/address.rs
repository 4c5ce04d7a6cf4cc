//! The addresses in InterLink's URLs: `http://0.0.0.0`, `unix:///run/plugin.sock`, `http://localhost`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Where a URL says that somebody listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// On a unix socket.
    Socket(PathBuf),
    /// On an address of ours, or all.
    Ip(IpAddr),
    /// Under a name, which is where callers call.
    Name(String),
}

/// Reads a URL; the ports are keys of their own.
pub(super) fn read(url: &str) -> Result<Address, String> {
    if let Some(path) = url.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path.starts_with('/') {
            true => Ok(Address::Socket(path.into())),
            false => Err("a socket needs an absolute path".to_owned()),
        };
    }
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or(url);
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains("://") || host.is_empty() {
        return Err("is neither http(s)://address nor unix:///path".to_owned());
    }
    let in_brackets = host.strip_prefix('[').and_then(|host| host.split(']').next());
    let host = match in_brackets {
        Some(host) => host,
        None if host.parse::<Ipv6Addr>().is_ok() => host,
        // A port in a URL was never looked at.
        None => host.split(':').next().unwrap_or_default(),
    };
    Ok(match host {
        "localhost" => Address::Ip(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().map_or_else(|_| Address::Name(host.to_owned()), Address::Ip),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_every_age_are_read() {
        let ip = |text: &str| Address::Ip(text.parse().unwrap());
        for (url, address) in [
            ("http://localhost", ip("127.0.0.1")),
            ("http://127.0.0.1", ip("127.0.0.1")),
            ("http://0.0.0.0", ip("0.0.0.0")),
            ("https://0.0.0.0/", ip("0.0.0.0")),
            ("http://0.0.0.0:3000", ip("0.0.0.0")),
            ("http://[::]:3000", ip("::")),
            ("::1", ip("::1")),
            ("127.0.0.2", ip("127.0.0.2")),
            ("http://interlink", Address::Name("interlink".to_owned())),
            ("https://edge.example.org:8443/x", Address::Name("edge.example.org".to_owned())),
            ("unix:///run/p.sock", Address::Socket("/run/p.sock".into())),
            ("unix:/run/p.sock", Address::Socket("/run/p.sock".into())),
        ] {
            assert_eq!(read(url), Ok(address), "{url}");
        }
        for bad in ["", "http://", "unix://p.sock"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
