//! Whether the jobs of an HTCJob can be followed: a condition that is there only once they could not.

use super::status::{Draft, intervals};
use super::types::HTCJobStatus;
use crate::engine::{Tracking, Vanished, View};

/// The type of the condition.
pub const TRACKED: &str = "Tracked";
/// Its reason where jobs are not in the queue.
const MISSING: &str = "JobsMissing";
/// The same where those of most other objects are missing too.
const VANISHED: &str = "QueueVanished";
/// Its reason where the ad of a job cannot be judged.
const UNREADABLE: &str = "AdUnreadable";
/// Its reason where something of an ad cannot be read.
const PARTLY: &str = "AdPartlyUnreadable";

/// The condition; nothing for an HTCJob that could always be followed.
pub fn condition(view: &View, old: &HTCJobStatus) -> Option<Draft> {
    let told = missing(view).or_else(|| unreadable(view)).or_else(|| partly(view));
    let before = old.conditions.iter().any(|condition| condition.type_ == TRACKED);
    let good = || (true, "Good", "all its jobs can be followed again".to_owned());
    let (holds, reason, message) = told.or_else(|| before.then(good))?;
    Some((TRACKED, holds, reason.to_owned(), message))
}

fn indices(view: &View, is: impl Fn(&Tracking) -> bool) -> Option<String> {
    intervals(view.jobs.iter().filter(|job| is(&job.tracking)).map(|job| job.index))
}

fn missing(view: &View) -> Option<(bool, &'static str, String)> {
    let indices = indices(view, |tracking| *tracking == Tracking::Missing)?;
    let message = format!(
        "index {indices}: not in HTCondor's queue, and HTCondor's history does not say how it ended. It may \
         still run: it goes on when it is back, and is given up after --lost-after"
    );
    Some(match view.vanished {
        Some(Vanished { missing, known }) => {
            let all = format!("{missing} of {known} jobs of this operator have vanished at once");
            (false, VANISHED, format!("{all}: is it the right schedd, and is its spool there? {message}"))
        }
        None => (false, MISSING, message),
    })
}

fn unreadable(view: &View) -> Option<(bool, &'static str, String)> {
    let first = view.jobs.iter().find_map(|job| match job.tracking {
        Tracking::Unreadable(attribute) => Some(attribute),
        _ => None,
    })?;
    let indices = indices(view, |tracking| matches!(tracking, Tracking::Unreadable(_)))?;
    let message = format!(
        "index {indices}: {first} of its ad in HTCondor's queue cannot be read, so nothing is known of the job. \
         Mend it with condor_qedit, or delete this object, which removes the job"
    );
    Some((false, UNREADABLE, message))
}

fn partly(view: &View) -> Option<(bool, &'static str, String)> {
    let mut names: Vec<&str> = view
        .jobs
        .iter()
        .flat_map(|job| match &job.tracking {
            Tracking::Partly(names) => names.as_slice(),
            _ => &[],
        })
        .copied()
        .collect();
    names.sort_unstable();
    names.dedup();
    let indices = indices(view, |tracking| matches!(tracking, Tracking::Partly(_)))?;
    let message = format!(
        "index {indices}: {} in the job's ad cannot be read and counts as absent; the job itself, or \
         condor_qedit, has put it there",
        names.join(", ")
    );
    Some((true, PARTLY, message))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use htc_core::workload::progress::{JobId, Progress};

    use super::*;
    use crate::engine::{JobView, Outputs, Want};

    fn view(tracking: &[Tracking], vanished: Option<Vanished>) -> View {
        let job = |(index, tracking): (u32, &Tracking)| JobView {
            index,
            progress: Progress::Queued { job: JobId { cluster: 7, proc: index } },
            starts: 0,
            report: None,
            published: false,
            outputs_lost: false,
            outputs_late: None,
            tracking: tracking.clone(),
        };
        View {
            worker_faults: BTreeMap::new(),
            owner: None,
            pool_away: None,
            door: "htcjob".to_owned(),
            workload: None,
            want: Want::Run,
            indices: 3,
            is_whole: true,
            waiting: 0,
            jobs: (0..).zip(tracking).map(job).collect(),
            inherited: false,
            trouble: None,
            vanished,
            outputs: Outputs::Nowhere,
        }
    }

    #[test]
    fn the_condition_says_which_indices_cannot_be_followed_and_what_to_do() {
        use Tracking::{Good, Missing, Partly, Unreadable};
        let vanished = Some(Vanished { missing: 9, known: 10 });
        let partly = || Partly(vec!["HoldReason", "ChirpHTCReport"]);
        for (tracking, vanished, holds, reason, words) in [
            (vec![Missing, Good, Missing], None, false, "JobsMissing", "index 0,2: not in HTCondor's queue"),
            (vec![Missing], vanished, false, "QueueVanished", "9 of 10 jobs of this operator have vanished"),
            (
                vec![Good, Unreadable("JobStatus")],
                vanished,
                false,
                "AdUnreadable",
                "index 1: JobStatus of its ad",
            ),
            (
                vec![partly()],
                None,
                true,
                "AdPartlyUnreadable",
                "index 0: ChirpHTCReport, HoldReason in the job's ad",
            ),
        ] {
            let draft = condition(&view(&tracking, vanished), &HTCJobStatus::default()).unwrap();
            assert_eq!((draft.0, draft.1, draft.2.as_str()), (TRACKED, holds, reason));
            assert!(draft.3.contains(words), "{}", draft.3);
        }
    }

    #[test]
    fn an_object_that_could_always_be_followed_has_no_condition_and_another_is_told_that_it_can() {
        let mut old = HTCJobStatus::default();
        assert_eq!(condition(&view(&[Tracking::Good], None), &old), None);
        let draft = condition(&view(&[Tracking::Missing], None), &old).unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        old.conditions.push(super::super::status::condition(draft, None, now, &old));
        let good = condition(&view(&[Tracking::Good], None), &old).unwrap();
        assert_eq!((good.1, good.2.as_str()), (true, "Good"));
    }
}
