//! Where callers come in: places that are free, or ours already, and not open to everybody by mistake.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use reqwest::{Client, StatusCode};
use rustix::fs::{Access, access};
use serde_json::Value;

use super::super::door::{self, Listener};
use super::finding::Finding;
use crate::config::CallerSettings;
use crate::http::place::Place;
use crate::limits::NEIGHBOUR_PATIENCE;

const CHECK: &str = "listener";
const HEALTH: &str = "health";

/// What is there beside the listeners.
pub struct Around<'a> {
    /// Whether an operator runs with the same data folder.
    pub running: bool,
    /// Folders that the first start makes.
    pub made: &'a [&'a Path],
}

/// Everything about them.
pub async fn check(listeners: &[Listener], settings: &CallerSettings, around: Around<'_>) -> Vec<Finding> {
    // What is wrong with tokens has been said.
    let checks = door::checks(settings).unwrap_or_default();
    let mut findings = Vec::new();
    for listener in listeners {
        findings.push(place(listener, &around).await);
        let open = door::callers(listener, settings, &checks).err();
        // The API server asks who they are.
        let open = open.filter(|_| settings.interlink_token_review_users.is_empty());
        findings.extend(open.map(|why| Finding::failed(CHECK, why.to_string(), "choose one of these")));
    }
    findings
}

async fn place(listener: &Listener, around: &Around<'_>) -> Finding {
    let found = match &listener.place {
        Place::Tcp(address) => tcp(CHECK, *address),
        Place::Unix(path) => unix(path, around.made),
    };
    match found {
        Err(taken) if around.running => ours(listener).await.unwrap_or(taken),
        Ok(finding) | Err(finding) => finding,
    }
}

/// The address of health and metrics; `chosen` when the start ends without it.
pub async fn check_health(address: SocketAddr, chosen: bool, running: bool) -> Finding {
    let taken = match tcp(HEALTH, address) {
        Ok(finding) => return finding,
        Err(taken) => taken,
    };
    if running && matches!(ask(&Place::Tcp(address), "/healthz").await, Ok((_, said)) if said == "ok\n") {
        return Finding::ok(HEALTH, format!("{address} answers, as it should: an operator runs"));
    }
    match chosen {
        true => taken,
        false => Finding::warning(
            HEALTH,
            format!("{}: there would be no health and no metrics", taken.found),
            "set --health-listen",
        ),
    }
}

/// What is found at a TCP address; an error when somebody has it.
fn tcp(check: &'static str, address: SocketAddr) -> Result<Finding, Finding> {
    let port = address.port();
    Ok(match TcpListener::bind(address).map_err(|why| why.kind()) {
        Ok(_) => Finding::ok(check, format!("{address} is free")),
        Err(ErrorKind::AddrInUse) => {
            return Err(Finding::failed(
                check,
                format!("another program listens on {address}"),
                format!("see which: ss -ltnp 'sport = :{port}'; end it, or choose another port"),
            ));
        }
        Err(ErrorKind::AddrNotAvailable) => Finding::failed(
            check,
            format!("{address} is no address of this machine"),
            "choose one of its own",
        ),
        Err(ErrorKind::PermissionDenied) => Finding::failed(
            check,
            format!("{address} is not for ordinary users"),
            "choose a port above 1023, or let systemd give the right: AmbientCapabilities=CAP_NET_BIND_SERVICE",
        ),
        Err(why) => Finding::failed(check, format!("{address}: {why}"), "choose another address"),
    })
}

/// What is found at a path; an error when somebody answers there.
fn unix(path: &Path, made: &[&Path]) -> Result<Finding, Finding> {
    let (shown, folder) = (path.display(), path.parent().unwrap_or(Path::new("/")));
    if UnixStream::connect(path).is_ok() {
        let remedy = "end it, or choose another path";
        return Err(Finding::failed(CHECK, format!("another program listens on {shown}"), remedy));
    }
    let is_free = Finding::ok(CHECK, format!("{shown} is free"));
    Ok(match fs::symlink_metadata(path).map(|meta| meta.file_type().is_socket()) {
        Ok(false) => Finding::failed(
            CHECK,
            format!("{shown} is there and no socket"),
            "choose another path, or remove it if nobody needs it",
        ),
        _ if made.iter().any(|made| made.starts_with(folder) && !folder.exists()) => is_free,
        _ => match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => is_free,
            Err(why) => Finding::failed(
                CHECK,
                format!("no socket can be made in {}: {why}", folder.display()),
                "make the folder, owned by this user, or choose another path",
            ),
        },
    })
}

