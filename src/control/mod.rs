//! The control socket, `<data-dir>/control.sock`: how `logs`, `jobs` and later sub-commands ask the
//! operator that runs. It is never an open port.

pub mod client;
mod db;
mod find;
pub mod frames;
pub mod jobs;
pub mod logs;
pub mod outputs;
pub mod trouble;

use std::path::{Path, PathBuf};

use axum::Router;
use axum::routing::{get, post};

use crate::engine::Engine;

/// Where the socket is.
pub fn socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// The routes of the socket.
pub fn router(engine: Engine) -> Router {
    Router::new()
        .route("/logs", get(logs::logs))
        .route("/jobs", get(jobs::jobs))
        .route("/outputs", get(outputs::outputs))
        .route("/db/accept", post(db::accept))
        .with_state(engine)
}
