//! The door for what jobs say of themselves: signed CloudEvents over HTTP. An answer of 202 means
//! that the report is on disk.

mod receive;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use htc_core::events;

use crate::engine::Engine;
use crate::engine::keys::MasterKeys;
use crate::limits::EVENT_BODY_MAX;
use crate::metrics::Metrics;

/// What the routes share.
#[derive(Clone)]
struct State {
    engine: Engine,
    keys: Arc<MasterKeys>,
    metrics: Arc<Metrics>,
}

/// The routes that workers reach.
pub fn router(engine: Engine, keys: Arc<MasterKeys>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route(events::PATH, post(receive::receive))
        .layer(DefaultBodyLimit::max(EVENT_BODY_MAX))
        .with_state(State { engine, keys, metrics })
}
