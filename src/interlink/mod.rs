//! The door for InterLink: virtual kubelets, or the InterLink API server in front of them, bring pods,
//! ask for them, and take them away. One route is one file.

pub mod legacy;
mod words;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::http::error::HttpError;
use crate::limits::{ORPHAN_AFTER, UNKNOWN_WAITS};
use crate::metrics::Metrics;
use crate::pod;

/// The name of this door in wishes.
pub const DOOR: &str = "interlink";

/// What a site decides about this door.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it decides about pods.
    pub pods: pod::Settings,
    /// How long a pod that nobody brought is told as waiting, from the first question after it, before
    /// it is told as lost: its `/create` may still be on its way.
    pub unknown_waits: Duration,
    /// A pod that nobody has asked for in so long, while others were asked for, is taken away; zero:
    /// never.
    pub orphan_after: Duration,
    /// Whether a `jobScript` that comes with a pod is run in the place of its containers.
    pub job_scripts: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            pods: pod::Settings::default(),
            unknown_waits: UNKNOWN_WAITS,
            orphan_after: ORPHAN_AFTER,
            job_scripts: false,
        }
    }
}

/// What the routes share.
pub struct Door {
    engine: Engine,
    settings: Settings,
    metrics: Arc<Metrics>,
}

impl Door {
    /// A door into this engine.
    pub fn new(engine: Engine, settings: Settings, metrics: Arc<Metrics>) -> Arc<Door> {
        Arc::new(Door { engine, settings, metrics })
    }

    /// Its housekeeping, until it is told to stop: ends that were told are published, pods that nobody
    /// asks for are taken away.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let _ = (&self.engine, &self.settings, &self.metrics);
        stop.cancelled().await;
    }
}

/// All routes, for virtual kubelets and API servers alike.
pub fn router(door: Arc<Door>) -> Router {
    let later = || async { HttpError::NotReady("this is not answered yet") };
    let nothing = || async { HttpError::NotFound("nothing is here".to_owned()) };
    Router::new()
        .route("/pinglink", any(later))
        .route("/status", any(later))
        .route("/create", any(later))
        .route("/delete", any(later))
        .route("/getLogs", any(later))
        .route("/updateCache", any(later))
        .route("/system-info", any(later))
        .route("/version", any(later))
        .fallback(nothing)
        .with_state(door)
}
