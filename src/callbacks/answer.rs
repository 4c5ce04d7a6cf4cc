//! `POST /sender/answer`: a running job answers one thing that it was asked.

use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use htc_core::poll::Reply;

use super::State;
use super::signed::{authenticate, body};
use crate::http::error::HttpError;
use crate::limits::ANSWER_BODY_MAX;

pub async fn answer(Shared(state): Shared<State>, request: Request) -> Result<StatusCode, HttpError> {
    let result = take(&state, request).await;
    let label = match &result {
        Ok(()) => "taken",
        Err(HttpError::Unauthorized(_)) => "bad_signature",
        Err(HttpError::Gone(_)) => "not_asked",
        Err(_) => "garbage",
    };
    state.metrics.answers.get_or_create(&label.into()).inc();
    result.map(|()| StatusCode::NO_CONTENT)
}

async fn take(state: &State, request: Request) -> Result<(), HttpError> {
    let headers = request.headers().clone();
    let _place = state.place().await?;
    let body = body(request.into_body(), "an answer", ANSWER_BODY_MAX, state.options.patience).await?;
    let signer = authenticate(&state.keys, &headers, &body)?;
    let bad = |why: &str| HttpError::BadRequest(why.to_owned());
    let (reply, bytes) = Reply::read(&body).ok_or_else(|| bad("this is no answer"))?;
    if reply.key != signer.key {
        return Err(bad("it is about another job than its header"));
    }
    match state.engine.answer(reply, bytes) {
        true => Ok(()),
        false => Err(HttpError::Gone("nobody asks this any more")),
    }
}
