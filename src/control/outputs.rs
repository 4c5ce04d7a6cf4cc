//! `GET /outputs`: how many jobs have outputs that cannot be fetched from the pool, and why.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LateOutputs {
    /// How many jobs.
    pub jobs: usize,
    /// Why those of one of them do not come.
    pub why: Option<String>,
}

/// Answers it.
pub async fn outputs(State(engine): State<Engine>) -> Json<LateOutputs> {
    let (jobs, first) = engine.late_outputs();
    Json(LateOutputs { jobs, why: first.map(|obstacle| obstacle.why) })
}
