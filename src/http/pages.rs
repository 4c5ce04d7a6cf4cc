//! What a web page in a browser of this machine must not do: it can make the browser call a port of the loopback,
//! and, by a name of its own that it points there (DNS rebinding), read the answer too. Programs are not browsers:
//! they send neither `Origin` nor `Sec-Fetch-Site`, and call us by a name of ours.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};
use rustix::system::uname;

/// The names by which callers may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// `localhost`, the name of this machine, and these. An address is always ours: no page has one as its name.
    pub fn new(more: &[String]) -> Hosts {
        let machine = uname().nodename().to_string_lossy().into_owned();
        let names = ["localhost".to_owned(), machine].into_iter().chain(more.iter().cloned());
        Hosts(names.map(|name| canonical(&name)).filter(|name| !name.is_empty()).collect())
    }

    fn has(&self, host: &str) -> bool {
        let name = canonical(host);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok() || self.0.contains(&name)
    }
}

/// Without a port and the dot of the root, in small letters.
fn canonical(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    };
    name.trim().trim_end_matches('.').to_ascii_lowercase()
}

/// Why a request is not taken from where it comes, in words for the log and for its sender.
pub fn refusal(uri: &Uri, headers: &HeaderMap, hosts: Option<&Hosts>) -> Option<String> {
    if let Some(origin) = headers.get(ORIGIN) {
        return Some(format!("pages of browsers may not call (Origin {})", shown(origin.as_bytes())));
    }
    // A person who types the address sends `none`.
    if let Some(site) = headers.get("sec-fetch-site").filter(|site| *site != "none") {
        return Some(format!("pages of browsers may not call (Sec-Fetch-Site {})", shown(site.as_bytes())));
    }
    let hosts = hosts?;
    let named = uri.authority().map(|authority| authority.as_str().as_bytes());
    // Of two that differ none counts; HTTP/1.0 has none.
    let mut all = named.into_iter().chain(headers.get_all(HOST).iter().map(|host| host.as_bytes()));
    let foreign = all.find(|host| !std::str::from_utf8(host).is_ok_and(|host| hosts.has(host)))?;
    Some(format!(
        "{} is not a name of this endpoint: --interlink-host-names says by which names callers may call",
        shown(foreign)
    ))
}

/// Foreign words, short and on one line.
fn shown(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes).chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str, headers: &[(&'static str, &str)], hosts: Option<&Hosts>) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        refusal(&uri.parse().unwrap(), &map, hosts).is_some()
    }

    #[test]
    fn a_page_is_refused_and_a_program_and_a_person_are_not() {
        for (headers, is) in [
            (&[][..], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "null")], true),
            (&[("origin", "http://localhost:4000")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "same-origin")], true),
        ] {
            assert_eq!(refused("/create", headers, None), is, "{headers:?}");
        }
    }

    #[test]
    fn callers_call_by_an_address_or_by_a_name_of_ours() {
        let hosts = Hosts::new(&["Edge.example.org".to_owned(), "plugin:4000".to_owned()]);
        let machine = uname().nodename().to_string_lossy().into_owned();
        for good in [
            "localhost",
            "LocalHost:4000",
            "127.0.0.1:4000",
            "127.0.0.2",
            "[::1]:4000",
            "[::1]",
            "192.0.2.1:3000",
            "edge.example.org",
            "edge.example.org.:3000",
            "plugin",
            &machine,
        ] {
            assert!(!refused("/status", &[("host", good)], Some(&hosts)), "{good}");
        }
        let mine = format!("{machine}.evil.example");
        for bad in [
            "evil.example:4000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "[evil.example]",
            &mine,
        ] {
            assert!(refused("/status", &[("host", bad)], Some(&hosts)), "{bad}");
            assert!(!refused("/status", &[("host", bad)], None), "who shows a token may call by any name");
        }
        assert!(!refused("/status", &[], Some(&hosts)), "HTTP/1.0 names no host");
        assert!(refused("/status", &[("host", "localhost"), ("host", "evil.example")], Some(&hosts)));
        assert!(refused("http://evil.example/status", &[("host", "localhost")], Some(&hosts)));
    }
}
