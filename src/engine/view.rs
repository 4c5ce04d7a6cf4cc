//! What doors read of a workload.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use htc_core::workload::Workload;
use htc_core::workload::names::Uid;
use htc_core::workload::progress::Progress;
use htc_core::workload::report::Report;
use jiff::Timestamp;

use super::Engine;
use super::board::{Entry, Files, InQueue, Job, Obstacle, Trouble};
use super::entries::Tombstone;
use super::look::absence::Vanished;
use super::workers::WorkerFaults;
use crate::store::clock;
use crate::store::wishes::Want;

/// The folder in a job's folder that its working folder comes home to.
const WORK: &str = "work";

/// A workload at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Which door wishes.
    pub door: String,
    /// What shall run; none in a tombstone.
    pub workload: Option<Arc<Workload>>,
    /// What is wished of it; a tombstone says that nothing is left.
    pub want: Want,
    /// How many indices it has; none in a tombstone.
    pub indices: u32,
    /// Whether the store could read what shall run: else it has more indices than this knows.
    pub is_whole: bool,
    /// How many indices wait to be submitted.
    pub waiting: u64,
    /// The indices that have a job, in order.
    pub jobs: Vec<JobView>,
    /// Whether the predecessor of this operator has submitted its jobs.
    pub inherited: bool,
    /// What is in the way of what waits, if something is.
    pub trouble: Option<Obstacle>,
    /// Most of the jobs that should be in the queue are missing, also of others.
    pub vanished: Option<Vanished>,
    /// Since when and why the pool does not answer, in a sentence, once that has lasted for a while.
    pub pool_away: Option<String>,
    /// Where its outputs are.
    pub outputs: Outputs,
    /// To whom it belongs among the callers of its door; to all of them without.
    pub owner: Option<String>,
    /// Indices of which workers could start nothing, until they end.
    pub worker_faults: BTreeMap<u32, WorkerFaults>,
}

/// Where the outputs of a workload are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// Nothing has come home yet.
    Nowhere,
    /// In this folder: that of its only job, or the one with a folder for each job.
    Home(PathBuf),
    /// They were removed then, because their time was over.
    Collected(Timestamp),
}

/// The current job of an index.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The index.
    pub index: u32,
    /// What we believe of it.
    pub progress: Progress,
    /// How often the pool has started it, as far as we have seen.
    pub starts: u32,
    /// What it last said of itself.
    pub report: Option<Arc<Report>>,
    /// Whether its end has been made known outside.
    pub published: bool,
    /// It had outputs, and they will not come home.
    pub outputs_lost: bool,
    /// How well it can be followed.
    pub tracking: Tracking,
    /// Why its outputs do not come home, where that lasts; they are tried again.
    pub outputs_late: Option<Obstacle>,
}

