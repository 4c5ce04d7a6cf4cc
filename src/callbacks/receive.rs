//! `POST /cloudevents`: first the signature over the raw bytes, then the envelope, then the data.
//! Only the data is believed; the envelope must agree with it.

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader, Data, Event};
use htc_core::events::{self, Signature};
use htc_core::workload::names::JobKey;
use htc_core::workload::report::Report;

use super::State;
use crate::engine::Taken;
use crate::http::error::HttpError;

pub async fn receive(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, HttpError> {
    let result = take(&state, &headers, &body).await;
    let label = match &result {
        Ok(Taken::New) => "new",
        Ok(Taken::Duplicate) => "duplicate",
        Ok(Taken::Unknown) => "unknown",
        Ok(Taken::NotReady) | Err(HttpError::NotReady(_)) => "not_ready",
        Err(HttpError::Unauthorized(_)) => "bad_signature",
        Err(HttpError::BadRequest(_)) => "garbage",
        Err(_) => "error",
    };
    state.metrics.reports.get_or_create(&label.into()).inc();
    match result? {
        Taken::New | Taken::Duplicate => Ok(StatusCode::ACCEPTED),
        Taken::Unknown => Err(HttpError::Gone("no such job is known here any more")),
        Taken::NotReady => Err(HttpError::NotReady("the pool has not been asked yet; try again")),
    }
}

async fn take(state: &State, headers: &HeaderMap, body: &Bytes) -> Result<Taken, HttpError> {
    let key = authenticate(state, headers, body)?;
    let bad = |why: String| HttpError::BadRequest(format!("this is no report of a job: {why}"));
    let event = to_event(headers, body.to_vec()).map_err(|e| bad(e.to_string()))?;
    if event.ty() != events::TYPE {
        return Err(bad(format!("its type is {}, not {}", event.ty(), events::TYPE)));
    }
    let report = report(&event).map_err(bad)?;
    if report.key != key {
        return Err(bad("its data is about another job than its header".to_owned()));
    }
    state.engine.report(report).await.map_err(|why| {
        tracing::error!(%why, %key, "failed to keep a report");
        HttpError::Internal
    })
}

/// The job that signed the body.
fn authenticate(state: &State, headers: &HeaderMap, body: &[u8]) -> Result<JobKey, HttpError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = header(events::SIGNATURE_HEADER).and_then(Signature::parse);
    let signature = signature.ok_or(HttpError::Unauthorized("a report needs the header HTC-Signature"))?;
    let key: Option<JobKey> = header(events::JOB_KEY_HEADER).and_then(|text| text.parse().ok());
    let key = key.ok_or(HttpError::Unauthorized("a report needs the header HTC-Job-Key"))?;
    let wrong = HttpError::Unauthorized("the signature is not that of this job");
    let master = state.keys.get(&signature.key_id).ok_or(wrong.clone())?;
    if signature.is_of(&events::job_key(master, &key), body) { Ok(key) } else { Err(wrong) }
}

fn report(event: &Event) -> Result<Report, String> {
    let parsed = match event.data() {
        Some(Data::Json(value)) => serde_json::from_value(value.clone()),
        Some(Data::Binary(bytes)) => serde_json::from_slice(bytes),
        Some(Data::String(text)) => serde_json::from_str(text),
        None => return Err("it has no data".to_owned()),
    };
    parsed.map_err(|e| e.to_string())
}
