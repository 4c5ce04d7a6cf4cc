//! The bodies of calls: read, and turned into words. A pod takes several times the memory of its body until it
//! is kept, so only so many bytes of them are there at a time; a call waits for its turn.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::Request;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::words::one_or_many;
use crate::http::body::{Limits, read};
use crate::http::error::HttpError;
use crate::limits::{
    BODIES_AT_ONCE, BODY_DRAINED_MAX, BODY_MAX, BODY_PARSED_HERE, BODY_PATIENCE, BODY_SMALL,
};

/// Room for bodies, in KiB. The large ones have one of their own, so that no question waits behind them.
pub struct Bodies {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// The room that a body takes, until this is dropped.
pub type Share = OwnedSemaphorePermit;

impl Bodies {
    /// All room is free.
    pub fn new() -> Bodies {
        let room = || Arc::new(Semaphore::new(BODIES_AT_ONCE >> 10));
        Bodies { small: room(), large: room() }
    }

    /// What a call brings. The share is to be kept as long as what was brought.
    pub async fn read<T>(&self, request: Request) -> Result<(Vec<T>, Share), HttpError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let body = request.into_body();
        let limits =
            Limits { what: "a request", max: BODY_MAX, drained: BODY_DRAINED_MAX, patience: BODY_PATIENCE };
        let announced = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
        let Ok(share) = timeout(BODY_PATIENCE, self.share(announced.unwrap_or(BODY_MAX))).await else {
            // Who is not answered publishes its own token, and who writes does not read.
            let _ = read(body, Limits { max: 0, ..limits }).await;
            return Err(HttpError::NotReady("too much is being brought at the same time; bring it again"));
        };
        let body = read(body, limits).await?;
        if body.len() <= BODY_PARSED_HERE {
            return Ok((one_or_many(&body)?, share));
        }
        let parsed = tokio::task::spawn_blocking(move || one_or_many(&body)).await;
        let parsed = parsed.map_err(|why| {
            tracing::error!(%why, "reading the body of a call has panicked");
            HttpError::Internal
        })?;
        Ok((parsed?, share))
    }

    async fn share(&self, bytes: usize) -> Share {
        let room = if bytes <= BODY_SMALL { &self.small } else { &self.large };
        let kib = u32::try_from(bytes.min(BODY_MAX).div_ceil(1 << 10)).unwrap_or(u32::MAX);
        room.clone().acquire_many_owned(kib).await.expect("the room is never closed")
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures::FutureExt;

    use super::*;

    fn call(bytes: usize) -> Request {
        Request::new(Body::from(format!("[{}]", " ".repeat(bytes - 2))))
    }

    #[tokio::test]
    async fn large_bodies_wait_for_one_another_and_small_ones_for_no_large_one() {
        let bodies = Bodies::new();
        let read = |bytes| bodies.read::<u8>(call(bytes));
        let mut shares = Vec::new();
        for _ in 0..BODIES_AT_ONCE / BODY_MAX {
            shares.push(read(BODY_MAX).await.unwrap().1);
        }
        assert!(read(BODY_MAX).now_or_never().is_none(), "there is no room for one more");
        assert!(read(BODY_PARSED_HERE).now_or_never().is_some());
        shares.pop();
        assert!(read(BODY_MAX).await.is_ok());
    }
}
