//! What people see of an HTCJob that is being deleted and cannot go yet: pure functions of values.

use jiff::Timestamp;

use super::object::{ABANDON, Seen};
use super::status::{Draft, condition};
use super::types::{HTCJobStatus, Phase};
use crate::engine::Awaited;

/// The condition that is false while the HTCondor jobs of a deleted HTCJob are not known to be gone.
pub const JOBS_REMOVED: &str = "JobsRemoved";

/// The object that is being deleted.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// What `condor_q` is asked to show its jobs.
    pub question: String,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its generation.
    pub generation: Option<i64>,
    /// When its deletion was asked for.
    pub since: Timestamp,
    /// The time to put on what is new.
    pub now: Timestamp,
}

impl<'a> Subject<'a> {
    /// Of an object that has been read; of one that is not being deleted, as if it were from now on.
    /// Inherited jobs are known by their ids only.
    pub fn of(job: &'a Seen, inherited: bool) -> Subject<'a> {
        let metadata = &job.object.metadata;
        let now = Timestamp::now();
        Subject {
            question: match inherited {
                true => format!("-allusers {}", clusters(job)),
                false => format!("-allusers -constraint 'HTCOperatorUid =?= \"{}\"'", job.uid),
            },
            namespace: &job.namespace,
            name: &job.name,
            generation: metadata.generation,
            since: metadata.deletion_timestamp.as_ref().map_or(now, |at| at.0),
            now,
        }
    }
}

/// The status of an object that waits for its jobs to be gone, after the one that it has.
pub fn status(subject: &Subject<'_>, awaited: &Awaited, old: &HTCJobStatus) -> HTCJobStatus {
    let (reason, message) = (reason(awaited), message(subject, awaited));
    let draft: Draft = (JOBS_REMOVED, false, reason.to_owned(), message.clone());
    let mut conditions = old.conditions.clone();
    conditions.retain(|condition| condition.type_ != JOBS_REMOVED);
    conditions.push(condition(draft, subject.generation, subject.now, old));
    HTCJobStatus {
        phase: Some(Phase::Deleting),
        conditions,
        reason: Some(reason.to_owned()),
        message: Some(message),
        ..old.clone()
    }
}

/// The word for what is awaited.
pub fn reason(awaited: &Awaited) -> &'static str {
    match awaited {
        Awaited::Pool { .. } => "PoolUnavailable",
        Awaited::Mismatch { .. } => "StoreMismatch",
        Awaited::Submission { .. } => "SubmissionUncertain",
        Awaited::Missing { .. } => "JobsMissing",
        Awaited::Removal { .. } => "RemovingJobs",
    }
}

/// Whether somebody may have to act.
pub fn is_warning(awaited: &Awaited) -> bool {
    matches!(awaited, Awaited::Pool { .. } | Awaited::Mismatch { .. } | Awaited::Missing { .. })
}

fn message(subject: &Subject<'_>, awaited: &Awaited) -> String {
    let Subject { question, namespace, name, since, .. } = subject;
    let let_go = format!("kubectl annotate htcjob -n {namespace} {name} {ABANDON}=true");
    match awaited {
        Awaited::Pool { since: silent, why } => format!(
            "its deletion was asked for at {}; HTCondor has not answered since {}, so nobody knows whether its \
             jobs are gone: {why}. It goes by itself when the pool is back. To let go before and leave them \
             to the pool: {let_go}",
            second(*since),
            second(*silent)
        ),
        Awaited::Mismatch { why } => format!(
            "its deletion was asked for at {}; {why}. It goes by itself after that. To let go before and leave its \
             jobs to the pool: {let_go}",
            second(*since)
        ),
        Awaited::Submission { until } => format!(
            "its deletion was asked for at {}; a condor_submit that was under way may still hand in jobs of it, \
             until {} at the latest. It goes by itself after that. To let go before: {let_go}",
            second(*since),
            second(*until)
        ),
        Awaited::Missing { jobs } => format!(
            "its deletion was asked for at {}; {jobs} of its jobs have left HTCondor's queue without the \
             operator's leave and may still run: condor_q {question}; condor_history. It goes by itself when \
             they are found. To let go before: {let_go}",
            second(*since)
        ),
        Awaited::Removal { jobs: 0 } => format!(
            "its deletion was asked for at {}; HTCondor is asked whether its last jobs have left. \
             To let go before: {let_go}",
            second(*since)
        ),
        Awaited::Removal { jobs } => format!(
            "its deletion was asked for at {}; {jobs} job{} still in HTCondor's queue: condor_q {question}. \
             To let go before: {let_go}",
            second(*since),
            if *jobs == 1 { " is" } else { "s are" }
        ),
    }
}

