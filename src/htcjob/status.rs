//! View → HTCJobStatus: pure functions of values.

use std::fmt::Write as _;

use htc_core::workload::progress::{End, JobId, Progress};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Map, Value};

use super::types::{HTCJobStatus, Hold, Phase};
use super::{holds, outputs, tracked, workers};
use crate::engine::{JobView, Obstacle, Outputs, View, WishError, shortened};
use crate::limits::{JOB_IDS_LISTED, STATUS_TEXT_MAX};

/// The reason of an object that was refused.
pub const INVALID_SPEC: &str = "InvalidSpec";

/// What is said of a suspended copy.
const SUSPENDED: &str = "the pool has stopped it on its machine, where condor_continue or the machine's own rules \
                         let it go on";
/// The condition that says whether the pool answers, once it did not.
pub const POOL_REACHABLE: &str = "PoolReachable";
/// Its reason while it does not.
const POOL_UNAVAILABLE: &str = "PoolUnavailable";
/// The condition of an object whose jobs the predecessor of this operator has submitted.
pub const INHERITED: &str = "Inherited";

/// What a status is made from, besides the view.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The object's UID.
    pub uid: &'a str,
    /// Its generation.
    pub generation: Option<i64>,
    /// How many indices it has.
    pub indices: u32,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The time to put on what is new.
    pub now: Timestamp,
}

/// The status of an HTCJob that was accepted, after the one that it has.
pub fn status(subject: Subject<'_>, view: &View, old: &HTCJobStatus) -> HTCJobStatus {
    let Subject { uid, generation, indices, deleting, now } = subject;
    let ends: Vec<(u32, &End)> =
        view.jobs.iter().filter_map(|job| Some((job.index, job.progress.end()?))).collect();
    let of = |good: bool| ends.iter().filter(move |(_, e)| e.outcome.succeeded() == good).map(|(i, _)| *i);
    let (succeeded, failed) = (of(true).count() as i64, of(false).count() as i64);
    let active = i64::from(indices) - succeeded - failed;
    let count = |is: fn(&Progress) -> bool| view.jobs.iter().filter(|job| is(&job.progress)).count() as i64;
    let held = count(|p| matches!(p, Progress::Held { .. }));
    let running = count(|p| matches!(p, Progress::Running { .. } | Progress::Suspended { .. }));
    // What is being handed over is no news yet: a status less to write.
    let taken = || view.jobs.iter().filter(|job| !matches!(job.progress, Progress::Submitting { .. }));
    let committed = taken().count() as i64;
    let phase = match () {
        () if deleting => Phase::Deleting,
        () if active == 0 && failed > 0 => Phase::Failed,
        () if active == 0 => Phase::Succeeded,
        () if running > 0 => Phase::Running,
        () if held > 0 => Phase::Held,
        () if committed > 0 => Phase::Submitted,
        () => Phase::Pending,
    };
    let ids: Vec<JobId> = taken().filter_map(|job| job.progress.job()).collect();
    let listed: Vec<String> = ids.iter().take(JOB_IDS_LISTED).map(JobId::to_string).collect();
    let knows_ids = ids.len() as i64 == committed;
    let holds = holds::list(view);
    let was_told = told_end(subject, phase, old);
    let (reason, message) =
        was_told.and_then(told_failure).unwrap_or_else(|| explain(phase, view, &ends, &holds));
    let (message, collected) = match (&view.outputs, was_told.and_then(|old| old.outputs_collected.clone())) {
        (Outputs::Collected(at), _) => (outputs::with_losses(message, view), Some(Time(*at))),
        // They are not lost: their time was over, which a store that was lost does not know.
        (_, Some(at)) => (old.message.clone().unwrap_or_default(), Some(at)),
        (_, None) => (outputs::with_losses(message, view), None),
    };
    let message = shortened(message, STATUS_TEXT_MAX);
    let mut conditions = vec![submitted(i64::from(indices), committed, view)];
    conditions.extend(holds::condition(&holds, indices, old));
    conditions.extend(outputs::condition(view, old));
    conditions.extend(tracked::condition(view, old));
    conditions.extend(workers::condition(view, old));
    conditions.extend(view.inherited.then(|| {
        let message = "its jobs were submitted before this operator came; they are followed as they are";
        (INHERITED, true, "Predecessor".to_owned(), message.to_owned())
    }));
    conditions.extend(reachable(active, view, old));
    let ended = match phase {
        Phase::Succeeded => Some("Complete"),
        Phase::Failed => Some("Failed"),
        _ => None,
    };
    conditions.extend(ended.map(|kind| (kind, true, reason.clone(), message.clone())));
    let new = HTCJobStatus {
        active: Some(active),
        succeeded: Some(succeeded),
        failed: Some(failed),
        held: Some(held),
        holds,
        jobid: listed.clone(),
        jobids: listed,
        job_ranges: if ids.len() > JOB_IDS_LISTED { id_ranges(&ids) } else { Vec::new() },
        uniqid: Some(uid.to_owned()),
        clusterid: ids.iter().map(|id| i64::from(id.cluster)).min(),
        phase: Some(phase),
        completions: Some(format!("{succeeded}/{indices}")),
        completed_indexes: intervals(of(true)),
        failed_indexes: intervals(of(false)),
        attempts: Some(committed),
        conditions: conditions.into_iter().map(|c| condition(c, generation, now, old)).collect(),
        observed_generation: generation,
        start_time: Some(old.start_time.clone().unwrap_or(Time(now))),
        completion_time: (active == 0).then(|| {
            let last = || Time(ends.iter().map(|(_, e)| e.at).max().unwrap_or(now));
            was_told.and_then(|old| old.completion_time.clone()).unwrap_or_else(last)
        }),
        outputs: match &view.outputs {
            Outputs::Home(folder) if collected.is_none() => Some(folder.display().to_string()),
            Outputs::Nowhere | Outputs::Home(_) | Outputs::Collected(_) => None,
        },
        outputs_collected: collected,
        reason: Some(reason),
        message: (!message.is_empty()).then_some(message),
    };
    match was_told.filter(|_| !knows_ids) {
        Some(old) => with_ids_of(new, old),
        None => new,
    }
}

