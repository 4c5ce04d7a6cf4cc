//! Who may call: everybody who gets through to the listener, or who shows a certificate or a token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::time::timeout;

use super::error::HttpError;
use super::guests::{Guests, Tuned};
use super::room::Seat;
use super::tls::TlsListener;
use crate::limits::{REFUSAL_TOLD, REFUSED_DRAINED_MAX, REFUSED_PATIENCE};

/// Knows good tokens from bad ones.
pub trait Check: Send + Sync {
    /// Who shows this token, in words for the log; why it lets nobody in otherwise.
    fn check<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<String, String>>;
}

/// Who may call.
#[derive(Clone, Default)]
pub struct Callers {
    /// Whether a client certificate is enough.
    pub certificate: bool,
    /// A token that one of these knows is enough.
    pub checks: Vec<Arc<dyn Check>>,
}

impl Callers {
    /// Whether nobody is asked who he is.
    pub fn is_everybody(&self) -> bool {
        !self.certificate && self.checks.is_empty()
    }

    async fn admit(&self, peer: &Peer, token: Option<&str>) -> Result<(), String> {
        if self.is_everybody() || (self.certificate && peer.certificate) {
            return Ok(());
        }
        let Some(token) = token else {
            return Err("no bearer token".to_owned());
        };
        let mut reasons = Vec::new();
        for check in &self.checks {
            match check.check(token).await {
                Ok(who) => {
                    tracing::trace!(who, "calls");
                    return Ok(());
                }
                Err(why) => reasons.push(why),
            }
        }
        Err(reasons.join("; "))
    }
}

/// The token of a request. Callers send what is in a file, with its line end. A proxy that keeps the
/// caller's header beside its own sends the token twice, in two headers or in one with a comma. Of two that
/// differ none counts.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter().map(|value| token(value.to_str().ok()?));
    let first = values.next()??;
    values.all(|other| other == Some(first)).then_some(first)
}

fn token(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = match token.split_once(',') {
        Some((one, other)) if self::token(other) == Some(one.trim()) => one,
        _ => token,
    };
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The other side of a connection.
#[derive(Clone)]
pub struct Peer {
    seat: Arc<Seat>,
    certificate: bool,
}

impl<L> Connected<IncomingStream<'_, Guests<L>>> for Peer
where
    L: Listener,
    L::Io: Tuned,
{
    fn connect_info(stream: IncomingStream<'_, Guests<L>>) -> Peer {
        Peer { seat: stream.io().seat(), certificate: false }
    }
}

impl<L> Connected<IncomingStream<'_, TlsListener<Guests<L>>>> for Peer
where
    L: Listener,
    L::Addr: 'static,
    L::Io: Tuned,
{
    fn connect_info(stream: IncomingStream<'_, TlsListener<Guests<L>>>) -> Peer {
        let (guest, tls) = stream.io().get_ref();
        // One that is there was checked in the handshake.
        Peer { seat: guest.seat(), certificate: tls.peer_certificates().is_some() }
    }
}

/// The router, for these callers only.
pub fn guard(router: Router, callers: Callers) -> Router {
    let door = Arc::new(Doorkeeper { callers, told: Mutex::new(None) });
    attended(router.layer(from_fn_with_state(door, admit)))
}

struct Doorkeeper {
    callers: Callers,
    /// When a refusal was told last.
    told: Mutex<Option<Instant>>,
}

impl Doorkeeper {
    /// Why, without the token: once in a while, since callers come every few seconds.
    fn tell(&self, path: &str, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|then| then.elapsed() > REFUSAL_TOLD) {
            *told = Some(Instant::now());
            tracing::warn!(
                path,
                why,
                "an InterLink call was refused; more of them are not told for a minute"
            );
        }
    }
}

async fn admit(
    State(door): State<Arc<Doorkeeper>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let token = bearer(request.headers()).map(str::to_owned);
    match door.callers.admit(&peer, token.as_deref()).await {
        Ok(()) => next.run(request).await,
        Err(why) => {
            door.tell(request.uri().path(), &why);
            // One who takes longer does not get to read why.
            let _ = timeout(REFUSED_PATIENCE, drain(request.into_body())).await;
            HttpError::Unauthorized("who calls must show a bearer token or certificate that is known here")
                .into_response()
        }
    }
}

/// Reads what is still being sent, so that our answer is read.
async fn drain(body: Body) {
    let mut pieces = body.into_data_stream();
    let mut seen = 0;
    while let Some(Ok(piece)) = pieces.next().await {
        seen += piece.len();
        if seen > REFUSED_DRAINED_MAX {
            break;
        }
    }
}

