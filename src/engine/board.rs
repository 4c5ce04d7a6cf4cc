//! The board: what we know of every live workload, in memory. It is rebuilt from the store at start
//! and changed only after the store was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use htc_core::workload::Workload;
use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use htc_core::workload::report::Report;
use jiff::Timestamp;

use super::entries::Entries;
pub use super::obstacle::{Obstacle, Trouble};
use super::rest::Rested;
use crate::condor::ad::Exit;
use crate::limits::REMOVAL_REPEAT;
use crate::store::unreadable::Unreadable;
use crate::store::wishes::{Waiting, Want};

/// Everything known.
#[derive(Default)]
pub struct Board {
    /// The workloads by UID.
    pub entries: Entries,
    /// Submissions that are not settled, by their intent.
    pub intents: BTreeMap<i64, Intent>,
    /// Whether one complete answer of this life has been taken in.
    pub merged: bool,
    /// Why the pool does not answer, if it does not.
    pub trouble: Option<Trouble>,
    /// Why nothing is submitted, if something is in the way.
    pub obstacle: Option<Obstacle>,
    /// Workloads that nobody knows and that have jobs in the queue: they have been told of.
    pub strangers: BTreeSet<Uid>,
    /// What of the store could not be read at the start.
    pub unreadable: Vec<Unreadable>,
}

/// A workload.
pub struct Entry {
    /// Which door wishes.
    pub door: String,
    /// The outside object's namespace.
    pub namespace: String,
    /// The outside object's name.
    pub name: String,
    /// What shall run; none where the store could not read it, and of a stranger that shall be gone.
    pub workload: Option<Arc<Workload>>,
    /// What is wished.
    pub want: Want,
    /// When the wish to be gone was durable: only a question asked after it can prove it.
    pub gone_since: Option<Instant>,
    /// Once it shall be gone, its folder and what is known of it stay until then.
    pub lingers: Option<Instant>,
    /// Nothing of it is submitted before, epoch seconds.
    pub not_before: i64,
    /// An earlier life may have submitted it: nothing is submitted until an answer that was asked
    /// for after this moment has shown what is in the queue.
    pub unproven_since: Option<Instant>,
    /// What waits to be submitted: ranges in order, not overlapping.
    pub waiting: Vec<Waiting>,
    /// How many indices wait no more but have no job yet: their intent is being made durable.
    pub intended: u64,
    /// When something of it was last submitted: the others come first then.
    pub served: Option<Instant>,
    /// A submission with jobs of it was refused, and nobody knows which was meant: so many go
    /// together at most, and with none that is beyond doubt.
    pub at_most: Option<usize>,
    /// When its removal was last asked for.
    pub removal_asked: Option<Instant>,
    /// While it leaves: how many of its jobs the last answer had.
    pub in_queue: usize,
    /// Whether the predecessor of this operator has submitted its jobs.
    pub inherited: bool,
    /// When its folder was removed because its time was over.
    pub collected: Option<Timestamp>,
    /// How many submissions of an index were committed and never got their files, in this life of ours.
    pub unstaged: BTreeMap<u32, u32>,
    /// The current job of each index that has one. In boxes: a map has room for eleven at least, and most
    /// workloads have one.
    pub jobs: BTreeMap<u32, Box<Job>>,
    /// The jobs of other indices, which are over and done with.
    pub rested: Rested,
    /// What of it the store could not read: nothing of it is submitted then.
    pub unreadable: Option<String>,
}

/// The current job of an index.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its key.
    pub key: JobKey,
    /// Its folder.
    pub folder: String,
    /// What we believe of it.
    pub progress: Progress,
    /// The submission it belongs to, until that is settled.
    pub intent: Option<i64>,
    /// The highest `NumShadowStarts` seen.
    pub starts: u32,
    /// What it last said of itself.
    pub report: Option<Arc<Report>>,
    /// When that came, if in this life: clocks of workers tell nothing.
    pub heard_at: Option<Instant>,
    /// A hash of the last report in its ad that was looked at.
    pub heard: Option<u64>,
    /// Its ad says that it is over; how it ended waits for its result.
    pub finished: Option<Finished>,
    /// Its files are home.
    pub home: bool,
    /// Its files do not come home, however often they are fetched.
    pub forsaken: bool,
    /// Its door has made its end known.
    pub published: bool,
    /// It is no longer in the queue, and that is right.
    pub left: bool,
    /// Since when complete answers do not have it though they should.
    pub missing: Option<Instant>,
}

