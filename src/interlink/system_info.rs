//! `/system-info`: whether the pool answers, in the words of the predecessor.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Door;

pub(super) async fn system_info(State(door): State<Arc<Door>>) -> Json<Value> {
    let trouble = door.engine.pool_trouble();
    Json(json!({
        "status": if trouble.is_none() { "ok" } else { "warning" },
        "timestamp": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "htcondor_connected": trouble.is_none(),
        "message": trouble.unwrap_or_else(|| "the pool answers".to_owned()),
    }))
}
