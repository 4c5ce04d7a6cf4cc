//! Listeners: an axum router on a TCP address or a unix socket, until we are asked to stop.

pub mod error;
pub mod guests;
pub mod room;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{CONNECTIONS, SILENCE};
use guests::Guests;

/// Why a listener could not be opened.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address is taken, or not ours.
    #[error("failed to listen on {address} for {what}: {source}")]
    Tcp {
        /// What it is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The socket file could not be made.
    #[error("failed to make the socket {path}: {source}")]
    Unix {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Serves on a TCP address; gives the address, which tells the port when 0 was asked for.
pub async fn serve_tcp(
    what: &'static str,
    address: SocketAddr,
    router: Router,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<SocketAddr, ListenError> {
    serve_many(what, address, CONNECTIONS, router, tasks, stop).await
}

/// Serves so many connections at a time on a TCP address; gives the address, which tells the port when 0 was asked for.
pub async fn serve_many(
    what: &'static str,
    address: SocketAddr,
    room: usize,
    router: Router,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError::Tcp { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "listening for {what}");
    let stop = stop.clone();
    tasks.spawn(async move {
        let listener = Guests::new(listener, room, SILENCE);
        let service = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(why) = service.await {
            tracing::error!(%why, "the listener for {what} has ended");
        }
    });
    Ok(address)
}

/// Serves on a unix socket that only our own user may open.
pub fn serve_unix(
    path: &Path,
    router: Router,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), ListenError> {
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).map_err(failed)?;
    let stop = stop.clone();
    tasks.spawn(async move {
        let service = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(why) = service.await {
            tracing::error!(%why, "the control socket has ended");
        }
    });
    Ok(())
}