/// What an ad in state 4 says.
#[derive(Clone, Debug)]
pub struct Finished {
    /// HTCondor's id.
    pub job: JobId,
    /// How the sender ended.
    pub exit: Exit,
    /// When.
    pub at: Timestamp,
    /// Since when we know.
    pub seen: Instant,
}

/// A submission that is not settled.
#[derive(Clone, Debug)]
pub struct Intent {
    /// When it was made, epoch seconds.
    pub created: i64,
    /// How many jobs it was for.
    pub rows: usize,
    /// Our own submitter is at it and will say how the tool ended. Else the lock tells.
    pub at_work: bool,
    /// Once the tool is dead: since when, and what it said.
    pub dead: Option<(Instant, ToolEnd)>,
}

/// What is known of the end of a `condor_submit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolEnd {
    /// Exit code 0.
    Well,
    /// It failed, and may do better later.
    Outage,
    /// The schedd has as many jobs of ours as it takes: later, or with fewer, it may do better.
    Full,
    /// It refused what was asked, with this sentence.
    Refused(String),
    /// It ended in an earlier life of ours.
    Unknown,
}

impl Job {
    /// A job as it is before anything is known of it.
    pub fn new(key: JobKey, folder: String, progress: Progress, intent: Option<i64>) -> Job {
        Job {
            key,
            folder,
            progress,
            intent,
            starts: 0,
            report: None,
            heard_at: None,
            heard: None,
            finished: None,
            home: false,
            forsaken: false,
            published: false,
            left: false,
            missing: None,
        }
    }

    /// Its end, if it is known.
    pub fn end(&self) -> Option<&End> {
        self.progress.end()
    }

    /// Whether it is over and done with: its end is told, its files are home or lost, and it has left the queue.
    pub fn rests(&self) -> bool {
        self.end().is_some() && self.published && self.left
    }

    /// Whether it was removed while it ran and is in the queue still: it may have its grace on the worker.
    pub fn is_leaving(&self) -> bool {
        let removed = self.end().is_some_and(|end| end.outcome == Outcome::Removed);
        removed && self.starts > 0 && !self.left && self.finished.is_none()
    }

    /// Whether files of it are still to be fetched. What has left the queue has taken them along.
    pub fn wants_files(&self) -> bool {
        !self.home
            && !self.forsaken
            && !self.left
            && (self.finished.is_some() || self.end().is_some_and(|end| end.outcome.has_files()))
    }

    /// Whether it had files that will not come home.
    pub fn has_lost_files(&self) -> bool {
        let had = self.end().is_some_and(|end| end.outcome.has_files());
        had && !self.home && (self.forsaken || self.left)
    }

    /// Whether its report is the last one of its latest start.
    pub fn final_report(&self) -> Option<&Arc<Report>> {
        self.report.as_ref().filter(|report| report.is_final() && report.start >= self.starts)
    }
}

/// Whether a removal is due that was last asked for then; it then counts as asked for.
pub fn is_due(asked: &mut Option<Instant>) -> bool {
    let due = asked.is_none_or(|at| at.elapsed() > REMOVAL_REPEAT);
    if due {
        *asked = Some(Instant::now());
    }
    due
}

impl Entry {
    /// How many indices wait, or are about to have a job.
    pub fn waiting_count(&self) -> u64 {
        self.intended + self.waiting.iter().map(|w| u64::from(w.last - w.first) + 1).sum::<u64>()
    }

    /// Whether its removal is due, which then counts as asked for: its jobs may take their grace to
    /// go, so it is enough to ask now and then.
    pub fn removal_is_due(&mut self) -> bool {
        is_due(&mut self.removal_asked)
    }

