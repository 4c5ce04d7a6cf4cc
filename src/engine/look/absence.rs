//! What it means that a job is not in the queue though it should be. Absence alone ends nothing: a schedd
//! without its spool, or another one, has an empty queue too. A job that is missing ends when HTCondor's
//! history shows it, or after a long time. Pure functions of values.

use std::time::Instant;

use htc_core::workload::progress::{End, Outcome};

use super::judge::{self, Look, Verdict};
use crate::condor::ad::{Ad, State};
use crate::engine::board::{Board, Finished, InQueue, Job};
use crate::limits::VANISHED_LEAST;

/// So many jobs are missing at once that the queue rather than the jobs may be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// How many are missing.
    pub missing: usize,
    /// How many should be in the queue.
    pub known: usize,
}

/// It was in the queue and is not there any more.
pub fn missing(job: &Job, look: Look) -> Verdict {
    if job.in_queue == InQueue::Released {
        // One that was removed before it was settled would hold up its submission.
        let end = || Verdict::Ended(judge::removed("", judge::at(look)));
        return if job.intent.is_some() { end() } else { Verdict::Nothing };
    }
    if !is_lost(job, look) {
        return Verdict::Missing;
    }
    match job.final_report() {
        Some(report) => Verdict::Ended(judge::by_report(report, judge::at(look))),
        None => Verdict::Ended(lost(job, look)),
    }
}

/// Whether complete answers have not had it for long.
pub fn is_lost(job: &Job, look: Look) -> bool {
    let since = job.missing_since().unwrap_or(look.started);
    look.started.saturating_duration_since(since) >= look.lost_after
}

fn lost(job: &Job, look: Look) -> End {
    let id = job.progress.job().map_or("the job".to_owned(), |id| format!("job {id}"));
    let message = format!(
        "{id} is no longer in the queue and nothing says how it ended; `condor_history` may know. \
         It is not submitted again by itself"
    );
    End { outcome: Outcome::LostTrack, message, at: judge::at(look) }
}

/// What follows for a missing job from its ad in HTCondor's history. Its files have gone with it.
pub fn explained(job: &Job, ad: &Ad) -> Verdict {
    match &ad.state {
        State::Completed(exit) => {
            let (seen, machine) = (Instant::now(), ad.machine.clone());
            let finished = Finished { job: ad.job, exit: *exit, at: ad.since, seen, machine };
            let report = job.final_report().map(|report| &**report);
            Verdict::Ended(judge::end(&finished, job.starts.max(ad.starts), report))
        }
        State::Removed { .. } if !ad.staged && job.intent.is_some() => Verdict::NeverRan,
        State::Removed { reason } => Verdict::Ended(judge::removed(reason, ad.since)),
        // It was not over: only the queue can say what has become of it.
        State::Idle | State::Running | State::Held { .. } | State::Suspended => Verdict::Nothing,
    }
}

/// Whether most of the jobs that should be in the queue are missing.
pub fn vanished(board: &Board) -> Option<Vanished> {
    let known = board.jobs().filter(|job| job.is_expected()).count();
    let missing = board.jobs().filter(|job| job.is_expected() && job.is_missing()).count();
    (missing >= VANISHED_LEAST && missing * 2 > known).then_some(Vanished { missing, known })
}

#[cfg(test)]
mod tests {
    use htc_core::workload::progress::{JobId, Progress};
    use jiff::Timestamp;

    use super::*;
    use crate::condor::ad::Exit;

    const ID: JobId = JobId { cluster: 7, proc: 0 };

    fn job(index: u32) -> Job {
        let key = format!("u/{index}/0/0").parse().unwrap();
        Job::new(
            key,
            String::new(),
            Progress::Running { job: ID, start: 1, since: Timestamp::UNIX_EPOCH },
            None,
        )
    }

    fn ad(state: State, staged: bool) -> Ad {
        Ad {
            key: "u/0/0/0".parse().unwrap(),
            job: ID,
            state,
            since: Timestamp::from_second(9).unwrap(),
            staged,
            starts: 1,
            ran: true,
            vacated: String::new(),
            machine: None,
            acknowledged: false,
            removed: true,
            folder: String::new(),
            chirp: None,
            unread: Vec::new(),
        }
    }

    #[test]
    fn history_tells_an_end_as_the_queue_would_have() {
        let outcome = |verdict| match verdict {
            Verdict::Ended(End { outcome, at, .. }) => Some((outcome, at.as_second())),
            _ => None,
        };
        let completed = |code| explained(&job(0), &ad(State::Completed(Exit::Code(code)), true));
        assert_eq!(outcome(completed(0)), Some((Outcome::Succeeded, 9)));
        assert_eq!(outcome(completed(3)), Some((Outcome::ExitCode(3), 9)));
        let removed = || State::Removed { reason: "by root".into() };
        assert_eq!(outcome(explained(&job(0), &ad(removed(), true))), Some((Outcome::Removed, 9)));
        assert_eq!(explained(&job(0), &ad(State::Running, true)), Verdict::Nothing);
        let unsettled = Job { intent: Some(1), ..job(0) };
        assert_eq!(explained(&unsettled, &ad(removed(), false)), Verdict::NeverRan);
    }

    #[test]
    fn most_jobs_missing_is_an_alarm_and_a_few_are_not() {
        let board = |missing: u32, well: u32| {
            let mut board = Board::default();
            let mut entry = crate::engine::board::Entry::bare(&[]);
            for index in 0..missing + well {
                let mut job = job(index);
                if index < missing {
                    job.miss(Instant::now());
                }
                entry.jobs.insert(index, Box::new(job));
            }
            board.entries.insert("u".parse().unwrap(), entry);
            vanished(&board)
        };
        assert_eq!(board(3, 2), Some(Vanished { missing: 3, known: 5 }));
        assert_eq!((board(3, 3), board(2, 0), board(0, 9)), (None, None, None));
    }
}
