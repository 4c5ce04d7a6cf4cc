//! What happens to an HTCJob: accepted, refused, or left.

use std::time::Instant;

use htc_core::workload::Workload;
use kube::api::{PartialObjectMeta, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::DOOR;
use super::error::{ReconcileError, is_absent};
use super::object::{FINALIZER, Seen};
use super::state::DoorState;
use super::types::HTCJob;
use super::write::{Written, publish, write_status};
use super::{leaving, status};
use crate::crash_point;
use crate::engine::{Want, Wish};
use crate::limits::{CONFLICT_PAUSE, GONE_LOOK};

/// A valid object that we do not know: finalizer, then wish, then as every other.
pub async fn accept(job: &Seen, state: &DoorState, workload: Workload) -> Result<Action, ReconcileError> {
    // An object that had our finalizer before we knew it was known to an earlier store.
    let seen_before = job.has_finalizer();
    if !seen_before {
        if !set_finalizer(job, state, true).await? {
            return Ok(Action::requeue(CONFLICT_PAUSE));
        }
        crash_point!("finalizer-set");
    }
    let wish = Wish {
        uid: job.uid.clone(),
        door: DOOR,
        namespace: job.namespace.clone(),
        name: job.name.clone(),
        workload,
        seen_before,
        settled: if seen_before { job.settled() } else { Vec::new() },
        owner: None,
    };
    state.engine.run(wish).await?;
    follow(job, state).await
}

/// An object whose wish is known: its status says what the board says. What was accepted counts,
/// not what we would accept today.
pub async fn follow(job: &Seen, state: &DoorState) -> Result<Action, ReconcileError> {
    // Until this life has written it, its status may know more than our store, which may be of a backup.
    let is_ours = state.memory(&job.uid, |memory| memory.written.is_some());
    if !is_ours {
        state.engine.settle(&job.uid, job.settled()).await?;
    }
    // The bell rings for every copy: one status is made for many of them, but the last at once.
    let pause = state.status_pause(&job.uid);
    if !pause.is_zero() && !state.engine.is_over(&job.uid) {
        return Ok(Action::requeue(pause));
    }
    let began = Instant::now();
    let Some(view) = state.engine.view(&job.uid) else { return Ok(Action::await_change()) };
    // Before the first complete answer of this life we may know less than what an earlier one has said; the
    // bell rings when it is there.
    let told = !is_ours && job.object.status.as_ref().is_some_and(|status| status.phase.is_some());
    if view.want != Want::Run || (told && !state.engine.is_ready()) {
        return Ok(Action::await_change());
    }
    let old = state.newest_status(job);
    let indices = if view.is_whole { view.indices } else { job.indices() };
    let new = status::status(job.subject(indices), &view, &old);
    state.made_status(&job.uid, began.elapsed());
    match write_status(job, state, &old, new).await? {
        Written::Vanished => return Ok(Action::await_change()),
        Written::Later(wait) => return Ok(Action::requeue(wait)),
        Written::Same => {}
    }
    let ended: Vec<u32> = view.jobs.iter().filter(|j| j.progress.end().is_some()).map(|j| j.index).collect();
    state.engine.published(&job.uid, &ended).await?;
    Ok(Action::await_change())
}

/// An object that can never run: its status says why, and only an edit can help.
pub async fn refuse(job: &Seen, state: &DoorState, why: &str) -> Result<Action, ReconcileError> {
    let old = state.newest_status(job);
    let new = status::refused(job.subject(job.indices()), why, &old);
    Ok(match write_status(job, state, &old, new).await? {
        Written::Later(wait) => Action::requeue(wait),
        Written::Same | Written::Vanished => Action::await_change(),
    })
}

/// A deleted object: its jobs go first, then the finalizer.
pub async fn leave(job: &Seen, state: &DoorState) -> Result<Action, ReconcileError> {
    if !job.has_finalizer() {
        // Somebody took it off: the object goes at once, and its jobs follow.
        if state.engine.want(&job.uid).is_some() {
            state.engine.gone(&job.uid, DOOR).await?;
        }
        state.forget(&job.uid);
        return Ok(Action::await_change());
    }
    if job.abandons_jobs() {
        abandon(job, state).await?;
    } else {
        state.engine.gone(&job.uid, DOOR).await?;
    }
    let Some(awaited) = state.engine.awaited(&job.uid) else {
        if !set_finalizer(job, state, false).await? {
            return Ok(Action::requeue(CONFLICT_PAUSE));
        }
        crash_point!("finalizer-removed");
        state.forget(&job.uid);
        return Ok(Action::await_change());
    };
    let old = state.newest_status(job);
    let inherited = state.engine.is_inherited(&job.uid);
    let new = leaving::status(&leaving::Subject::of(job, inherited), &awaited, &old);
    let event = tell(leaving::reason(&awaited), leaving::is_warning(&awaited), new.message.clone());
    Ok(Action::requeue(match write_status(job, state, &old, new).await? {
        Written::Later(wait) => wait,
        Written::Same | Written::Vanished => {
            if state.memory(&job.uid, |memory| memory.told.insert(leaving::reason(&awaited))) {
                publish(job, state, event);
            }
            // The bell of a workload without a name cannot name its object: look again anyway.
            GONE_LOOK
        }
    }))
}

/// An admin does not want to wait for the jobs of a deleted object.
async fn abandon(job: &Seen, state: &DoorState) -> Result<(), ReconcileError> {
    let Seen { uid, namespace, name, .. } = job;
    state.engine.gone(uid, DOOR).await?;
    if let Some(awaited) = state.engine.awaited(uid) {
        // Their ads have no key of ours, so that nothing finds them once they are forgotten.
        let inherited = state.engine.is_inherited(uid).then(|| state.engine.view(uid)).flatten();
        let ids = inherited.map(|view| {
            let ids = view.jobs.iter().filter_map(|job| job.progress.job());
            ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
        });
        state.engine.abandon(uid, DOOR).await?;
        let note = match ids {
            Some(ids) => format!(
                "let go by the annotation htc.cern.ch/abandon-jobs: jobs of the predecessor are NOT removed \
                 later; if they are left: condor_rm {ids}"
            ),
            None => "let go by the annotation htc.cern.ch/abandon-jobs: jobs of it may be left in HTCondor's queue, \
                    and are removed when the pool answers".to_owned(),
        };
        tracing::warn!(%uid, namespace, name, ?awaited, "an HTCJob was {note}");
        publish(job, state, tell("JobsAbandoned", true, Some(note)));
    }
    Ok(())
}

/// The event that tells of a deletion.
fn tell(reason: &str, warning: bool, note: Option<String>) -> Event {
    Event {
        type_: if warning { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        note,
        action: "Delete".to_owned(),
        secondary: None,
    }
}

/// Adds or takes away our finalizer, on exactly the object that we saw; false when it has changed
/// since, as by our own status, and the watch is about to bring it.
pub(super) async fn set_finalizer(
    job: &Seen,
    state: &DoorState,
    present: bool,
) -> Result<bool, ReconcileError> {
    let others = job.object.finalizers().iter().filter(|f| *f != FINALIZER).cloned();
    let finalizers: Vec<String> = others.chain(present.then(|| FINALIZER.to_owned())).collect();
    let patch = json!({ "metadata": {
        "uid": job.uid,
        "resourceVersion": job.object.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let api: Api<PartialObjectMeta<HTCJob>> = Api::namespaced(state.client.clone(), &job.namespace);
    match api.patch_metadata(&job.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(e)) if is_absent(&e) && !present => Ok(true),
        Err(kube::Error::Api(e)) if e.code == 409 => Ok(false),
        other => other.map(|_| true).map_err(ReconcileError::Finalizer),
    }
}