/// Whether it is the operator that runs who has this place, as far as can be told.
async fn ours(listener: &Listener) -> Option<Finding> {
    let place = &listener.place;
    let taken_for_it = |why| {
        let found = format!("{place} is in use and {why}: the operator that runs is taken for it");
        Some(Finding::warning(CHECK, found, "stop the operator and look again, if you doubt it"))
    };
    if listener.tls {
        // We have nothing to show there.
        return taken_for_it("speaks TLS");
    }
    let (code, said) = ask(place, "/version").await.ok()?;
    let said: Value = serde_json::from_str(&said).unwrap_or_default();
    match said["name"] == env!("CARGO_PKG_NAME") {
        true => Some(Finding::ok(CHECK, format!("{place} is in use, as it should be: an operator runs"))),
        // No token of ours is shown to somebody whom we do not know.
        false if code == StatusCode::UNAUTHORIZED => taken_for_it("wants a token"),
        false => None,
    }
}

/// What somebody who listens there answers.
async fn ask(place: &Place, path: &str) -> reqwest::Result<(StatusCode, String)> {
    let client = Client::builder().no_proxy().timeout(NEIGHBOUR_PATIENCE);
    let (client, host) = match place {
        Place::Tcp(address) => (client, address.to_string()),
        Place::Unix(path) => (client.unix_socket(path.as_path()), "localhost".to_owned()),
    };
    let mut answer = client.build()?.get(format!("http://{host}{path}")).send().await?;
    // Ours come in one piece; others may never end.
    let said = answer.chunk().await?.unwrap_or_default();
    Ok((answer.status(), String::from_utf8_lossy(&said).into_owned()))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;

    async fn level(place: &Place, tls: bool, running: bool) -> String {
        let listener = Listener { place: place.clone(), tls };
        let finding = super::place(&listener, &Around { running, made: &[] }).await;
        finding.json()["level"].as_str().unwrap().to_owned()
    }

    /// Somebody who answers `/version` and `/healthz` like this.
    async fn served(code: StatusCode, said: &str) -> SocketAddr {
        let said = said.to_owned();
        let answer = get(move || async move { (code, said) });
        let router = Router::new().route("/version", answer.clone()).route("/healthz", answer);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router).into_future());
        address
    }

    #[tokio::test]
    async fn a_port_is_free_or_ours_or_somebody_elses() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ours = format!(r#"{{"name":"{}","version":"1"}}"#, env!("CARGO_PKG_NAME"));
        for (code, said, of_running) in [
            (StatusCode::OK, ours.as_str(), "ok"),
            (StatusCode::OK, r#"{"name":"another"}"#, "failed"),
            (StatusCode::OK, "hello", "failed"),
            (StatusCode::UNAUTHORIZED, "who are you?", "warning"),
        ] {
            let place = Place::Tcp(served(code, said).await);
            assert_eq!(level(&place, false, true).await, of_running, "{said}");
            assert_eq!(level(&place, false, false).await, "failed", "{said}");
            assert_eq!(level(&place, true, true).await, "warning", "nobody can ask over TLS");
        }
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = Place::Tcp(taken.local_addr().unwrap());
        drop(taken);
        assert_eq!(level(&free, false, true).await, "ok");
        // RFC 5737: an address that nobody has.
        assert_eq!(level(&"192.0.2.1:4000".parse().unwrap(), false, true).await, "failed");
    }

    #[tokio::test]
    async fn health_may_be_missing_where_nobody_chose_its_port() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (ours, others) = (served(StatusCode::OK, "ok\n").await, served(StatusCode::OK, "hi").await);
        let level = async |address, chosen, running| {
            check_health(address, chosen, running).await.json()["level"].as_str().unwrap().to_owned()
        };
        assert_eq!(level(ours, true, true).await, "ok");
        assert_eq!(level(others, true, true).await, "failed");
        assert_eq!(level(others, false, true).await, "warning");
        assert_eq!(level(ours, false, false).await, "warning");
    }

    #[tokio::test]
    async fn a_socket_is_ours_or_somebody_elses_or_can_be_made_or_not() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i.sock");
        let place = Place::Unix(path.clone());
        assert_eq!(level(&place, false, false).await, "ok");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let answer = get(|| async { format!(r#"{{"name":"{}"}}"#, env!("CARGO_PKG_NAME")) });
        let ours = tokio::spawn(axum::serve(listener, Router::new().route("/version", answer)).into_future());
        assert_eq!(level(&place, false, true).await, "ok");
        assert_eq!(level(&place, false, false).await, "failed");
        ours.abort();
        assert!(ours.await.unwrap_err().is_cancelled());
        assert_eq!(level(&place, false, true).await, "ok", "what a killed operator left");

        fs::remove_file(&path).unwrap();
        fs::write(&path, "not a socket").unwrap();
        assert_eq!(level(&place, false, false).await, "failed");

        let nowhere = folder.path().join("data/i.sock");
        assert_eq!(level(&Place::Unix(nowhere.clone()), false, false).await, "failed");
        let data = nowhere.parent().unwrap();
        assert_eq!(unix(&nowhere, &[data]).unwrap().json()["level"], "ok", "the start makes its folder");
    }
}
