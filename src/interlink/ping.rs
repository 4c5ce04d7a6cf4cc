//! `/pinglink`, and `/status` without pods: that we are here, and what the pool has. It is answered well
//! as long as this process lives: a node whose ping fails loses its pods after five minutes, and what is
//! wrong with the pool would end all of them.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;

use super::Door;
use super::words::{PingResponse, Resources};

pub(super) async fn ping(State(door): State<Arc<Door>>) -> Json<PingResponse> {
    Json(answer(&door))
}

/// The answer to a ping.
pub fn answer(door: &Door) -> PingResponse {
    door.count("ping");
    door.heard.call(Instant::now());
    let message = door.trouble().unwrap_or_else(|| "the pool answers".to_owned());
    PingResponse {
        status: "healthy".to_owned(),
        message,
        resources: door.resources().unwrap_or_default(),
        taints: Vec::new(),
    }
}

impl Door {
    /// Why the pool does not answer, if it does not.
    pub(super) fn trouble(&self) -> Option<String> {
        let pool = self.engine.troubles().pool;
        let why =
            pool.map(|trouble| format!("the pool has not answered since {}: {}", trouble.since, trouble.why));
        why.or_else(|| (!self.engine.is_ready()).then(|| "the pool has not answered yet".to_owned()))
    }

    /// What the pool has; nothing before anybody has looked.
    fn resources(&self) -> Option<Resources> {
        None
    }
}
