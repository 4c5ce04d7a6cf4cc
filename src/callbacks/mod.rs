//! The door for what jobs say: signed CloudEvents about themselves, where an answer of 202 means that
//! the report is on disk; and the polls through which they are asked for things.

mod answer;
mod poll;
mod receive;
mod signed;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use htc_core::events;
use htc_core::poll::{ANSWER_PATH, POLL_PATH};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::engine::Engine;
use crate::engine::keys::MasterKeys;
use crate::http::error::HttpError;
use crate::limits::{CONNECTIONS, EVENT_PATIENCE};
use crate::metrics::Metrics;

/// How bodies are received.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether unsigned events are taken: nothing in them is believed, but the pool is looked at.
    pub allow_unsigned: bool,
    /// How long a body may take to arrive.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { allow_unsigned: false, patience: EVENT_PATIENCE }
    }
}

/// What the routes share.
#[derive(Clone)]
struct State {
    engine: Engine,
    keys: Arc<MasterKeys>,
    metrics: Arc<Metrics>,
    options: Options,
    /// Large bodies that are under way: polls need thousands of connections, and whoever fills them with
    /// bodies must not fill our memory.
    bodies: Arc<Semaphore>,
}

impl State {
    /// A place for a large body.
    async fn place(&self) -> Result<SemaphorePermit<'_>, HttpError> {
        let full = HttpError::NotReady("too much is under way; try again");
        let place = timeout(self.options.patience, self.bodies.acquire()).await.map_err(|_| full)?;
        Ok(place.expect("nobody closes it"))
    }
}

/// The routes that workers reach.
pub fn router(engine: Engine, keys: Arc<MasterKeys>, metrics: Arc<Metrics>, options: Options) -> Router {
    let nothing = || async { HttpError::NotFound(format!("nothing is here; events go to {}", events::PATH)) };
    Router::new()
        .route(events::PATH, post(receive::receive))
        .route(POLL_PATH, post(poll::poll))
        .route(ANSWER_PATH, post(answer::answer))
        .fallback(nothing)
        .method_not_allowed_fallback(|| async { HttpError::MethodNotAllowed("events are sent by POST") })
        .with_state(State { engine, keys, metrics, options, bodies: Arc::new(Semaphore::new(CONNECTIONS)) })
}

/// The same path while no operator runs: it only answers tests of the way.
pub fn probe_router(keys: Arc<MasterKeys>) -> Router {
    Router::new().route(events::PATH, post(receive::probe)).with_state(keys)
}
