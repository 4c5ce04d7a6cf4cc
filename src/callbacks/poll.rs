//! `POST /sender/poll`: a running job asks what is wanted of it, and waits. What it is told is signed
//! with its own key, so that nobody else can ask it for anything.

use axum::extract::{Request, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use htc_core::events::{self, SIGNATURE_HEADER};
use htc_core::poll::Poll;

use super::State;
use super::signed::{authenticate, body};
use crate::engine::PollRefusal;
use crate::http::error::HttpError;
use crate::limits::{POLL_BODY_MAX, POLL_LATER};

pub async fn poll(Shared(state): Shared<State>, request: Request) -> Result<Response, HttpError> {
    let result = take(&state, request).await;
    let label = match &result {
        Ok((true, _)) => "asked",
        Ok((false, _)) => "idle",
        Err(HttpError::Unauthorized(_)) => "bad_signature",
        Err(HttpError::Conflict(_)) => "old",
        Err(HttpError::Busy { .. }) => "no_place",
        Err(HttpError::Gone(_)) => "unknown",
        Err(HttpError::NotReady(_)) => "not_ready",
        Err(_) => "garbage",
    };
    state.metrics.polls.get_or_create(&label.into()).inc();
    result.map(|(_, response)| response)
}

/// The answer, and whether there is something in it.
async fn take(state: &State, request: Request) -> Result<(bool, Response), HttpError> {
    let headers = request.headers().clone();
    let body = body(request.into_body(), "a poll", POLL_BODY_MAX, state.options.patience).await?;
    let signer = authenticate(&state.keys, &headers, &body)?;
    let poll = Poll::read(&body).ok_or_else(|| HttpError::BadRequest("this is no poll".to_owned()))?;
    if poll.key != signer.key {
        return Err(HttpError::BadRequest("it is about another job than its header".to_owned()));
    }
    let asks = state.engine.poll(&poll).await.map_err(|why| match why {
        PollRefusal::Old => HttpError::Conflict("a newer poll of this job has been seen".to_owned()),
        PollRefusal::Unknown => HttpError::Gone("no such job runs here any more"),
        PollRefusal::NotReady => HttpError::NotReady("the pool has not been asked yet; try again"),
        PollRefusal::Full => HttpError::Busy { later: POLL_LATER },
        PollRefusal::Closing => HttpError::NotReady("the operator ends; try again"),
    })?;
    let body = asks.write();
    let signature = events::sign(&signer.key_id, &signer.secret, &body);
    let head = [(SIGNATURE_HEADER, signature.as_str()), (CONTENT_TYPE.as_str(), "application/octet-stream")];
    Ok((!asks.asks.is_empty(), (head, body).into_response()))
}
