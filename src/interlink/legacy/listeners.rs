//! Where to listen: both hops of InterLink end here, on one port or two. On an address that others reach
//! only where callers are asked who they are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::address::Address;
use super::keys::Hop;
use super::settle::Entry;
use super::{Given, Listener, Row, Verdict};
use crate::http::place::Place;

/// The API server's port where a URL says nothing of one.
const KUBELET_PORT: u16 = 3000;
/// The ports of the plugins for Docker and Slurm where a URL says nothing of one.
const DOCKER_PORT: u16 = 4000;
const SLURM_PORT: u16 = 4001;

/// A key that says where to listen.
pub(super) struct Part {
    pub hop: Hop,
    pub asked: Asked,
    /// Whether it was a flag.
    pub is_flag: bool,
    pub entry: Entry,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Port(u16),
    Address(Address),
    Service(String),
}

/// The listeners, and a row for each key.
pub(super) fn listeners(
    given: &Given,
    parts: Vec<Part>,
    tls: bool,
    needs_certificate: bool,
) -> (Vec<Listener>, Vec<Row>) {
    let (mut found, mut rows): (Vec<Listener>, Vec<Row>) = (Vec::new(), Vec::new());
    let (counted, passed): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|part| part.is_flag || !given.listens);
    for part in passed {
        rows.push(part.entry.row(Verdict::Ignored, "--interlink-listen says where we listen"));
    }
    for hop in [Hop::Kubelet, Hop::Api] {
        let of_hop: Vec<&Part> = counted.iter().filter(|part| part.hop == hop).collect();
        let tls = tls && hop == Hop::Kubelet;
        let asks = given.asks || (needs_certificate && hop == Hop::Kubelet);
        let Some((place, moved)) = place(hop, &of_hop, asks, given.insecure_public) else {
            rows.extend(of_hop.iter().map(|part| row(part, None, false)));
            continue;
        };
        rows.extend(of_hop.iter().map(|part| row(part, Some(&place), moved)));
        let port = |place: &Place| match place {
            Place::Tcp(address) => Some(address.port()),
            Place::Unix(_) => None,
        };
        // One port of two addresses: the kubelet's comes first, and serves both.
        if !found
            .iter()
            .any(|l| l.place == place || (port(&l.place).is_some() && port(&l.place) == port(&place)))
        {
            found.push(Listener { place, tls });
        }
    }
    (found, rows)
}

/// Where callers of this hop are listened for, and whether that is elsewhere than was asked for.
fn place(hop: Hop, parts: &[&Part], asks: bool, insecure: bool) -> Option<(Place, bool)> {
    // What counts more comes first.
    let address = parts.iter().find_map(|part| match &part.asked {
        Asked::Address(address) if !matches!(address, Address::Name(_)) => Some(address),
        _ => None,
    });
    let port = parts.iter().find_map(|part| match part.asked {
        Asked::Port(port) => Some((port, part.is_flag)),
        _ => None,
    });
    let service = parts.iter().find_map(|part| match &part.asked {
        Asked::Service(service) => Some(service.as_str()),
        _ => None,
    });
    let usual = match (hop, service) {
        (Hop::Kubelet, _) => KUBELET_PORT,
        (Hop::Api, Some("slurm")) => SLURM_PORT,
        (Hop::Api, _) => DOCKER_PORT,
    };
    let tcp = |ip: IpAddr, port: u16| {
        let place = Place::Tcp(SocketAddr::new(ip, port));
        match place.is_local() || asks || insecure {
            true => (place, false),
            false => (Place::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)), true),
        }
    };
    match (address, port) {
        // A flag for a port counts more than a file's socket.
        (Some(Address::Socket(path)), port) if !port.is_some_and(|(_, is_flag)| is_flag) => {
            Some((Place::Unix(path.clone()), false))
        }
        (Some(Address::Ip(ip)), port) => Some(tcp(*ip, port.map_or(usual, |(port, _)| port))),
        (_, Some((port, is_flag))) => {
            let all = is_flag && insecure;
            let ip = if all { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
            Some(tcp(ip.into(), port))
        }
        // Only the plugins that it names had a port of their own.
        (_, None) if matches!(service, Some("docker" | "slurm")) => {
            Some(tcp(Ipv4Addr::LOCALHOST.into(), usual))
        }
        _ => None,
    }
}

fn row(part: &Part, place: Option<&Place>, moved: bool) -> Row {
    let entry = &part.entry;
    match (&part.asked, place) {
        (Asked::Service(service), place) => {
            let port = match (service.as_str(), place) {
                ("docker" | "slurm", Some(place)) => format!("its port is served ({place}); "),
                _ => String::new(),
            };
            entry.row(Verdict::Ignored, format!("{port}jobs go to HTCondor"))
        }
        (Asked::Address(Address::Name(_)), _) => entry
            .row(Verdict::Ignored, "a name is where callers call; --interlink-listen says where we listen"),
        (Asked::Address(_), Some(place)) if moved => entry.row(
            Verdict::Refused,
            format!(
                "nobody is asked who he is, so only {place} is served: set --interlink-token-file, client \
                 certificates or an issuer, or --insecure-public"
            ),
        ),
        (Asked::Port(_), Some(place @ Place::Unix(_))) => {
            entry.row(Verdict::Ignored, format!("{place} is served instead"))
        }
        (_, Some(place)) => entry.row(Verdict::Honoured, format!("{place} is served")),
        (_, None) => entry.row(Verdict::Ignored, "nothing is served there"),
    }
}
