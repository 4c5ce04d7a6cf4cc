//! `POST /cloudevents`: first the signature over the raw bytes, then the envelope, then the data.
//! Only the data is believed; the envelope must agree with it.
//!
//! Where a setting allows it, an event without a signature is taken as the predecessor's jobs sent
//! them. It is not believed: it only rings the bell, and the pool tells what has happened.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader, Data, Event};
use htc_core::events::{self, JOB_KEY_HEADER, SIGNATURE_HEADER};
use htc_core::workload::report::Report;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::State;
use super::signed::{Signer, authenticate, body};
use crate::engine::Taken;
use crate::engine::keys::MasterKeys;
use crate::http::error::HttpError;
use crate::limits::EVENT_BODY_MAX;

/// What an event of the predecessor's jobs always had.
const UNSIGNED_DATA: [&str; 3] = ["name", "jobid", "retcode"];

/// What became of an event.
enum Received {
    /// It was signed: what the engine says of its report.
    Report(Taken),
    /// It was not signed, and rang the bell.
    Rang,
    /// It was signed, and asked only whether it gets here.
    Probe,
}

pub async fn receive(Shared(state): Shared<State>, request: Request) -> Result<StatusCode, HttpError> {
    let result = take(&state, request).await;
    let label = match &result {
        Ok(Received::Report(Taken::New)) => "new",
        Ok(Received::Report(Taken::Duplicate)) => "duplicate",
        Ok(Received::Report(Taken::Unknown)) => "unknown",
        Ok(Received::Report(Taken::NotReady)) => "not_ready",
        Ok(Received::Rang) => "unsigned",
        Ok(Received::Probe) => "probe",
        Err(HttpError::Unauthorized(_)) => "bad_signature",
        Err(HttpError::BadRequest(_)) => "garbage",
        Err(HttpError::TooLarge(_)) => "oversize",
        Err(_) => "error",
    };
    state.metrics.reports.get_or_create(&label.into()).inc();
    match result? {
        Received::Report(Taken::New | Taken::Duplicate) | Received::Rang => Ok(StatusCode::ACCEPTED),
        Received::Probe => Ok(StatusCode::NO_CONTENT),
        Received::Report(Taken::Unknown) => Err(HttpError::Gone("no such job is known here any more")),
        Received::Report(Taken::NotReady) => {
            Err(HttpError::NotReady("the pool has not been asked yet; try again"))
        }
    }
}

/// Answers only those who ask whether they get here.
pub async fn probe(
    Shared(keys): Shared<Arc<MasterKeys>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, HttpError> {
    authenticate(&keys, &headers, &body).map(|_| StatusCode::NO_CONTENT)
}

async fn take(state: &State, request: Request) -> Result<Received, HttpError> {
    let headers = request.headers().clone();
    let _place = state.place().await?;
    let body = body(request.into_body(), "an event", EVENT_BODY_MAX, state.options.patience).await?;
    let signed = headers.contains_key(SIGNATURE_HEADER) || headers.contains_key(JOB_KEY_HEADER);
    if state.options.allow_unsigned && !signed {
        let data: Map<String, Value> = event(&headers, &body).and_then(|event| data(&event)).map_err(bad)?;
        if let Some(missing) = UNSIGNED_DATA.iter().find(|name| !data.contains_key(**name)) {
            return Err(bad(format!("it has no {missing}")));
        }
        state.engine.look();
        return Ok(Received::Rang);
    }
    let Signer { key, .. } = authenticate(&state.keys, &headers, &body)?;
    // By what is signed: whoever could make a report a probe on its way would have it forgotten.
    if *body == *events::PROBE_BODY {
        return Ok(Received::Probe);
    }
    let report: Report = event(&headers, &body).and_then(|event| data(&event)).map_err(bad)?;
    if report.key != key {
        return Err(bad("its data is about another job than its header".to_owned()));
    }
    let taken = state.engine.report(report).await.map_err(|why| {
        tracing::error!(%why, %key, "failed to keep a report");
        HttpError::Internal
    })?;
    Ok(Received::Report(taken))
}

fn bad(why: String) -> HttpError {
    // What a library says of the sender's own text may have many lines.
    HttpError::BadRequest(format!("this is no event of a job: {}", why.replace(char::is_control, " ")))
}

fn event(headers: &HeaderMap, body: &Bytes) -> Result<Event, String> {
    let event = to_event(headers, body.to_vec()).map_err(|e| e.to_string())?;
    match event.ty() {
        events::TYPE => Ok(event),
        other => Err(format!("its type is {other}, not {}", events::TYPE)),
    }
}

fn data<T: DeserializeOwned>(event: &Event) -> Result<T, String> {
    let parsed = match event.data() {
        Some(Data::Json(value)) => serde_json::from_value(value.clone()),
        Some(Data::Binary(bytes)) => serde_json::from_slice(bytes),
        Some(Data::String(text)) => serde_json::from_str(text),
        None => return Err("it has no data".to_owned()),
    };
    parsed.map_err(|e| e.to_string())
}
