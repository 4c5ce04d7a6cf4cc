//! `/pinglink`, and `/status` without pods: that we are here, and what the pool has. It is answered well
//! as long as this process lives: a node whose ping fails loses its pods after five minutes, and what is
//! wrong with the pool would end all of them. Only where the site says so it fails for want of a
//! credential.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Door;
use super::words::{Accelerator, PingResponse, Resources};
use crate::engine::Capacity;
use crate::pod::resources::gpu_resource;

/// What virtual kubelets and API servers of every version send, and nobody who only watches.
const SESSION: &str = "interlink-http-session";

pub(super) async fn ping(State(door): State<Arc<Door>>, headers: HeaderMap) -> Response {
    answer(&door, &headers)
}

/// The answer to a ping.
pub fn answer(door: &Door, headers: &HeaderMap) -> Response {
    door.count("ping");
    // A monitor's ping does not say that virtual kubelets are there, which would ask for their pods.
    if headers.contains_key(SESSION) {
        door.heard.call(Instant::now());
    }
    if let Some(why) = door.settings.ping_check.as_ref().and_then(|check| check.0()) {
        return (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response();
    }
    let message = door.engine.pool_trouble().unwrap_or_else(|| "the pool answers".to_owned());
    let (status, resources) = ("healthy".to_owned(), door.resources().unwrap_or_default());
    Json(PingResponse { status, message, resources, taints: Vec::new() }).into_response()
}

impl Door {
    /// What the pool has; nothing before it has said so.
    fn resources(&self) -> Option<Resources> {
        self.engine.capacity().map(|capacity| resources(&capacity))
    }
}

/// All that is there, taken or free: callers count themselves. Resources that were named once are named
/// for ever, as `Capacity` has it; they would keep their last value.
fn resources(capacity: &Capacity) -> Resources {
    let mut gpus: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (device, count) in &capacity.gpus {
        *gpus.entry(gpu_resource(device)).or_default() += count;
    }
    let accelerator = |(kind, count): (&'static str, u64)| Accelerator {
        resource_type: kind.to_owned(),
        available: count.to_string(),
    };
    Resources {
        cpu: Some(capacity.cpus.to_string()),
        memory: Some(capacity.memory.to_string()),
        pods: Some(capacity.jobs.to_string()),
        accelerators: gpus.into_iter().map(accelerator).collect(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn every_number_is_a_text_and_gpus_go_by_their_maker() {
        let gpus = [("NVIDIA A100", 3), ("Tesla V100", 0), ("AMD Instinct", 2)];
        let capacity = Capacity {
            cpus: 128,
            memory: 1 << 40,
            disk: 0,
            gpus: gpus.map(|(device, count)| (device.to_owned(), count)).into(),
            slots: 4,
            jobs: 5_000,
            at: Timestamp::UNIX_EPOCH,
            trouble: None,
        };
        let expected = serde_json::json!({
            "cpu": "128",
            "memory": "1099511627776",
            "pods": "5000",
            "accelerators": [
                { "resourceType": "amd.com/gpu", "available": "2" },
                { "resourceType": "nvidia.com/gpu", "available": "3" },
            ],
        });
        assert_eq!(serde_json::to_value(resources(&capacity)).unwrap(), expected);
    }
}
