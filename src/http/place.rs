//! Where a listener is: `address:port`, or `unix:/path`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A unix socket, for our own user alone.
    Unix(PathBuf),
}

impl Place {
    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        match self {
            Place::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Place::Unix(_) => true,
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let bad = || format!("{text:?} is neither address:port, with an IP address, nor unix:/path");
        match text.strip_prefix("unix:") {
            // Both `unix:/path` and `unix:///path` are in use.
            Some(path) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.starts_with('/') { Ok(Place::Unix(path.into())) } else { Err(bad()) }
            }
            None => text.parse().map(Place::Tcp).map_err(|_| bad()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_socket() {
        for (text, shown, local) in [
            ("127.0.0.1:4000", "127.0.0.1:4000", true),
            ("127.0.0.2:4000", "127.0.0.2:4000", true),
            ("[::1]:4000", "[::1]:4000", true),
            ("[::ffff:127.0.0.1]:4000", "[::ffff:127.0.0.1]:4000", true),
            ("0.0.0.0:4000", "0.0.0.0:4000", false),
            ("[::]:4000", "[::]:4000", false),
            ("192.0.2.1:80", "192.0.2.1:80", false),
            ("unix:/run/x.sock", "unix:/run/x.sock", true),
            ("unix:///run/x.sock", "unix:/run/x.sock", true),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!((place.to_string().as_str(), place.is_local()), (shown, local), "{text}");
        }
        for bad in ["", "4000", "localhost:4000", "unix:x.sock", "127.0.0.1", "127.0.0.1:70000"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
