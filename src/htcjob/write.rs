//! Writes the status, and events of what is new in it.

use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource};
use serde_json::json;
use tokio::time::timeout;

use super::error::{ReconcileError, is_absent};
use super::holds::{self, HELD, RELEASED};
use super::object::Seen;
use super::outputs::LATE;
use super::state::DoorState;
use super::status;
use super::tracked::TRACKED;
use super::types::{HTCJob, HTCJobStatus};
use super::workers::WORKER_CANNOT_RUN;
use crate::crash_point;
use crate::engine::shortened;
use crate::limits::{EVENT_DEADLINE, EVENT_NOTE_MAX, STATUS_GAP};

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
    let last = state.memory(&job.uid, |memory| memory.written);
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
        Err(kube::Error::Api(e)) if e.code == 409 || is_absent(&e) => return Ok(Written::Vanished),
        other => other.map_err(ReconcileError::Status)?,
    };
    crash_point!("status-written");
    tell(job, state, old, &new);
    state.memory(&job.uid, |memory| (memory.written, memory.unseen) = (Some(Instant::now()), Some(new)));
    Ok(Written::Same)
}

/// Writes the events. One that cannot be written holds nothing back.
fn tell(job: &Seen, state: &DoorState, old: &HTCJobStatus, new: &HTCJobStatus) {
    for event in events(old, new) {
        publish(job, state, event);
    }
}

/// Writes an event, and does not wait for it.
pub fn publish(job: &Seen, state: &DoorState, event: Event) {
    let event = Event { note: event.note.map(|note| shortened(note, EVENT_NOTE_MAX)), ..event };
    let (recorder, object, name) = (state.recorder.clone(), job.object.object_ref(&()), job.name.clone());
    tokio::spawn(async move {
        let published = timeout(EVENT_DEADLINE, recorder.publish(&event, &object)).await;
        if !matches!(published, Ok(Ok(()))) {
            tracing::debug!(?published, name, "failed to write an event");
        }
    });
}

