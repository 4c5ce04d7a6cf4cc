//! The body of a request: whole, not too large, and in time.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures::StreamExt;
use tokio::time::timeout;

use super::error::HttpError;

/// How much of a body is taken.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What it is, for sentences: `an event`.
    pub what: &'static str,
    /// So many bytes at most.
    pub max: usize,
    /// Of a larger body so much is read and thrown away, so that its sender gets to read why it is
    /// refused, and not only that nobody listens any more.
    pub drained: usize,
    /// How long it may take to arrive.
    pub patience: Duration,
}

/// Reads a body.
pub async fn read(body: Body, limits: Limits) -> Result<Bytes, HttpError> {
    let slow = HttpError::TooSlow("the body did not arrive in time");
    timeout(limits.patience, whole(body, limits)).await.map_err(|_| slow)?
}

async fn whole(body: Body, limits: Limits) -> Result<Bytes, HttpError> {
    let Limits { what, max, drained, patience: _ } = limits;
    let announced = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    let (mut kept, mut seen) = (Vec::with_capacity(announced.unwrap_or(0).min(max)), 0);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| HttpError::BadRequest("the body did not arrive whole".to_owned()))?;
        seen += chunk.len();
        if seen <= max {
            kept.extend_from_slice(&chunk);
        } else {
            kept = Vec::new();
            if seen > drained {
                break;
            }
        }
    }
    if seen > max {
        return Err(HttpError::TooLarge(format!("{what} has at most {} KiB", max >> 10)));
    }
    Ok(kept.into())
}
