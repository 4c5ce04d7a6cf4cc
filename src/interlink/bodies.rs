//! The bodies of calls: read, and turned into words. A pod takes several times the memory of its body until it
//! is kept, so only so many bytes of them are there at a time; a call waits for its turn.

use std::sync::Arc;

use axum::extract::Request;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::panicked;
use super::words::one_or_many;
use crate::http::body::{Incoming, Limits};
use crate::http::error::HttpError;
use crate::limits::{
    BODIES_AT_ONCE, BODY_DRAINED_MAX, BODY_FREE, BODY_MAX, BODY_PARSED_HERE, BODY_PATIENCE, BODY_SMALL,
};

/// Room for bodies, in KiB. The large ones have one of their own, so that no small one waits behind them.
pub struct Bodies {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Bodies with more bytes take a share of a room.
    free: usize,
}

/// What a call brings.
#[derive(Debug)]
pub struct Call<T> {
    /// In its order.
    pub items: Vec<T>,
    /// The room that it takes until this is dropped: to be kept as long as the items.
    pub share: Share,
    /// It is worked on where no other call is answered.
    pub is_large: bool,
}

/// The room that a body takes, until this is dropped.
pub type Share = Option<OwnedSemaphorePermit>;

impl Bodies {
    /// Of what waits for the disk: every one has its share, however small, as many may wait.
    pub fn to_be_kept() -> Bodies {
        Bodies::new(0)
    }

    /// Of questions, which are answered at once: what is asked in a few words waits for nobody.
    pub fn of_questions() -> Bodies {
        Bodies::new(BODY_FREE)
    }

    fn new(free: usize) -> Bodies {
        let room = || Arc::new(Semaphore::new(BODIES_AT_ONCE >> 10));
        Bodies { small: room(), large: room(), free }
    }

    /// What a call brings.
    pub async fn read<T>(&self, request: Request) -> Result<Call<T>, HttpError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let limits =
            Limits { what: "a request", max: BODY_MAX, drained: BODY_DRAINED_MAX, patience: BODY_PATIENCE };
        let mut body = Incoming::new(request.into_body(), limits);
        // Who only announces a body, or sends it without its length, has no share for that.
        let bytes = if body.ends_within(BODY_FREE).await? { body.seen() } else { body.most() };
        let mut share = None;
        if bytes > self.free {
            let Ok(taken) = timeout(BODY_PATIENCE, self.share(bytes)).await else {
                // Who is not answered publishes its own token, and who writes does not read.
                body.drain().await;
                return Err(HttpError::NotReady(
                    "too much is being brought at the same time; bring it again",
                ));
            };
            share = Some(taken);
        }
        let body = body.whole().await?;
        // What was taken for the largest body, because its length was not told.
        drop(
            share.as_mut().and_then(|share| share.split(share.num_permits().saturating_sub(kib(body.len())))),
        );
        let is_large = body.len() > BODY_PARSED_HERE;
        if !is_large {
            return Ok(Call { items: one_or_many(&body)?, share, is_large });
        }
        let parsed = tokio::task::spawn_blocking(move || one_or_many(&body)).await;
        let parsed = parsed.map_err(|why| panicked("reading the body of a call", &why))?;
        Ok(Call { items: parsed?, share, is_large })
    }

    async fn share(&self, bytes: usize) -> OwnedSemaphorePermit {
        let room = if bytes <= BODY_SMALL { &self.small } else { &self.large };
        let share = u32::try_from(kib(bytes.min(BODY_MAX))).unwrap_or(u32::MAX);
        room.clone().acquire_many_owned(share).await.expect("the room is never closed")
    }
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1 << 10)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::{Body, Bytes};
    use futures::{FutureExt, StreamExt, stream};

    use super::*;

    fn call(bytes: usize) -> Request {
        Request::new(Body::from(text(bytes)))
    }

    fn text(bytes: usize) -> String {
        format!("[{}]", " ".repeat(bytes - 2))
    }

    /// Without its length, in pieces of 16 KiB.
    fn in_chunks(bytes: usize) -> Request {
        let text = Bytes::from(text(bytes));
        let pieces: Vec<_> =
            text.chunks(16 << 10).map(|piece| Ok::<_, Infallible>(text.slice_ref(piece))).collect();
        Request::new(Body::from_stream(stream::iter(pieces)))
    }

    /// Of which only the beginning ever comes.
    fn stuck(bytes: usize) -> Request {
        let began = stream::iter([Ok::<_, Infallible>(text(bytes))]);
        Request::new(Body::from_stream(began.chain(stream::pending())))
    }

    #[tokio::test]
    async fn large_bodies_wait_for_one_another_and_small_ones_for_no_large_one() {
        let bodies = Bodies::to_be_kept();
        let read = |bytes| bodies.read::<u8>(call(bytes));
        let mut shares = Vec::new();
        for _ in 0..BODIES_AT_ONCE / BODY_MAX {
            shares.push(read(BODY_MAX).await.unwrap().share);
        }
        assert!(read(BODY_MAX).now_or_never().is_none(), "there is no room for one more");
        assert!(read(BODY_PARSED_HERE).now_or_never().is_some());
        shares.pop();
        assert!(read(BODY_MAX).await.is_ok());
    }

    #[tokio::test]
    async fn what_waits_for_the_disk_is_bounded_however_small_it_is() {
        let bodies = Bodies::to_be_kept();
        let mut shares = Vec::new();
        for _ in 0..BODIES_AT_ONCE / BODY_SMALL {
            shares.push(bodies.read::<u8>(call(BODY_SMALL)).await.unwrap().share);
        }
        assert!(bodies.read::<u8>(call(2)).now_or_never().is_none());
        shares.pop();
        assert!(bodies.read::<u8>(call(2)).now_or_never().is_some());
    }

    #[tokio::test]
    async fn short_questions_wait_for_no_other() {
        let bodies = Bodies::of_questions();
        let mut shares = Vec::new();
        for bytes in [BODY_SMALL, BODY_MAX] {
            for _ in 0..BODIES_AT_ONCE / bytes {
                shares.push(bodies.read::<u8>(call(bytes)).await.unwrap().share);
            }
        }
        assert!(bodies.read::<u8>(call(BODY_FREE + 1)).now_or_never().is_none());
        assert!(bodies.read::<u8>(call(BODY_FREE)).now_or_never().is_some());
        assert!(bodies.read::<u8>(in_chunks(BODY_FREE)).now_or_never().is_some(), "of no length");
        assert!(bodies.read::<u8>(Request::new(Body::empty())).now_or_never().is_some(), "a ping");
    }

    #[tokio::test]
    async fn a_body_has_a_share_of_what_came_and_not_of_what_was_announced() {
        let bodies = Bodies::to_be_kept();
        let mut slow: Vec<_> = (0..100).map(|_| Box::pin(bodies.read::<u8>(stuck(BODY_FREE)))).collect();
        for call in &mut slow {
            assert!(call.now_or_never().is_none());
        }
        assert_eq!(bodies.large.available_permits(), BODIES_AT_ONCE >> 10);
        let small = bodies.read::<u8>(in_chunks(2)).await.unwrap();
        assert_eq!(small.share.unwrap().num_permits(), 1);
        let larger = bodies.read::<u8>(in_chunks(BODY_PARSED_HERE)).await.unwrap();
        assert_eq!(larger.share.unwrap().num_permits(), BODY_PARSED_HERE >> 10);
        assert_eq!(bodies.large.available_permits(), BODIES_AT_ONCE >> 10);
    }
}
