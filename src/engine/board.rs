//! The board: what we know of every live workload, in memory. It is rebuilt from the store at start
//! and changed only after the store was.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use htc_core::workload::Workload;
use htc_core::workload::names::{JobKey, Uid};
use jiff::Timestamp;

use super::entries::Entries;
pub use super::job::{Files, Finished, InQueue, Job};
use super::look::absence::Vanished;
use super::origin::Origin;
use super::owner::Owner;
use super::rest::Rested;
use super::stage::Stage;
pub use super::trouble::{Full, Obstacle, Trouble};
use super::workers::WorkerFaults;
use crate::condor::failure::Failure;
use crate::condor::riddle::Riddle;
use crate::limits::REMOVAL_REPEAT;
use crate::store::unreadable::Unreadable;

/// Everything known.
#[derive(Default)]
pub struct Board {
    /// The workloads by UID.
    pub entries: Entries,
    /// Submissions that are not settled, by their intent.
    pub intents: BTreeMap<i64, Intent>,
    /// Whether one complete answer of this life has been taken in.
    pub merged: bool,
    /// Who we are to the schedd, once it has said so.
    pub owner: Option<Owner>,
    /// Why the pool does not answer, if it does not.
    pub trouble: Option<Trouble>,
    /// Whether that has been told to those who do not wait for the pool.
    pub trouble_told: bool,
    /// Most of the jobs that should be in the queue are missing.
    pub vanished: Option<Vanished>,
    /// Ads of ours that cannot be judged: they have been told of.
    pub riddles: Vec<Riddle>,
    /// So many jobs of others bear our instance id.
    pub foreign: usize,
    /// Why nothing is submitted, if something is in the way.
    pub obstacle: Option<Obstacle>,
    /// When something of a namespace was last submitted, as far as that matters for turns.
    pub served: HashMap<String, Instant>,
    /// Namespaces of which something waits, and that have no room for it.
    pub full: HashMap<String, Full>,
    /// Whether it is known what outputs of earlier lives take.
    pub weighed: bool,
    /// Whether the store was kept for the queue that answers.
    pub origin: Origin,
    /// Jobs have begun to be missing since that was last compared.
    pub to_compare: bool,
    /// When that was last compared.
    pub compared: Option<Instant>,
    /// The highest cluster among jobs that the store has had and no longer has.
    pub highest_cluster: u32,
    /// Whether it may have had higher ones: an earlier release has not kept which.
    pub clusters_unknown: bool,
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
    /// What is wished, and what that still takes.
    pub stage: Stage,
    /// Nothing of it is submitted before, epoch seconds.
    pub not_before: i64,
    /// How many indices wait no more but have no job yet: their intent is being made durable.
    pub intended: u64,
    /// Whether the predecessor of this operator has submitted its jobs.
    pub inherited: bool,
    /// When its folder was removed because its time was over.
    pub collected: Option<Timestamp>,
    /// To whom it belongs among the callers of its door; to all of them without.
    pub owner: Option<String>,
    /// The current job of each index that has one. In boxes: a map has room for eleven at least, and most
    /// workloads have one.
    pub jobs: BTreeMap<u32, Box<Job>>,
    /// The jobs of other indices, which are over and done with.
    pub rested: Rested,
    /// Indices of which workers could start nothing, until they end.
    pub worker_faults: BTreeMap<u32, WorkerFaults>,
    /// What of it the store could not read: nothing of it is submitted then.
    pub unreadable: Option<String>,
}

/// A submission that is not settled.
#[derive(Clone, Debug)]
pub struct Intent {
    /// When it was made, epoch seconds.
    pub created: i64,
    /// When its tool is dead at the latest, epoch seconds.
    pub deadline: i64,
    /// How many jobs it was for.
    pub rows: usize,
    /// Who says that the tool is dead.
    pub witness: Witness,
    /// Once the tool is dead: since when, and what it said.
    pub dead: Option<(Instant, ToolEnd)>,
}

/// Who says that the tool of a submission is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Our own submitter, which is at it.
    Submitter,
    /// Its lock: an earlier life of ours started it in this boot of this host.
    Lock,
    /// The time: it was started elsewhere, where the lock cannot be seen.
    Time(Instant),
    /// Both: nobody knows where it was started.
    LockAndTime(Instant),
}

/// What is known of the end of a `condor_submit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolEnd {
    /// Exit code 0.
    Well,
    /// It failed: what that is about, and its words.
    Failed(Failure, String),
    /// It ended in an earlier life of ours.
    Unknown,
}

/// Asks for a removal that was last asked for then, if that is due; says whether it was. Jobs may take their
/// grace to go, so it is enough to ask now and then.
pub fn ask_if_due(asked: &mut Option<Instant>) -> bool {
    let due = asked.is_none_or(|at| at.elapsed() > REMOVAL_REPEAT);
    if due {
        *asked = Some(Instant::now());
    }
    due
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

    /// What is in the way of what waits of a workload, if something is.
    pub fn in_the_way(&self, entry: &Entry) -> Option<Obstacle> {
        let pool = self.trouble.as_ref().map(|trouble| Obstacle::pool(trouble.why.clone()));
        let own = || entry.doubts()?.obstacle.clone();
        let obscured = || entry.run().filter(|run| run.obscured).map(|_| Obstacle::obscured());
        let full = || self.full.get(&entry.namespace)?.told.clone();
        let unreadable = entry.unreadable.clone().map(Obstacle::unreadable);
        let all = || self.obstacle.clone();
        let first = unreadable.or(pool).or_else(|| all().filter(Obstacle::is_mismatch));
        first.or_else(obscured).or_else(own).or_else(all).or_else(full)
    }

    /// Why it is not known that the queue that answers is the one that the store was kept for.
    pub fn mismatch(&self) -> Option<&Obstacle> {
        self.obstacle.as_ref().filter(|obstacle| obstacle.is_mismatch())
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
        self.jobs().filter(|job| job.in_queue != InQueue::Left).count()
    }

    /// Jobs that should be in the queue and are missing there.
    pub fn missing(&self) -> usize {
        self.jobs().filter(|job| job.is_missing()).count()
    }

    /// Whether anything is under way that the pool could tell us about.
    pub fn is_busy(&self) -> bool {
        let is_busy = |e: &Entry| e.gone().is_some() || !e.waiting().is_empty();
        !self.intents.is_empty()
            || self.entries.live().any(|(_, entry)| is_busy(entry))
            || self.jobs().any(|job| job.in_queue != InQueue::Left)
    }
}
