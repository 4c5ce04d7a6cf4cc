//! `POST /db/accept`: from now on the database belongs to the queue that answers.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::http::error::HttpError;

/// What was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// What differed, a clause each; empty where nothing did.
    pub differences: Vec<String>,
}

pub(super) async fn accept(State(engine): State<Engine>) -> Result<Json<Accepted>, HttpError> {
    let differences = engine.accept_queue().await.map_err(|why| HttpError::Conflict(why.to_string()))?;
    Ok(Json(Accepted { differences }))
}
