//! Host names without the C library: it would load NSS modules of the worker into a static
//! program. Addresses, `/etc/hosts`, then DNS as `/etc/resolv.conf` says.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::dns;

/// No more than this are tried, as in the C library.
const SERVERS: usize = 3;
/// As in the C library, where resolv.conf gives no other.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// Even without a limit of the caller.
const LONGEST: Duration = Duration::from_secs(30);

/// What this machine knows of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    hosts: Vec<(String, IpAddr)>,
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
    timeout: Duration,
    attempts: u32,
}

impl Names {
    /// Reads the files of this machine; one that is missing is empty.
    pub fn of_this_machine() -> Names {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Names::parse(&read("/etc/hosts"), &read("/etc/resolv.conf"))
    }

    /// From the text of the two files.
    pub fn parse(hosts: &str, resolv_conf: &str) -> Names {
        let mut names = Names {
            hosts: hosts.lines().flat_map(host_line).collect(),
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: DEFAULT_TIMEOUT,
            attempts: 2,
        };
        for line in resolv_conf.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    names.servers.extend(words.next().and_then(|ip| ip.parse().ok()).map(dns_port))
                }
                Some("search" | "domain") => names.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|option| names.option(option)),
                _ => {}
            }
        }
        names.servers.truncate(SERVERS);
        if names.servers.is_empty() {
            names.servers.push(dns_port(Ipv4Addr::LOCALHOST.into()));
        }
        names
    }

    /// Asks these servers instead.
    pub fn with_servers(self, servers: Vec<SocketAddr>) -> Names {
        Names { servers, ..self }
    }

    fn option(&mut self, option: &str) {
        let Some((name, Ok(value))) = option.split_once(':').map(|(n, v)| (n, v.parse::<u32>())) else {
            return;
        };
        match name {
            "ndots" => self.ndots = value.min(15) as usize,
            "timeout" => self.timeout = Duration::from_secs(value.clamp(1, 30).into()),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// All addresses of a host; empty when nobody knows it.
    pub fn look_up(&self, host: &str, limit: Duration) -> Vec<IpAddr> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let local: Vec<_> = self
            .hosts
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(host))
            .map(|(_, ip)| *ip)
            .collect();
        if !local.is_empty() {
            return local;
        }
        if host.eq_ignore_ascii_case("localhost") {
            return vec![Ipv4Addr::LOCALHOST.into()];
        }
        let deadline = Instant::now() + limit.min(LONGEST);
        let found = |name: &String| Some(self.ask(name, deadline)).filter(|found| !found.is_empty());
        self.candidates(host).iter().find_map(found).unwrap_or_default()
    }

    /// The full names to ask for, in the order of resolv.conf(5).
    fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let mut all: Vec<_> =
            self.search.iter().map(|domain| format!("{host}.{}", domain.trim_matches('.'))).collect();
        let dots = host.matches('.').count();
        all.insert(if dots >= self.ndots { 0 } else { all.len() }, host.to_owned());
        all
    }

    /// The first server that answers decides.
    fn ask(&self, name: &str, deadline: Instant) -> Vec<IpAddr> {
        for _ in 0..self.attempts {
            for server in &self.servers {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Vec::new();
                }
                if let Ok(addresses) = dns::query(*server, name, self.timeout.min(left)) {
                    return addresses;
                }
            }
        }
        Vec::new()
    }
}

fn dns_port(ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, 53)
}

fn host_line(line: &str) -> Vec<(String, IpAddr)> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let Some(Ok(address)) = words.next().map(str::parse) else { return Vec::new() };
    words.map(|name| (name.to_owned(), address)).collect()
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let mut found = self.empty();
        for ip in self.look_up(host, *timeout.after).into_iter().take(16) {
            found.push(SocketAddr::new(ip, port));
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: &str =
        "# comment\n127.0.0.1 localhost\n10.0.0.1 ap.pool.test ap # main\n::1 six\nbad name\n";

    fn names(resolv_conf: &str) -> Names {
        Names::parse(HOSTS, resolv_conf)
    }

    #[test]
    fn addresses_and_known_hosts_need_no_server() {
        let names = names("nameserver 192.0.2.1");
        let one = |host| names.look_up(host, Duration::ZERO).first().map(ToString::to_string);
        assert_eq!(one("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(one("[2001:db8::1]").as_deref(), Some("2001:db8::1"));
        assert_eq!(one("AP").as_deref(), Some("10.0.0.1"));
        assert_eq!(one("six").as_deref(), Some("::1"));
        assert_eq!(one("unknown.test"), None);
    }

    #[test]
    fn short_names_are_searched_first_and_long_ones_as_they_are() {
        let names = names("search a.test b.test.\noptions ndots:2 timeout:1");
        assert_eq!(names.candidates("x"), ["x.a.test", "x.b.test", "x"]);
        assert_eq!(names.candidates("x.y.z"), ["x.y.z", "x.y.z.a.test", "x.y.z.b.test"]);
        assert_eq!(names.candidates("x."), ["x"]);
        assert_eq!(names.timeout, Duration::from_secs(1));
        assert_eq!(names.servers, ["127.0.0.1:53".parse().unwrap()]);
    }
}
