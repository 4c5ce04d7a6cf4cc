//! Listeners: an axum router on a TCP address or a unix socket, until we are asked to stop.

mod bearer;
pub mod body;
pub mod caller;
pub mod callers;
pub mod certificate;
pub mod descriptors;
pub mod error;
pub mod fresh;
pub mod guests;
#[cfg(test)]
mod idle_tests;
pub mod oidc;
pub mod pages;
pub mod place;
pub mod room;
mod serving;
pub mod tls;
pub mod token;

use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::serve::Listener;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener, UnixSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{BACKLOG, CALLER_SILENCE, CALLERS, CONNECTIONS, HANDSHAKE_PATIENCE, SILENCE};
use callers::{Callers, attended, guard};
use guests::Guests;
use place::Place;
use serving::{Seated, serve};
use tls::{Tls, TlsListener};

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
    attend(Guests::new(listener, room, SILENCE), attended(router), tasks, stop);
    Ok(address)
}

/// Serves on a unix socket that only our own user may open.
pub fn serve_unix(
    path: &Path,
    router: Router,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), ListenError> {
    let listener = bind_unix(path)?;
    let stop = stop.clone();
    tasks.spawn(async move {
        let service = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(why) = service.await {
            tracing::error!(%why, "the control socket has ended");
        }
    });
    Ok(())
}

fn bind_unix(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError::Unix { path: path.to_owned(), source };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(failed(std::io::ErrorKind::AddrInUse.into()));
    }
    // What a process that was killed has left; anything else there is not ours to remove.
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let socket = UnixSocket::new_stream().map_err(failed)?;
    socket.bind(path).map_err(failed)?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, private).map_err(failed)?;
    // Not before: nobody gets through while it has the mode of a new file.
    socket.listen(BACKLOG).map_err(failed)
}

/// Serves callers whom we do not know, for as long as they like: many at a time, each asked who he is.
/// Gives the place, which tells the port when 0 was asked for.
pub async fn serve_callers(
    place: &Place,
    tls: Option<Tls>,
    router: Router,
    callers: Callers,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Place, ListenError> {
    let router = guard(router, callers);
    let room = descriptors::make_room(CALLERS);
    match place {
        Place::Unix(path) => {
            let listener = Guests::new(bind_unix(path)?, room, CALLER_SILENCE);
            attend(listener, router, tasks, stop);
            Ok(place.clone())
        }
        Place::Tcp(address) => {
            let failed = |source| ListenError::Tcp { what: "InterLink", address: *address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let listener = Guests::new(listener, room, CALLER_SILENCE);
            match tls {
                Some(tls) => attend(TlsListener::new(listener, tls, HANDSHAKE_PATIENCE), router, tasks, stop),
                None => attend(listener, router, tasks, stop),
            }
            Ok(Place::Tcp(address))
        }
    }
}

fn attend<L>(listener: L, router: Router, tasks: &TaskTracker, stop: &CancellationToken)
where
    L: Listener,
    L::Io: Seated,
{
    tasks.spawn(serve(listener, router, stop.clone()));
}