/// The first clusters that the status of an object names.
fn clusters(job: &Seen) -> String {
    let status = job.object.status.as_ref();
    let ids = status.map(|status| status.jobid.iter().chain(&status.jobids)).into_iter().flatten();
    let mut clusters: Vec<&str> = ids.filter_map(|id| Some(id.split_once('.')?.0)).collect();
    clusters.sort_unstable();
    clusters.dedup();
    clusters.truncate(10);
    clusters.join(" ")
}

/// Kubernetes' times have no fractions.
fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn subject() -> Subject<'static> {
        Subject {
            question: "1".into(),
            namespace: "n",
            name: "x",
            generation: Some(1),
            since: at(0),
            now: at(60),
        }
    }

    fn of(awaited: &Awaited) -> HTCJobStatus {
        status(&subject(), awaited, &HTCJobStatus { active: Some(1), ..HTCJobStatus::default() })
    }

    #[test]
    fn whatever_is_awaited_the_message_says_since_when_and_how_to_let_go() {
        let since = at(30);
        for (awaited, reason, words) in [
            (
                Awaited::Pool { since, why: "no route".into() },
                "PoolUnavailable",
                "since 1970-01-01T00:00:30Z",
            ),
            (Awaited::Mismatch { why: "other: db accept".into() }, "StoreMismatch", "other: db accept"),
            (Awaited::Submission { until: at(150) }, "SubmissionUncertain", "until 1970-01-01T00:02:30Z"),
            (Awaited::Missing { jobs: 2 }, "JobsMissing", "2 of its jobs have left"),
            (Awaited::Removal { jobs: 2 }, "RemovingJobs", "2 jobs are still"),
            (Awaited::Removal { jobs: 0 }, "RemovingJobs", "whether its last jobs have left"),
        ] {
            let status = of(&awaited);
            assert_eq!((status.phase, status.active), (Some(Phase::Deleting), Some(1)));
            assert_eq!(status.reason.as_deref(), Some(reason));
            let condition = status.conditions.last().unwrap();
            assert_eq!((condition.type_.as_str(), condition.status.as_str()), (JOBS_REMOVED, "False"));
            assert_eq!(
                (condition.reason.as_str(), Some(&condition.message)),
                (reason, status.message.as_ref())
            );
            for part in [
                words,
                "asked for at 1970-01-01T00:00:00Z",
                "annotate htcjob -n n x htc.cern.ch/abandon-jobs",
            ] {
                assert!(condition.message.contains(part), "{part}: {}", condition.message);
            }
            assert!(condition.message.len() < 1_000, "an event takes no more");
        }
    }

    #[test]
    fn the_condition_keeps_its_time_while_the_reason_changes_and_the_others_stay() {
        let submitted =
            condition(("Submitted", true, "A".into(), String::new()), None, at(1), &HTCJobStatus::default());
        let old = HTCJobStatus { conditions: vec![submitted.clone()], ..HTCJobStatus::default() };
        let first = status(&subject(), &Awaited::Removal { jobs: 1 }, &old);
        let later = Subject { now: at(90), ..subject() };
        let second = status(&later, &Awaited::Submission { until: at(150) }, &first);
        assert_eq!(second.conditions.len(), 2);
        assert_eq!(second.conditions[0], submitted);
        assert_eq!(second.conditions[1].last_transition_time.0, at(60));
        assert_eq!(status(&later, &Awaited::Submission { until: at(150) }, &second), second);
    }
}