/// One event for each condition that has come true; of holds one for each code that is new, and one
/// when nothing is on hold any more.
fn events(old: &HTCJobStatus, new: &HTCJobStatus) -> Vec<Event> {
    let holds_true = |status: &HTCJobStatus, kind: &str| {
        status.conditions.iter().any(|c| c.type_ == kind && c.status == "True")
    };
    let event = |type_, reason: &str, action: &str, note: String| Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    };
    // Each machine is news.
    let is_told = |c: &Condition| {
        holds_true(old, &c.type_)
            && (c.type_ != WORKER_CANNOT_RUN || old.conditions.iter().any(|old| old.message == c.message))
    };
    let come_true = new.conditions.iter().filter(|c| c.status == "True" && !is_told(c));
    let of_conditions = come_true.filter(|c| c.type_ != HELD).map(|c| {
        let warns = ["Failed", LATE, WORKER_CANNOT_RUN].contains(&c.type_.as_str());
        let type_ = if warns { EventType::Warning } else { EventType::Normal };
        event(type_, &c.type_, "Follow", format!("{}: {}", c.reason, c.message))
    });
    let is_new = |n: usize, reason: &str| old.holds.iter().chain(&new.holds[..n]).all(|h| h.reason != reason);
    let of_holds =
        new.holds.iter().enumerate().filter(|(n, hold)| is_new(*n, &hold.reason)).map(|(_, hold)| {
            // The recorder counts events of the same reason and action as one.
            let note = format!("{}: {}", hold.reason, holds::sentence(hold));
            event(EventType::Warning, HELD, &hold.reason, note)
        });
    let released =
        new.conditions.iter().find(|c| c.type_ == HELD && c.status == "False" && holds_true(old, HELD));
    let released = released.map(|c| event(EventType::Normal, RELEASED, "Follow", c.message.clone()));
    // The recorder counts events of the same reason and action as one.
    let untracked = new.conditions.iter().filter(|c| {
        let is_it =
            |old: &&Condition| old.type_ == c.type_ && old.status == c.status && old.reason == c.reason;
        c.type_ == TRACKED && c.status == "False" && !old.conditions.iter().any(|old| is_it(&old))
    });
    let untracked = untracked.map(|c| event(EventType::Warning, &c.reason, &c.reason, c.message.clone()));
    let is_away = |status: &HTCJobStatus| {
        status.conditions.iter().any(|c| c.type_ == status::POOL_REACHABLE && c.status == "False")
    };
    let away = new.conditions.iter().find(|c| c.type_ == status::POOL_REACHABLE);
    let away = away.filter(|_| is_away(new) && !is_away(old));
    let away = away.map(|c| event(EventType::Warning, &c.reason, "Follow", c.message.clone()));
    of_conditions.chain(of_holds).chain(released).chain(untracked).chain(away).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::super::types::Hold;
    use super::*;

    fn status(conditions: &[(&str, &str)], reasons: &[&str]) -> HTCJobStatus {
        let condition = |(kind, status): &(&str, &str)| Condition {
            type_: (*kind).to_owned(),
            status: (*status).to_owned(),
            reason: "R".to_owned(),
            message: "m".to_owned(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: None,
        };
        let hold = |reason: &&str| Hold { reason: (*reason).to_owned(), ..Hold::default() };
        HTCJobStatus {
            conditions: conditions.iter().map(condition).collect(),
            holds: reasons.iter().map(hold).collect(),
            ..HTCJobStatus::default()
        }
    }

    fn told(old: &HTCJobStatus, new: &HTCJobStatus) -> Vec<(EventType, String, String)> {
        events(old, new).into_iter().map(|e| (e.type_, e.reason, e.action)).collect()
    }

    #[test]
    fn each_machine_that_cannot_run_a_copy_is_told() {
        let mut first = status(&[(WORKER_CANNOT_RUN, "True")], &[]);
        let told_first = told(&status(&[], &[]), &first);
        assert_eq!(told_first, [(EventType::Warning, WORKER_CANNOT_RUN.to_owned(), "Follow".to_owned())]);
        assert_eq!(told(&first, &first), []);
        let before = first.clone();
        first.conditions[0].message = "another machine".to_owned();
        assert_eq!(told(&before, &first).len(), 1);
    }

    #[test]
    fn a_condition_that_comes_true_is_told_once() {
        let submitted = status(&[("Submitted", "True")], &[]);
        let failed = status(&[("Submitted", "True"), ("Failed", "True")], &[]);
        let warning = (EventType::Warning, "Failed".to_owned(), "Follow".to_owned());
        assert_eq!(told(&submitted, &failed), [warning]);
        assert_eq!(told(&failed, &failed), []);
        let late = status(&[("Submitted", "True"), (LATE, "True")], &[]);
        assert_eq!(told(&submitted, &late), [(EventType::Warning, LATE.to_owned(), "Follow".to_owned())]);
        assert_eq!(told(&status(&[], &[]), &status(&[("Submitted", "False")], &[])), []);
    }

    #[test]
    fn that_a_job_cannot_be_followed_is_a_warning_once() {
        let (good, lost) = (status(&[("Tracked", "True")], &[]), status(&[("Tracked", "False")], &[]));
        let warning = [(EventType::Warning, "R".to_owned(), "R".to_owned())];
        assert_eq!(told(&status(&[], &[]), &lost), warning);
        assert_eq!(told(&good, &lost), warning);
        assert_eq!(told(&lost, &lost), []);
    }

    #[test]
    fn a_pool_that_goes_away_and_comes_back_is_told_once_each() {
        let (here, away) = (status(&[], &[]), status(&[("PoolReachable", "False")], &[]));
        let back = status(&[("PoolReachable", "True")], &[]);
        let gone = (EventType::Warning, "R".to_owned(), "Follow".to_owned());
        let here_again = (EventType::Normal, "PoolReachable".to_owned(), "Follow".to_owned());
        assert_eq!(told(&here, &away), [gone]);
        assert_eq!(told(&away, &away), []);
        assert_eq!(told(&away, &back), [here_again]);
    }

    #[test]
    fn each_code_of_a_hold_is_told_once_and_the_release_once() {
        let free = status(&[], &[]);
        let one = status(&[("Held", "True")], &["UserRequest"]);
        let two = status(&[("Held", "True")], &["JobOutOfResources", "JobOutOfResources", "UserRequest"]);
        let released = status(&[("Held", "False")], &[]);
        let held = |code: &str| (EventType::Warning, "Held".to_owned(), code.to_owned());
        assert_eq!(told(&free, &one), [held("UserRequest")]);
        assert_eq!(told(&one, &one), []);
        assert_eq!(told(&one, &two), [held("JobOutOfResources")]);
        assert_eq!(told(&two, &one), []);
        assert_eq!(told(&one, &released), [(EventType::Normal, "Released".to_owned(), "Follow".to_owned())]);
        assert_eq!(told(&released, &released), []);
    }
}
