//! Writes the status, and an event for each condition that has come true.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource};

use super::error::ReconcileError;
use super::object::Seen;
use super::state::DoorState;
use super::status;
use super::types::{HTCJob, HTCJobStatus};
use crate::crash_point;
use crate::limits::STATUS_GAP;

/// Writes what has changed, at most once in [`STATUS_GAP`]; gives how long to wait when it is too
/// early.
pub async fn write_status(
    job: &Seen,
    state: &DoorState,
    old: &HTCJobStatus,
    new: HTCJobStatus,
) -> Result<Option<Duration>, ReconcileError> {
    let Some(patch) = status::patch(old, &new) else { return Ok(None) };
    let last = state.memory(&job.uid, |memory| memory.written.as_ref().map(|(at, _)| *at));
    let ends = new.completion_time.is_some() && old.completion_time.is_none();
    if let Some(early) = last.and_then(|at| STATUS_GAP.checked_sub(at.elapsed()))
        && !ends
    {
        return Ok(Some(early));
    }
    let api: Api<HTCJob> = Api::namespaced(state.client.clone(), &job.namespace);
    let written = api.patch_status(&job.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    let label = if written.is_ok() { "ok" } else { "error" };
    state.metrics.status_writes.get_or_create(&label.into()).inc();
    match written {
        Err(kube::Error::Api(e)) if e.code == 404 => return Ok(None),
        other => other.map_err(ReconcileError::Status)?,
    };
    crash_point!("status-written");
    tell(job, state, old, &new).await;
    state.memory(&job.uid, |memory| memory.written = Some((Instant::now(), new)));
    Ok(None)
}

/// One event for each condition that has come true. One that cannot be written holds nothing back.
async fn tell(job: &Seen, state: &DoorState, old: &HTCJobStatus, new: &HTCJobStatus) {
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
        if let Err(why) = state.recorder.publish(&event, &job.object.object_ref(&())).await {
            tracing::debug!(%why, name = job.name, "failed to write an event");
        }
    }
}
