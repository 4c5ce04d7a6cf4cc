//! The board as a table: a line for each workload, or for each index. Read piece by piece, so that a
//! long table never holds the board for long.

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{JobId, Progress};
use jiff::Timestamp;

use super::Engine;
use super::board::{Entry, Files, Job, Trouble};
use super::rest::Rest;
use super::view::Tracking;

/// A workload in numbers.
#[derive(Clone, Debug)]
pub struct WorkloadRow {
    /// Its UID.
    pub uid: Uid,
    /// Which door wishes it.
    pub door: String,
    /// The outside object's namespace.
    pub namespace: String,
    /// The outside object's name.
    pub name: String,
    /// Whether it shall be gone.
    pub deleting: bool,
    /// How many indices it has.
    pub indices: u32,
    /// How many of them are in each state; the rest waits to be submitted.
    pub counts: Counts,
}

/// How many indices are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Being handed to the pool.
    pub submitting: u32,
    /// In the queue.
    pub queued: u32,
    /// At work, or stopped for now on their machines.
    pub running: u32,
    /// On hold.
    pub held: u32,
    /// Ended with exit code 0.
    pub succeeded: u32,
    /// Ended in any other way.
    pub failed: u32,
}

/// An index of a workload.
#[derive(Clone, Debug)]
pub struct IndexRow {
    /// Which.
    pub index: u32,
    /// Its job; none while it waits to be submitted.
    pub job: Option<JobRow>,
}

/// The current job of an index.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// Its key.
    pub key: JobKey,
    /// What we believe of it.
    pub progress: Progress,
    /// How often the pool has started it, as far as we have seen.
    pub starts: u32,
    /// Where its files come home to.
    pub folder: String,
    /// Whether they are there.
    pub home: bool,
    /// How well it can be followed.
    pub tracking: Tracking,
}

/// Why what is shown may be old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Why the pool does not answer, if it does not.
    pub pool: Option<Trouble>,
    /// Why the last submission failed, if it did.
    pub submit: Option<String>,
    /// How many jobs are missing in the queue.
    pub missing: usize,
    /// Whether those are most of all.
    pub vanished: bool,
    /// How many ads of our jobs cannot be judged.
    pub riddles: usize,
    /// How many jobs of others bear our instance id.
    pub foreign: usize,
    /// What of the database cannot be read, if anything.
    pub store: Option<String>,
}

impl Counts {
    fn of(entry: &Entry) -> Counts {
        let mut counts = Counts::default();
        for job in entry.jobs.values() {
            *counts.field(&job.progress) += 1;
        }
        for rest in entry.rested.iter() {
            match rest.outcome.succeeded() {
                true => counts.succeeded += 1,
                false => counts.failed += 1,
            }
        }
        counts
    }

    fn field(&mut self, progress: &Progress) -> &mut u32 {
        match progress {
            Progress::Submitting { .. } => &mut self.submitting,
            Progress::Queued { .. } => &mut self.queued,
            Progress::Running { .. } | Progress::Suspended { .. } => &mut self.running,
            Progress::Held { .. } => &mut self.held,
            Progress::Ended { end, .. } if end.outcome.succeeded() => &mut self.succeeded,
            Progress::Ended { .. } => &mut self.failed,
        }
    }

    /// How many have a job.
    pub fn jobs(&self) -> u32 {
        let Counts { submitting, queued, running, held, succeeded, failed } = self;
        submitting + queued + running + held + succeeded + failed
    }
}

impl JobRow {
    fn of(job: &Job) -> JobRow {
        let folder = job.folder.clone();
        let (progress, starts, home) = (job.progress.clone(), job.starts, job.files == Files::Home);
        JobRow { key: job.key.clone(), progress, starts, folder, home, tracking: Tracking::of(job) }
    }

    fn of_rest(rest: &Rest, key: JobKey, folder: String) -> JobRow {
        let (progress, starts, home) = (rest.progress(), rest.starts, rest.files == Files::Home);
        JobRow { key, progress, starts, folder, home, tracking: Tracking::Good }
    }

    /// HTCondor's id.
    pub fn id(&self) -> Option<JobId> {
        self.progress.job()
    }

    /// Since when it is in its state, where that is known.
    pub fn since(&self) -> Option<Timestamp> {
        match &self.progress {
            Progress::Running { since, .. }
            | Progress::Suspended { since, .. }
            | Progress::Held { since, .. } => Some(*since),
            Progress::Ended { end, .. } => Some(end.at),
            Progress::Submitting { .. } | Progress::Queued { .. } => None,
        }
    }
}

impl Engine {
    /// Why what is shown may be old.
    pub fn troubles(&self) -> Troubles {
        let board = self.0.board();
        Troubles {
            pool: board.trouble.clone(),
            submit: board.obstacle.as_ref().map(|obstacle| obstacle.why.clone()),
            missing: board.missing(),
            vanished: board.vanished.is_some(),
            riddles: board.riddles.len(),
            foreign: board.foreign,
            store: board.unreadable.first().map(|row| match board.unreadable.len() {
                1 => row.why.clone(),
                rows => format!("{} (the first of {rows})", row.why),
            }),
        }
    }

    /// Since when and why the pool does not answer, in a sentence; nothing while it does.
    pub fn pool_trouble(&self) -> Option<String> {
        let board = self.0.board();
        match &board.trouble {
            Some(trouble) => Some(trouble.to_string()),
            None => (!board.merged).then(|| "the pool has not answered yet".to_owned()),
        }
    }

    /// The UIDs of the workloads that are not gone, of one door or of all, by namespace and name.
    pub fn table(&self, door: Option<&str>) -> Vec<Uid> {
        let board = self.0.board();
        let wanted = |e: &Entry| door.is_none_or(|door| e.door == door);
        let rows = board.entries.iter().filter(|(_, e)| wanted(e));
        let mut rows: Vec<_> =
            rows.map(|(uid, e)| (e.namespace.clone(), e.name.clone(), uid.clone())).collect();
        drop(board);
        rows.sort();
        rows.into_iter().map(|(_, _, uid)| uid).collect()
    }

    /// A workload in numbers, unless it is gone.
    pub fn workload_row(&self, uid: &Uid) -> Option<WorkloadRow> {
        let board = self.0.board();
        let entry = board.entries.get(uid)?;
        Some(WorkloadRow {
            uid: uid.clone(),
            door: entry.door.clone(),
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            deleting: entry.gone().is_some(),
            indices: entry.workload.as_ref().map_or(0, |workload| workload.indices),
            counts: Counts::of(entry),
        })
    }

    /// So many indices of a workload, from this one on; none behind the last.
    pub fn index_rows(&self, uid: &Uid, from: u32, count: u32) -> Vec<IndexRow> {
        let board = self.0.board();
        let Some(entry) = board.entries.get(uid) else { return Vec::new() };
        let indices = entry.workload.as_ref().map_or(0, |workload| workload.indices);
        let rested = |index| {
            let rest = entry.rested.get(index)?;
            let key = rest.key(uid);
            let folder = self.0.folder(&key);
            Some(JobRow::of_rest(rest, key, folder))
        };
        let live = |index| entry.jobs.get(&index).map(|job| JobRow::of(job));
        let row = |index| IndexRow { index, job: live(index).or_else(|| rested(index)) };
        (from..indices.min(from.saturating_add(count))).map(row).collect()
    }
}
