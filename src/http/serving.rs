//! HTTP/1 on the connections of a listener, with bounded buffers: whoever sends headers without end must not fill
//! our memory before anybody has asked who he is.

use std::pin::pin;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::callers::Peer;
use super::certificate::Subject;
use super::guests::Guest;
use crate::limits::CONNECTION_BUFFER;

/// A connection with a seat.
pub(super) trait Seated {
    /// Who is at its other side.
    fn peer(&self) -> Peer;
}

impl<S> Seated for Guest<S> {
    fn peer(&self) -> Peer {
        Peer::new(self.seat(), None)
    }
}

impl<S> Seated for TlsStream<Guest<S>> {
    fn peer(&self) -> Peer {
        let (guest, tls) = self.get_ref();
        // One that is there was checked in the handshake.
        let shown = tls.peer_certificates().and_then(|chain| chain.first());
        Peer::new(guest.seat(), shown.map(|certificate| Subject::of(certificate)))
    }
}

/// Serves until it is told to stop, and then until all that was asked is answered.
pub(super) async fn serve<L>(mut listener: L, router: Router, stop: CancellationToken)
where
    L: Listener,
    L::Io: Seated,
{
    let connections = TaskTracker::new();
    loop {
        let (stream, _) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let peer = stream.peer();
        connections.spawn(attend(stream, peer, router.clone(), stop.clone()));
    }
    // Those who come now find nobody, and call somebody else.
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn attend<S>(stream: S, peer: Peer, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    let connection = http.max_buf_size(CONNECTION_BUFFER).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(why) = ended {
        tracing::trace!(%why, "a connection has ended");
    }
}
