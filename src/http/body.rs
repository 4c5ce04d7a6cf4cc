//! The body of a request: whole, not too large, and in time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
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
    Incoming::new(body, limits).whole().await
}

/// A body that arrives. Its sender has the patience anew for each call here.
pub struct Incoming {
    chunks: BodyDataStream,
    limits: Limits,
    announced: Option<usize>,
    kept: Vec<u8>,
    seen: usize,
}

impl Incoming {
    /// Nothing of it is read yet.
    pub fn new(body: Body, limits: Limits) -> Incoming {
        let announced = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
        Incoming { chunks: body.into_data_stream(), limits, announced, kept: Vec::new(), seen: 0 }
    }

    /// Its size at most, before all of it is there.
    pub fn most(&self) -> usize {
        self.announced.unwrap_or(self.limits.max).min(self.limits.max)
    }

    /// So many bytes have come.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Reads until more than so many bytes have come; true if it has ended before.
    pub async fn ends_within(&mut self, bytes: usize) -> Result<bool, HttpError> {
        let slow = HttpError::TooSlow("the body did not arrive in time");
        timeout(self.limits.patience, self.up_to(bytes)).await.map_err(|_| slow)?
    }

    /// Reads it to its end.
    pub async fn whole(mut self) -> Result<Bytes, HttpError> {
        self.kept.reserve_exact(self.most().saturating_sub(self.kept.len()));
        self.ends_within(self.limits.drained).await?;
        let Limits { what, max, .. } = self.limits;
        if self.seen > max {
            return Err(HttpError::TooLarge(format!("{what} has at most {} KiB", max >> 10)));
        }
        Ok(self.kept.into())
    }

    /// Reads it and throws it away, so that its sender reads what it is answered.
    pub async fn drain(mut self) {
        (self.kept, self.limits.max) = (Vec::new(), 0);
        let _ = self.ends_within(self.limits.drained).await;
    }

    async fn up_to(&mut self, bytes: usize) -> Result<bool, HttpError> {
        while self.seen <= bytes {
            let Some(chunk) = self.chunks.next().await else { return Ok(true) };
            let broken = |_| HttpError::BadRequest("the body did not arrive whole".to_owned());
            let chunk = chunk.map_err(broken)?;
            self.seen += chunk.len();
            if self.seen <= self.limits.max {
                self.kept.extend_from_slice(&chunk);
            } else {
                self.kept = Vec::new();
            }
        }
        Ok(false)
    }
}
