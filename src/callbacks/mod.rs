//! The door for what jobs say of themselves: signed CloudEvents over HTTP. An answer of 202 means
//! that the report is on disk.

mod receive;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use htc_core::events;

use crate::engine::Engine;
use crate::engine::keys::MasterKeys;
use crate::http::error::HttpError;
use crate::limits::EVENT_PATIENCE;
use crate::metrics::Metrics;

/// How events are received.
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
}

/// The routes that workers reach.
pub fn router(engine: Engine, keys: Arc<MasterKeys>, metrics: Arc<Metrics>, options: Options) -> Router {
    let nothing = || async { HttpError::NotFound(format!("nothing is here; events go to {}", events::PATH)) };
    Router::new()
        .route(events::PATH, post(receive::receive))
        .fallback(nothing)
        .method_not_allowed_fallback(|| async { HttpError::MethodNotAllowed("events are sent by POST") })
        .with_state(State { engine, keys, metrics, options })
}

/// The same path while no operator runs: it only answers tests of the way.
pub fn probe_router(keys: Arc<MasterKeys>) -> Router {
    Router::new().route(events::PATH, post(receive::probe)).with_state(keys)
}
