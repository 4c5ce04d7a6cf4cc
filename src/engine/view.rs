//! What doors read of a workload.

use std::sync::Arc;

use htc_core::workload::names::Uid;
use htc_core::workload::progress::Progress;
use htc_core::workload::report::Report;

use super::Engine;
use crate::store::wishes::Want;

/// A workload at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What is wished of it; a tombstone says that nothing is left.
    pub want: Want,
    /// How many indices it has; none in a tombstone.
    pub indices: u32,
    /// How many indices wait to be submitted.
    pub waiting: u64,
    /// The indices that have a job, in order.
    pub jobs: Vec<JobView>,
    /// Why the pool does not answer, if it does not.
    pub trouble: Option<String>,
}

/// The current job of an index.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The index.
    pub index: u32,
    /// What we believe of it.
    pub progress: Progress,
    /// What it last said of itself.
    pub report: Option<Arc<Report>>,
}

impl Engine {
    /// What is known of a workload; nothing when nobody ever wished it.
    pub fn view(&self, uid: &Uid) -> Option<View> {
        let board = self.0.board();
        let entry = board.entries.get(uid)?;
        let job = |(&index, job): (&u32, &super::board::Job)| JobView {
            index,
            progress: job.progress.clone(),
            report: job.report.clone(),
        };
        Some(View {
            want: entry.want,
            indices: entry.workload.as_ref().map_or(0, |workload| workload.indices),
            waiting: entry.waiting_count(),
            jobs: entry.jobs.iter().map(job).collect(),
            trouble: board.trouble.clone().or_else(|| board.submit_trouble.clone()),
        })
    }

    /// The UIDs of all workloads that a door wishes to run or to be gone.
    pub fn wished_by(&self, door: &str) -> Vec<Uid> {
        let board = self.0.board();
        let mine = board.entries.iter().filter(|(_, e)| e.door == door && e.want != Want::Tombstone);
        mine.map(|(uid, _)| uid.clone()).collect()
    }

    /// Namespace and name of the outside object of a workload, if it is this door's.
    pub fn object_of(&self, uid: &Uid, door: &str) -> Option<(String, String)> {
        let board = self.0.board();
        let entry = board.entries.get(uid).filter(|e| e.door == door && !e.name.is_empty())?;
        Some((entry.namespace.clone(), entry.name.clone()))
    }

    /// The workload of an outside object that is not gone; the newest when there are several.
    pub fn find(&self, door: &str, namespace: &str, name: &str) -> Option<Uid> {
        let board = self.0.board();
        let mine = board.entries.iter().filter(|(_, e)| {
            e.door == door && e.namespace == namespace && e.name == name && e.want != Want::Tombstone
        });
        mine.max_by_key(|(_, e)| (e.want == Want::Run, e.not_before)).map(|(uid, _)| uid.clone())
    }
}