    /// Puts an index back to those that wait.
    pub fn put_back(&mut self, index: u32, attempt: u32, submission: u32) {
        // It may have been put back before: what followed from that was not durable.
        self.take(index);
        self.waiting.push(Waiting { first: index, last: index, attempt, submission });
        self.waiting.sort();
        self.waiting.dedup_by(|next, before| {
            let joins = before.last + 1 == next.first
                && (before.attempt, before.submission) == (next.attempt, next.submission);
            if joins {
                before.last = next.last;
            }
            joins
        });
    }

    /// Takes an index out of those that wait; says whether it was among them, and how.
    pub fn take(&mut self, index: u32) -> Option<Waiting> {
        let at = self.waiting.iter().position(|w| (w.first..=w.last).contains(&index))?;
        let whole = self.waiting.remove(at);
        if index < whole.last {
            self.waiting.insert(at, Waiting { first: index + 1, ..whole });
        }
        if index > whole.first {
            self.waiting.insert(at, Waiting { last: index - 1, ..whole });
        }
        Some(whole)
    }
}

impl Board {
    /// The current job with this key.
    pub fn job_mut(&mut self, key: &JobKey) -> Option<&mut Job> {
        self.entries
            .get_mut(&key.uid)?
            .jobs
            .get_mut(&key.index)
            .map(|job| &mut **job)
            .filter(|job| job.key == *key)
    }

    /// The current job with this key.
    pub fn job(&self, key: &JobKey) -> Option<&Job> {
        self.entries.get(&key.uid)?.jobs.get(&key.index).map(|job| &**job).filter(|job| job.key == *key)
    }

    /// Whether the job with this key is over and done with.
    pub fn rests(&self, key: &JobKey) -> bool {
        let rest = self.entries.get(&key.uid).and_then(|entry| entry.rested.get(key.index));
        rest.is_some_and(|rest| rest.key(&key.uid) == *key)
    }

    /// The jobs that do not rest.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.entries.live().flat_map(|(_, entry)| entry.jobs.values()).map(|job| &**job)
    }

    /// Jobs that are in the queue or may be.
    pub fn live(&self) -> usize {
        self.jobs().filter(|job| !job.left).count()
    }

    /// Whether anything is under way that the pool could tell us about.
    pub fn is_busy(&self) -> bool {
        let is_busy = |e: &Entry| e.want == Want::Gone || !e.waiting.is_empty();
        !self.intents.is_empty()
            || self.entries.live().any(|(_, entry)| is_busy(entry))
            || self.jobs().any(|job| !job.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(waiting: &[Waiting]) -> Entry {
        Entry {
            door: "test".into(),
            namespace: String::new(),
            name: "x".into(),
            workload: None,
            want: Want::Run,
            gone_since: None,
            lingers: None,
            not_before: 0,
            unproven_since: None,
            waiting: waiting.to_vec(),
            intended: 0,
            served: None,
            at_most: None,
            removal_asked: None,
            in_queue: 0,
            inherited: false,
            collected: None,
            unstaged: BTreeMap::new(),
            jobs: BTreeMap::new(),
            rested: Rested::default(),
            unreadable: None,
        }
    }

    #[test]
    fn taking_and_putting_back_leaves_the_ranges_as_they_were() {
        let all = Waiting { first: 0, last: 9, attempt: 0, submission: 0 };
        let mut entry = entry(&[all]);
        for index in [0, 9, 4] {
            assert_eq!(entry.take(index).map(|w| w.attempt), Some(0));
            assert_eq!(entry.take(index), None);
        }
        assert_eq!(entry.waiting_count(), 7);
        for index in [4, 0, 9] {
            entry.put_back(index, 0, 0);
        }
        assert_eq!(entry.waiting, [all]);
    }

    #[test]
    fn ranges_of_different_submissions_do_not_join() {
        let mut entry = entry(&[Waiting { first: 0, last: 1, attempt: 0, submission: 0 }]);
        entry.put_back(2, 0, 1);
        assert_eq!(entry.waiting.len(), 2);
    }
}