/// A router whose connections know what they are at.
pub(super) fn attended(router: Router) -> Router {
    router.layer(from_fn(attend))
}

/// Tells the connection what it is at, so that it is neither closed nor told to leave meanwhile.
async fn attend(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    let question = peer.seat.asks();
    let response = next.run(request).await;
    if axum::body::HttpBody::size_hint(response.body()).exact().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let streaming = question.streams();
    let body = body.into_data_stream().map(move |piece| {
        let _while_it_lasts = &streaming;
        piece
    });
    Response::from_parts(parts, Body::from_stream(body))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn shown(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn a_token_is_read_with_blanks_around_it() {
        assert_eq!(shown(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(shown(&["bearer  abc \t"]).as_deref(), Some("abc"));
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(shown(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn a_token_that_a_proxy_sends_twice_is_one_and_of_two_none_counts() {
        for twice in
            [&["Bearer abc", "Bearer abc"][..], &["Bearer abc,Bearer abc"], &["Bearer abc, bearer abc"]]
        {
            assert_eq!(shown(twice).as_deref(), Some("abc"), "{twice:?}");
        }
        for two in
            [&["Bearer abc", "Bearer abd"][..], &["Bearer abc", "Basic abc"], &["Basic abc", "Bearer abc"]]
        {
            assert_eq!(shown(two), None, "{two:?}");
        }
        // No check knows these.
        for two in ["Bearer abc,Bearer abd", "Bearer abc,abc", "Bearer abc,Basic abc"] {
            assert_ne!(shown(&[two]).as_deref(), Some("abc"), "{two}");
        }
    }

    /// A router whose answer to `/follow` is what the test sends; the other end tells when it is dropped.
    fn following(pieces: tokio::sync::mpsc::Receiver<Vec<u8>>) -> Router {
        let pieces = Arc::new(Mutex::new(Some(pieces)));
        let follow = move || {
            let pieces = pieces.lock().unwrap().take().unwrap();
            let pieces = futures::stream::unfold(pieces, |mut pieces| async move {
                pieces.recv().await.map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
            });
            let answer = Response::new(Body::from_stream(pieces));
            async move { answer }
        };
        guard(Router::new().route("/follow", axum::routing::get(follow)), Callers::default())
    }

    async fn serve(router: Router, room: usize, patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<Peer>();
        let listener = Guests::new(listener, room, patience);
        tokio::spawn(async move { axum::serve(listener, service).await });
        address
    }

    async fn follow(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let words = b"GET /follow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(words).await.unwrap();
        stream
    }

    /// Waits until somebody who says nothing is shown out, twice.
    async fn patience_passes(address: SocketAddr) {
        for _ in 0..2 {
            let mut silent = TcpStream::connect(address).await.unwrap();
            let _ = silent.read_to_end(&mut Vec::new()).await;
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_silent_for_long_is_no_silence_of_the_caller() {
        let (send, pieces) = tokio::sync::mpsc::channel(1);
        // Room for two: the one who follows is not told to leave either.
        let address = serve(following(pieces), 2, Duration::from_millis(100)).await;
        let mut stream = follow(address).await;
        send.send(b"first".to_vec()).await.unwrap();
        patience_passes(address).await;
        let _full = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        patience_passes(address).await;
        send.send(b"last".to_vec()).await.unwrap();
        drop(send);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.contains("first") && text.contains("last") && text.ends_with("0\r\n\r\n"), "{text}");
    }

    #[tokio::test]
    async fn who_waits_for_an_answer_is_not_closed_for_his_silence() {
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let wait = Arc::new(Mutex::new(Some(wait)));
        let slow = move || {
            let wait = wait.lock().unwrap().take().unwrap();
            async move { wait.await.map(|()| "late").unwrap_or("never") }
        };
        let router = guard(Router::new().route("/follow", axum::routing::get(slow)), Callers::default());
        let address = serve(router, 10, Duration::from_millis(100)).await;
        let mut stream = follow(address).await;
        patience_passes(address).await;
        go.send(()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("late"), "{text}");
    }

    #[tokio::test]
    async fn who_leaves_or_takes_nothing_of_a_long_answer_holds_nothing() {
        for leaves in [true, false] {
            let (send, pieces) = tokio::sync::mpsc::channel(1);
            let address = serve(following(pieces), 10, Duration::from_millis(100)).await;
            let stream = follow(address).await;
            let kept = (!leaves).then_some(stream);
            let ended = async { while send.send(vec![b'x'; 1 << 20]).await.is_ok() {} };
            tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the answer is dropped");
            drop(kept);
        }
    }
}
