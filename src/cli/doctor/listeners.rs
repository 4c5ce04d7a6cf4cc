//! Where callers come in: places that are free, or ours already, and not open to everybody by mistake.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::super::door::{self, Listener};
use super::finding::Finding;
use crate::config::CallerSettings;
use crate::http::place::Place;

const CHECK: &str = "listener";

/// Everything about them; `running` when an operator runs with the same data folder.
pub fn check(listeners: &[Listener], settings: &CallerSettings, running: bool) -> Vec<Finding> {
    // What is wrong with tokens has been said.
    let checks = door::checks(settings).unwrap_or_default();
    let of_one = |listener: &Listener| {
        let place = match &listener.place {
            Place::Tcp(address) => tcp(*address, running),
            Place::Unix(path) => unix(path, running),
        };
        let open = door::callers(listener, settings, &checks).err();
        // The API server asks who they are.
        let open = open.filter(|_| settings.interlink_token_review_users.is_empty());
        let open = open.map(|why| Finding::failed(CHECK, why.to_string(), "choose one of these"));
        [Some(place), open]
    };
    listeners.iter().flat_map(of_one).flatten().collect()
}

fn tcp(address: SocketAddr, running: bool) -> Finding {
    let port = address.port();
    match TcpListener::bind(address).map_err(|why| why.kind()) {
        Ok(_) => Finding::ok(CHECK, format!("{address} is free")),
        Err(ErrorKind::AddrInUse) if running => {
            Finding::ok(CHECK, format!("{address} is in use, as it should be: an operator runs"))
        }
        Err(ErrorKind::AddrInUse) => Finding::failed(
            CHECK,
            format!("another program listens on {address}"),
            format!("see which: ss -ltnp 'sport = :{port}'; end it, or choose another port"),
        ),
        Err(ErrorKind::AddrNotAvailable) => Finding::failed(
            CHECK,
            format!("{address} is no address of this machine"),
            "choose one of its own",
        ),
        Err(ErrorKind::PermissionDenied) => Finding::failed(
            CHECK,
            format!("{address} is not for ordinary users"),
            "choose a port above 1023, or let systemd give the right: AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ),
        Err(why) => Finding::failed(CHECK, format!("{address}: {why}"), "choose another address"),
    }
}

fn unix(path: &Path, running: bool) -> Finding {
    let shown = path.display();
    match UnixStream::connect(path).is_ok() {
        true if running => Finding::ok(CHECK, format!("{shown} answers, as it should: an operator runs")),
        true => {
            let remedy = "end it, or choose another path";
            Finding::failed(CHECK, format!("another program listens on {shown}"), remedy)
        }
        false => Finding::ok(CHECK, format!("{shown} is free")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_or_ours_or_somebody_elses() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(tcp(address, false).has_failed());
        assert!(!tcp(address, true).has_failed());
        drop(taken);
        assert!(!tcp(address, false).has_failed());
        // RFC 5737: an address that nobody has.
        assert!(tcp("192.0.2.1:4000".parse().unwrap(), true).has_failed());
    }

    #[test]
    fn a_socket_that_answers_is_ours_or_somebody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i.sock");
        assert!(!unix(&path, false).has_failed());
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(unix(&path, false).has_failed());
        assert!(!unix(&path, true).has_failed());
        drop(listener);
        assert!(!unix(&path, false).has_failed(), "what a killed operator left");
    }
}