/// Ids that a lost store has known stay as they were told.
fn with_ids_of(new: HTCJobStatus, old: &HTCJobStatus) -> HTCJobStatus {
    HTCJobStatus {
        jobid: old.jobid.clone(),
        jobids: old.jobids.clone(),
        job_ranges: old.job_ranges.clone(),
        clusterid: old.clusterid,
        ..new
    }
}

/// The status of an HTCJob that was refused: it has failed before it began.
pub fn refused(subject: Subject<'_>, why: &str, old: &HTCJobStatus) -> HTCJobStatus {
    let Subject { uid, generation, indices, deleting, now } = subject;
    // It quotes what the user wrote, and must fit beside it into one object.
    let why = shortened(why.to_owned(), STATUS_TEXT_MAX);
    let failed = ("Failed", true, INVALID_SPEC.to_owned(), why.clone());
    HTCJobStatus {
        active: Some(0),
        succeeded: Some(0),
        failed: Some(i64::from(indices)),
        held: Some(0),
        uniqid: Some(uid.to_owned()),
        phase: Some(if deleting { Phase::Deleting } else { Phase::Failed }),
        completions: Some(format!("0/{indices}")),
        attempts: Some(0),
        conditions: vec![condition(failed, generation, now, old)],
        observed_generation: generation,
        start_time: Some(old.start_time.clone().unwrap_or(Time(now))),
        completion_time: Some(old.completion_time.clone().unwrap_or(Time(now))),
        reason: Some(INVALID_SPEC.to_owned()),
        message: Some(why),
        ..HTCJobStatus::default()
    }
}