/// How well a job can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// HTCondor says all that is asked of it.
    Good,
    /// It should be in the queue, and complete answers do not have it.
    Missing,
    /// It is in the queue, and nothing else is known of it: this attribute of its ad cannot be read.
    Unreadable(&'static str),
    /// These attributes of its ad cannot be read and count as absent.
    Partly(Vec<&'static str>),
}

impl Tracking {
    pub(super) fn of(job: &Job) -> Tracking {
        match job.riddle {
            Some(attribute) => Tracking::Unreadable(attribute),
            None if job.is_missing() => Tracking::Missing,
            None if job.unread.is_empty() || job.in_queue == InQueue::Left => Tracking::Good,
            None => Tracking::Partly(job.unread.clone()),
        }
    }
}

fn late_outputs(job: &Job) -> Option<Obstacle> {
    job.late.as_ref().filter(|_| job.wants_files())?.told()
}

impl View {
    /// Nothing is left of it.
    fn of_tombstone(tombstone: &Tombstone) -> View {
        View {
            door: tombstone.door.to_string(),
            workload: None,
            want: Want::Tombstone,
            indices: 0,
            is_whole: true,
            waiting: 0,
            jobs: Vec::new(),
            inherited: false,
            trouble: None,
            vanished: None,
            pool_away: None,
            outputs: Outputs::Nowhere,
            owner: tombstone.owner.as_deref().map(str::to_owned),
            worker_faults: BTreeMap::new(),
        }
    }
}

impl Engine {
    /// What is known of a workload; nothing when nobody ever wished it.
    pub fn view(&self, uid: &Uid) -> Option<View> {
        let board = self.0.board();
        let Some(entry) = board.entries.get(uid) else {
            return board.entries.tombstone(uid).map(View::of_tombstone);
        };
        let job = |index: u32, job: &Job| JobView {
            index,
            progress: job.progress.clone(),
            starts: job.starts,
            report: job.report.clone(),
            published: job.published,
            outputs_lost: !entry.inherited && job.has_lost_files(),
            tracking: Tracking::of(job),
            outputs_late: late_outputs(job),
        };
        let rested = entry.rested.iter().map(|rest| JobView {
            index: rest.index,
            progress: rest.progress(),
            starts: rest.starts,
            report: rest.report.clone(),
            published: true,
            outputs_lost: rest.has_lost_files(),
            tracking: Tracking::Good,
            outputs_late: None,
        });
        let mut jobs: Vec<JobView> =
            rested.chain(entry.jobs.iter().map(|(&index, it)| job(index, it))).collect();
        jobs.sort_by_key(|job| job.index);
        Some(View {
            door: entry.door.clone(),
            workload: entry.workload.clone(),
            want: entry.want(),
            indices: entry.workload.as_ref().map_or(0, |workload| workload.indices),
            waiting: entry.waiting_count(),
            jobs,
            trouble: board.in_the_way(entry),
            pool_away: board.trouble.as_ref().filter(|_| board.trouble_told).map(Trouble::to_string),
            is_whole: entry.unreadable.is_none() || entry.workload.is_some(),
            inherited: entry.inherited,
            vanished: board.vanished,
            outputs: self.outputs(uid, entry),
            owner: entry.owner.clone(),
            worker_faults: entry.worker_faults.clone(),
        })
    }

    /// How many jobs have outputs that do not come home though they were fetched again and again, and why one
    /// of them does not.
    pub fn late_outputs(&self) -> (usize, Option<Obstacle>) {
        let board = self.0.board();
        let mut late = board.jobs().filter_map(late_outputs);
        let first = late.next();
        (late.count() + usize::from(first.is_some()), first)
    }

    /// What is wished of a workload; nothing when nobody ever wished it.
    pub fn want(&self, uid: &Uid) -> Option<Want> {
        self.0.board().entries.want(uid)
    }

    /// Which door wishes a workload; nothing when nobody ever wished it.
    pub fn door(&self, uid: &Uid) -> Option<String> {
        self.0.board().entries.door(uid).map(str::to_owned)
    }

    /// To whom a workload belongs among the callers of its door; to all of them without.
    pub fn owner(&self, uid: &Uid) -> Option<String> {
        self.0.board().entries.owner(uid).map(str::to_owned)
    }

    /// What shall run of a workload that is not gone.
    pub fn workload(&self, uid: &Uid) -> Option<Arc<Workload>> {
        self.0.board().entries.get(uid)?.workload.clone()
    }

    /// Whether the predecessor of this operator has submitted the jobs of a workload.
    pub fn is_inherited(&self, uid: &Uid) -> bool {
        self.0.board().entries.get(uid).is_some_and(|entry| entry.inherited)
    }

    /// Whether all indices of a workload have ended.
    pub fn is_over(&self, uid: &Uid) -> bool {
        let board = self.0.board();
        let is_over =
            |entry: &Entry| entry.waiting_count() == 0 && entry.jobs.values().all(|job| job.end().is_some());
        board.entries.get(uid).is_some_and(is_over)
    }

    /// Whether the clock of this machine is right, as far as can be told: else nothing is removed by its age.
    pub fn trusts_clock(&self) -> bool {
        clock::is_trusted()
    }

    fn outputs(&self, uid: &Uid, entry: &Entry) -> Outputs {
        let live = entry.jobs.values().find(|job| job.files == Files::Home).map(|job| job.folder.clone());
        let rested = || entry.rested.iter().find(|rest| rest.files == Files::Home);
        let rested = || rested().map(|rest| self.0.folder(&rest.key(uid)));
        let only = entry.workload.as_ref().is_some_and(|workload| workload.indices == 1);
        match (entry.collected, live.or_else(rested)) {
            (Some(at), _) => Outputs::Collected(at),
            (None, None) => Outputs::Nowhere,
            (None, Some(folder)) if only => Outputs::Home(Path::new(&folder).join(WORK)),
            (None, Some(_)) => Outputs::Home(self.0.workload_folder(uid)),
        }
    }

    /// The UIDs of all workloads that a door wishes to run or to be gone.
    pub fn wished_by(&self, door: &str) -> Vec<Uid> {
        let board = self.0.board();
        let mine = board.entries.iter().filter(|(_, e)| e.door == door);
        mine.map(|(uid, _)| uid.clone()).collect()
    }

    /// Namespace and name of the outside object of a workload, if it is this door's.
    pub fn object_of(&self, uid: &Uid, door: &str) -> Option<(String, String)> {
        let board = self.0.board();
        board.entries.door(uid).filter(|its| *its == door)?;
        let (namespace, name) = board.entries.object(uid).filter(|(_, name)| !name.is_empty())?;
        Some((namespace.to_owned(), name.to_owned()))
    }

    /// The workload of an outside object that is not gone, of one door or of any; the newest when there
    /// are several.
    pub fn find(&self, door: Option<&str>, namespace: &str, name: &str) -> Option<Uid> {
        let board = self.0.board();
        let mine = board.entries.iter().filter(|(_, e)| {
            door.is_none_or(|door| e.door == door) && e.namespace == namespace && e.name == name
        });
        mine.max_by_key(|(_, e)| (e.run().is_some(), e.not_before)).map(|(uid, _)| uid.clone())
    }
}
