//! Who may call: everybody who gets through to the listener, or who shows a certificate or a token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::time::timeout;

use super::bearer::bearer;
pub use super::caller::{Bearer, Caller};
use super::certificate::Subject;
use super::error::HttpError;
use super::pages::{self, Hosts};
use super::room::Seat;
use crate::limits::{REFUSAL_TOLD, REFUSED_DRAINED_MAX, REFUSED_PATIENCE};

/// Knows good tokens from bad ones.
pub trait Check: Send + Sync {
    /// Who shows this token, by a name that stays when the token is renewed; why it lets nobody in otherwise.
    fn check<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Bearer, String>>;
}

/// Who may call.
#[derive(Clone, Default)]
pub struct Callers {
    /// Only our own user gets through to the listener.
    pub ourselves: bool,
    /// A client certificate is enough.
    pub certificate: Option<Bearers>,
    /// A token that one of these knows is enough.
    pub checks: Vec<Arc<dyn Check>>,
    /// By which names a caller may call who is not asked.
    pub hosts: Hosts,
}

/// Whose client certificates let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearers {
    /// Each that the authority has signed.
    All,
    /// Those with a name that fits one of these patterns.
    Named(Vec<String>),
}

impl Callers {
    /// Whether nobody is asked who he is.
    pub fn is_everybody(&self) -> bool {
        self.certificate.is_none() && self.checks.is_empty()
    }

    async fn admit(&self, peer: &Peer, request: Parts<'_>) -> Result<Caller, Refusal> {
        if self.ourselves {
            return Ok(Caller::Ourselves);
        }
        let open = self.is_everybody().then_some(&self.hosts);
        if let Some(why) = pages::refusal(request.uri, request.headers, open) {
            return Err(Refusal::Page(why));
        }
        if open.is_some() {
            return Ok(Caller::Anybody);
        }
        self.identify(peer, bearer(request.headers)).await.map_err(Refusal::Unknown)
    }

    async fn identify(&self, peer: &Peer, token: Option<&str>) -> Result<Caller, String> {
        let mut reasons = Vec::new();
        if let (Some(bearers), Some(subject)) = (&self.certificate, &peer.certificate) {
            let name = match bearers {
                Bearers::All => Some(subject.name()),
                // Names that nobody has compared say nothing: the authority may have looked at one kind only.
                Bearers::Named(patterns) => subject.fitting(patterns),
            };
            match name {
                Some(name) => return Ok(Caller::Named(format!("certificate:{name}").into())),
                None => reasons
                    .push(format!("the certificate of {:?} is not among those that let in", subject.name())),
            }
        }
        let Some(token) = token else {
            reasons.push("no bearer token".to_owned());
            return Err(reasons.join("; "));
        };
        for check in &self.checks {
            match check.check(token).await {
                Ok(bearer) => return Ok(Caller::Named(bearer)),
                Err(why) => reasons.push(why),
            }
        }
        Err(reasons.join("; "))
    }
}

/// What of a request says who calls.
#[derive(Clone, Copy)]
struct Parts<'a> {
    uri: &'a axum::http::Uri,
    headers: &'a HeaderMap,
}

/// Why a call is not taken.
enum Refusal {
    /// A page in a browser has made it, or may have.
    Page(String),
    /// Its caller is not known.
    Unknown(String),
}

/// The other side of a connection.
#[derive(Clone)]
pub struct Peer {
    seat: Arc<Seat>,
    certificate: Option<Arc<Subject>>,
}

impl Peer {
    /// Who has this seat, and has shown a certificate of this subject.
    pub fn new(seat: Arc<Seat>, certificate: Option<Subject>) -> Peer {
        Peer { seat, certificate: certificate.map(Arc::new) }
    }
}

/// The router, for these callers only. A refused one keeps its seat only as long as there are others: it is not
/// attended to.
pub fn guard(router: Router, callers: Callers) -> Router {
    let door = Arc::new(Doorkeeper { callers, told: Mutex::new(None) });
    attended(router).layer(from_fn_with_state(door, admit))
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
    mut request: Request,
    next: Next,
) -> Response {
    let parts = Parts { uri: request.uri(), headers: request.headers() };
    let refusal = match door.callers.admit(&peer, parts).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            return next.run(request).await;
        }
        Err(refusal) => refusal,
    };
    let path = request.uri().path().to_owned();
    let answer = match refusal {
        Refusal::Unknown(why) => {
            door.tell(&path, &why);
            HttpError::Unauthorized("who calls must show a bearer token or certificate that is known here")
        }
        Refusal::Page(why) => {
            door.tell(&path, &why);
            HttpError::Forbidden(why)
        }
    };
    // One who takes longer does not get to read why.
    let _ = timeout(REFUSED_PATIENCE, drain(request.into_body())).await;
    answer.into_response()
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

    use axum::http::header::AUTHORIZATION;
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    use super::super::guests::Guests;
    use super::super::room::Room;
    use super::super::serving::serve as serve_on;
    use super::*;

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
        guard(Router::new().route("/follow", axum::routing::get(follow)), ourselves())
    }

    fn ourselves() -> Callers {
        Callers { ourselves: true, ..Callers::default() }
    }

    async fn serve(router: Router, room: usize, patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Guests::new(listener, room, patience);
        tokio::spawn(serve_on(listener, router, CancellationToken::new()));
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
        let router = guard(Router::new().route("/follow", axum::routing::get(slow)), ourselves());
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

    /// Knows one token, and says whether the seat of its bearer was kept for him while he was asked.
    struct Known(Arc<Seat>, Arc<Mutex<Vec<bool>>>);

    impl Check for Known {
        fn check<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Bearer, String>> {
            self.1.lock().unwrap().push(self.0.is_asking());
            std::future::ready(if token == "good" { Ok("x".into()) } else { Err("bad".to_owned()) }).boxed()
        }
    }

    #[tokio::test]
    async fn a_seat_is_kept_only_for_a_caller_who_was_let_in() {
        for (token, status, kept) in [("good", 200, true), ("bad", 401, false)] {
            let taken = Room::new(1).take().await;
            let (seat, seen) = (taken.seat.clone(), Arc::new(Mutex::new(Vec::new())));
            let checks: Vec<Arc<dyn Check>> = vec![Arc::new(Known(seat.clone(), seen.clone()))];
            let read = axum::routing::post(|body: axum::body::Bytes| async move { body });
            let router = guard(Router::new().route("/", read), Callers { checks, ..Callers::default() });
            let (looks, at) = (seen.clone(), seat.clone());
            let body = futures::stream::once(async move {
                looks.lock().unwrap().push(at.is_asking());
                Ok::<_, std::io::Error>("body")
            });
            let request = Request::post("/").header(AUTHORIZATION, format!("Bearer {token}"));
            let mut request = request.body(Body::from_stream(body)).unwrap();
            request.extensions_mut().insert(ConnectInfo(Peer::new(seat, None)));
            assert_eq!(router.oneshot(request).await.unwrap().status(), status);
            assert_eq!(
                *seen.lock().unwrap(),
                [false, kept],
                "{token}: while it is asked, while its body comes"
            );
        }
    }
}