/// The status of an HTCJob that the operator could not take in, which is tried again; nothing where it has another.
pub fn unkept(subject: Subject<'_>, why: &WishError, old: &HTCJobStatus) -> Option<HTCJobStatus> {
    if !matches!(old.phase, None | Some(Phase::Pending)) {
        return None;
    }
    let Subject { uid, generation, indices, deleting: _, now } = subject;
    let obstacle = match why {
        WishError::Full => Obstacle::no_room(),
        why => Obstacle::ours(why.to_string()),
    };
    let (reason, message) = (obstacle.reason.to_owned(), shortened(obstacle.why, STATUS_TEXT_MAX));
    let submitted = ("Submitted", false, reason.clone(), message.clone());
    Some(HTCJobStatus {
        active: Some(i64::from(indices)),
        succeeded: Some(0),
        failed: Some(0),
        held: Some(0),
        uniqid: Some(uid.to_owned()),
        phase: Some(Phase::Pending),
        completions: Some(format!("0/{indices}")),
        attempts: Some(0),
        conditions: vec![condition(submitted, generation, now, old)],
        observed_generation: generation,
        start_time: Some(old.start_time.clone().unwrap_or(Time(now))),
        reason: Some(reason),
        message: Some(message),
        ..HTCJobStatus::default()
    })
}

/// A condition before its times: type, whether it holds, reason, message.
pub(super) type Draft = (&'static str, bool, String, String);

fn submitted(indices: i64, committed: i64, view: &View) -> Draft {
    let message = format!("{committed} of {indices} in HTCondor's queue");
    match &view.trouble {
        _ if committed == indices => ("Submitted", true, "AllSubmitted".to_owned(), message),
        Some(Obstacle { reason, why }) => {
            ("Submitted", false, (*reason).to_owned(), format!("{message}; {why}"))
        }
        None => ("Submitted", false, "Waiting".to_owned(), message),
    }
}

/// What is told of copies that have not ended may be old while the pool does not answer. Nothing for an HTCJob that
/// has known no other pool.
fn reachable(active: i64, view: &View, old: &HTCJobStatus) -> Option<Draft> {
    let was_away = old.conditions.iter().any(|condition| condition.type_ == POOL_REACHABLE);
    match &view.pool_away {
        Some(why) if active > 0 => Some((POOL_REACHABLE, false, POOL_UNAVAILABLE.to_owned(), why.clone())),
        _ if was_away => {
            Some((POOL_REACHABLE, true, "PoolAnswers".to_owned(), "the pool answers again".to_owned()))
        }
        _ => None,
    }
}

/// The status that has told this end of all indices before, if one has. What it said stays, also where it is lost with
/// the store.
fn told_end<'a>(subject: Subject<'_>, phase: Phase, old: &'a HTCJobStatus) -> Option<&'a HTCJobStatus> {
    let is_its_own = old.uniqid.as_deref() == Some(subject.uid);
    let is_end = matches!(phase, Phase::Succeeded | Phase::Failed);
    (is_its_own && is_end && old.phase == Some(phase)).then_some(old)
}

fn told_failure(old: &HTCJobStatus) -> Option<(String, String)> {
    let reason = old.reason.clone().filter(|_| old.phase == Some(Phase::Failed))?;
    Some((reason, old.message.clone().unwrap_or_default()))
}

/// The word and the sentence for the phase.
fn explain(phase: Phase, view: &View, ends: &[(u32, &End)], holds: &[Hold]) -> (String, String) {
    let first_failure = || {
        let (index, end) = ends.iter().find(|(_, end)| !end.outcome.succeeded())?;
        Some((end.outcome.reason().to_owned(), format!("index {index}: {}", end.message)))
    };
    let first_hold = || holds.first().map(|hold| (hold.reason.clone(), holds::sentence(hold)));
    let plain = |word: &str| Some((word.to_owned(), String::new()));
    let of =
        |is: fn(&JobView) -> bool| intervals(view.jobs.iter().filter(|job| is(job)).map(|job| job.index));
    let runs = view.jobs.iter().any(|job| matches!(job.progress, Progress::Running { .. }));
    let found = match phase {
        Phase::Failed => first_failure(),
        Phase::Held => first_hold(),
        Phase::Pending => match &view.trouble {
            Some(Obstacle { reason, why }) => Some(((*reason).to_owned(), why.clone())),
            None => plain("Waiting"),
        },
        Phase::Succeeded => {
            let told = ends.iter().find(|(_, end)| !end.message.is_empty());
            let message = told.map(|(index, end)| format!("index {index}: {}", end.message));
            Some(("Completed".to_owned(), message.unwrap_or_default()))
        }
        Phase::Submitted => {
            let again = of(|job| job.starts > 0 && matches!(job.progress, Progress::Queued { .. }));
            let message = again.map(|indices| {
                format!("index {indices}: has lost its machine and waits in the queue to start again")
            });
            Some(("InQueue".to_owned(), message.unwrap_or_default()))
        }
        Phase::Running if runs => plain("Running"),
        Phase::Running => {
            let indices = of(|job| matches!(job.progress, Progress::Suspended { .. })).unwrap_or_default();
            Some(("Suspended".to_owned(), format!("index {indices}: {SUSPENDED}")))
        }
        Phase::Deleting => plain("Deleting"),
    };
    found.unwrap_or_default()
}

/// Keeps the time of a condition that has not changed its mind.
pub(super) fn condition(
    draft: Draft,
    generation: Option<i64>,
    now: Timestamp,
    old: &HTCJobStatus,
) -> Condition {
    let (kind, holds, reason, message) = draft;
    let status = if holds { "True" } else { "False" };
    let same = old.conditions.iter().find(|c| c.type_ == kind && c.status == status);
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: same.map_or(Time(now), |c| c.last_transition_time.clone()),
        observed_generation: generation,
        reason,
        message: shortened(message, STATUS_TEXT_MAX),
    }
}

