//! Writes the status, and an event for each condition that has come true.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource};
use serde_json::json;
use tokio::time::timeout;

use super::error::ReconcileError;
use super::object::Seen;
use super::state::DoorState;
use super::status;
use super::types::{HTCJob, HTCJobStatus};
use crate::crash_point;
use crate::limits::{EVENT_DEADLINE, STATUS_GAP};

/// What became of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The API server has it.
    Same,
    /// It is too early: after this time.
    Later(Duration),
    /// The object is gone, or is another one of the same name.
    Vanished,
}

/// Writes what has changed, at most once in [`STATUS_GAP`].
pub async fn write_status(
    job: &Seen,
    state: &DoorState,
    old: &HTCJobStatus,
    new: HTCJobStatus,
) -> Result<Written, ReconcileError> {
    let Some(mut patch) = status::patch(old, &new) else { return Ok(Written::Same) };
    let last = state.memory(&job.uid, |memory| memory.written.as_ref().map(|(at, _)| *at));
    let ends = new.completion_time.is_some() && old.completion_time.is_none();
    if let Some(early) = last.and_then(|at| STATUS_GAP.checked_sub(at.elapsed()))
        && !ends
    {
        return Ok(Written::Later(early));
    }
    // An object of the same name that was made anew must not inherit this.
    patch["metadata"] = json!({ "uid": job.uid });
    let api: Api<HTCJob> = Api::namespaced(state.client.clone(), &job.namespace);
    let written = api.patch_status(&job.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    let label = if written.is_ok() { "ok" } else { "error" };
    state.metrics.status_writes.get_or_create(&label.into()).inc();
    match written {
        Err(kube::Error::Api(e)) if matches!(e.code, 404 | 409) => return Ok(Written::Vanished),
        other => other.map_err(ReconcileError::Status)?,
    };
    crash_point!("status-written");
    tell(job, state, old, &new);
    state.memory(&job.uid, |memory| memory.written = Some((Instant::now(), new)));
    Ok(Written::Same)
}

/// One event for each condition that has come true. One that cannot be written holds nothing back.
fn tell(job: &Seen, state: &DoorState, old: &HTCJobStatus, new: &HTCJobStatus) {
    let holds = |status: &HTCJobStatus, kind: &str| {
        status.conditions.iter().any(|c| c.type_ == kind && c.status == "True")
    };
    for condition in new.conditions.iter().filter(|c| c.status == "True" && !holds(old, &c.type_)) {
        let event = Event {
            type_: if condition.type_ == "Failed" { EventType::Warning } else { EventType::Normal },
            reason: condition.type_.clone(),
            note: Some(format!("{}: {}", condition.reason, condition.message)),
            action: "Follow".to_owned(),
            secondary: None,
        };
        let (recorder, object, name) = (state.recorder.clone(), job.object.object_ref(&()), job.name.clone());
        tokio::spawn(async move {
            let published = timeout(EVENT_DEADLINE, recorder.publish(&event, &object)).await;
            if !matches!(published, Ok(Ok(()))) {
                tracing::debug!(?published, name, "failed to write an event");
            }
        });
    }
}
