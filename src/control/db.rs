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
    if !engine.is_compared() {
        let why = "the queue has not been compared with the database yet; try again when the pool answers";
        return Err(HttpError::Conflict(why.to_owned()));
    }
    let differences = engine.accept_queue().await.map_err(|why| HttpError::Conflict(why.to_string()))?;
    Ok(Json(Accepted { differences }))
}