/// `0-2,5`; none when there are none. The numbers come in order.
pub fn intervals(numbers: impl Iterator<Item = u32>) -> Option<String> {
    let mut text = String::new();
    let mut push = |first: u32, last: u32| {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing into a String cannot fail.
        let _ = if first == last {
            write!(text, "{comma}{first}")
        } else {
            write!(text, "{comma}{first}-{last}")
        };
    };
    let mut open: Option<(u32, u32)> = None;
    for n in numbers {
        open = match open {
            Some((first, last)) if last + 1 == n => Some((first, n)),
            Some((first, last)) => {
                push(first, last);
                Some((n, n))
            }
            None => Some((n, n)),
        };
    }
    if let Some((first, last)) = open {
        push(first, last);
    }
    (!text.is_empty()).then_some(text)
}

/// The numbers of an interval text; what cannot be read is left out.
pub fn parse_intervals(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?)
    };
    text.split(',').filter_map(range).flatten().take(crate::limits::QUEUE_MAX as usize).collect()
}

fn id_ranges(ids: &[JobId]) -> Vec<String> {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let clusters = sorted.chunk_by(|a, b| a.cluster == b.cluster);
    let text = |jobs: &[JobId]| {
        let procs = intervals(jobs.iter().map(|id| id.proc)).unwrap_or_default();
        procs.split(',').map(|range| format!("{}.{range}", jobs[0].cluster)).collect::<Vec<_>>()
    };
    clusters.flat_map(text).collect()
}

/// The JSON merge patch that turns one status into the other; none when they are equal.
/// <https://datatracker.ietf.org/doc/html/rfc7396>
pub fn patch(old: &HTCJobStatus, new: &HTCJobStatus) -> Option<Value> {
    let object = |status| match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let (old, new) = (object(old), object(new));
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(value));
    let fields: Map<String, Value> = gone.chain(changed.map(|(n, v)| (n.clone(), v.clone()))).collect();
    (!fields.is_empty()).then(|| serde_json::json!({ "status": fields }))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
