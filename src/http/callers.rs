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

use super::error::HttpError;
use super::guests::{Guests, Tuned};
use super::room::Seat;
use super::tls::TlsListener;
use crate::limits::{REFUSAL_TOLD, REFUSED_DRAINED_MAX};

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

/// The token of a request. Callers send what is in a file, with its line end.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
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
    router.layer(from_fn_with_state(door, admit)).layer(from_fn(attend))
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
            drain(request.into_body()).await;
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
    use super::*;

    fn token(value: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn a_token_is_read_with_blanks_around_it() {
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("bearer  abc \t").as_deref(), Some("abc"));
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }
}
