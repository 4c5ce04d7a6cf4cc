//! Bodies that jobs have signed: read as far as is decent, and checked before anything is parsed.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use htc_core::events::{self, JOB_KEY_HEADER, SIGNATURE_HEADER, Signature};
use htc_core::workload::names::JobKey;

use crate::engine::keys::MasterKeys;
use crate::http::body::{self, Limits};
use crate::http::error::HttpError;
use crate::limits::EVENT_DRAINED_MAX;

/// Who has signed a body.
pub struct Signer {
    /// The job.
    pub key: JobKey,
    /// Which master key it wants.
    pub key_id: String,
    /// The key that it signs with.
    pub secret: Vec<u8>,
}

/// The whole body, if it has at most so many bytes and comes in time.
pub async fn body(
    body: Body,
    what: &'static str,
    max: usize,
    patience: Duration,
) -> Result<Bytes, HttpError> {
    body::read(body, Limits { what, max, drained: EVENT_DRAINED_MAX, patience }).await
}

/// The job that signed the body.
pub fn authenticate(keys: &MasterKeys, headers: &HeaderMap, body: &[u8]) -> Result<Signer, HttpError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signature = header(SIGNATURE_HEADER).and_then(Signature::parse);
    let signature = signature.ok_or(HttpError::Unauthorized("a report needs the header HTC-Signature"))?;
    let key: Option<JobKey> = header(JOB_KEY_HEADER).and_then(|text| text.parse().ok());
    let key = key.ok_or(HttpError::Unauthorized("a report needs the header HTC-Job-Key"))?;
    let wrong = HttpError::Unauthorized("the signature is not that of this job");
    let master = keys.get(&signature.key_id).ok_or(wrong.clone())?;
    let secret = events::job_key(master, &key);
    if signature.is_of(&secret, body) {
        Ok(Signer { key, key_id: signature.key_id, secret })
    } else {
        Err(wrong)
    }
}
