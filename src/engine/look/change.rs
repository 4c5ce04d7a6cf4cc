//! A change of one job: first durable, then believed.

use std::path::{Path, PathBuf};

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{End, JobId, Progress};
use htc_core::workload::spec;

use crate::crash_point;
use crate::engine::board::{Board, Files, Finished, Job};
use crate::engine::wish::stored_job;
use crate::engine::workers::WorkerFaults;
use crate::engine::{Inner, files};
use crate::store::database::{StoreError, Transaction};
use crate::store::wishes::Waiting;
use crate::store::{jobs, refused, wishes, worker_faults};

/// A change of one job.
#[derive(Clone, Debug)]
pub enum Change {
    /// A job that an earlier life submitted becomes the job of its index.
    Adopt {
        /// The name of the outside object.
        name: String,
        /// The job.
        job: Box<Job>,
        /// The one whose place it takes, of which nothing was known but its end.
        instead_of: Option<JobKey>,
    },
    /// An earlier life committed a job with this key that never ran: its index waits for the next.
    Used(JobKey),
    /// It is in the queue with all its files, in this state.
    Settle(JobKey, Progress),
    /// It was settled before and is in this state now. Nothing of that is kept on disk: the next
    /// life learns it from its first look.
    Move(JobKey, Progress),
    /// It is over by its ad; how it ended may be known at once.
    Finish(JobKey, Finished, Option<End>),
    /// It is over by its ad, and its worker could start nothing of it: its index goes elsewhere.
    Elsewhere(JobKey, Finished, WorkerFaults),
    /// It is over, and its files are there.
    End(JobKey, End, Files),
    /// It has left the queue, and its files with it.
    GiveUp(JobKey),
    /// This submission came to nothing; the attempt goes on, or nobody wants it any more.
    Void {
        /// The job.
        key: JobKey,
        /// Whether its index waits again.
        again: bool,
        /// Since when its index is refused, epoch seconds.
        refused_since: Option<i64>,
    },
}

impl Inner {
    /// Makes changes durable and then true on the board; gives the workloads that changed.
    pub(super) async fn apply(&self, changes: Vec<Change>) -> Result<Vec<Uid>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let ending = changes.iter().any(|c| matches!(c, Change::End(..) | Change::Finish(..)));
        let kept = {
            // Under one lock with the request, so that ranges reach the disk in the board's order.
            let mut board = self.board();
            let waiting = change_waiting(&mut board, &changes);
            let durable: Vec<Change> = changes.iter().filter(|change| change.is_kept()).cloned().collect();
            (!durable.is_empty()).then(|| {
                self.store.call(move |t| {
                    durable.iter().try_for_each(|change| change.keep(t))?;
                    waiting.iter().try_for_each(|(uid, ranges)| wishes::replace_waiting(t, uid, ranges))
                })
            })
        };
        if let Some(kept) = kept {
            kept.await?;
        }
        if ending {
            crash_point!("end-durable");
        }
        if changes.iter().any(|change| matches!(change, Change::Elsewhere(..))) {
            crash_point!("worker-fault-durable");
        }
        let mut changed: Vec<Uid> = changes.iter().map(|change| change.key().uid.clone()).collect();
        let spent: Vec<Spent> = {
            let mut board = self.board();
            changes.into_iter().filter_map(|change| self.believe(&mut board, change)).collect()
        };
        // Nobody waits for this: a file that stays only takes room, is ours alone, and goes at the next start.
        tokio::task::spawn_blocking(move || spent.iter().for_each(Spent::remove));
        changed.sort();
        changed.dedup();
        if ending && let Err(why) = self.forget_spent(changed.iter().cloned()).await {
            tracing::warn!(%why, "failed to forget what ended workloads brought; the next start does");
        }
        Ok(changed)
    }

    /// Gives what is not needed here any more: the job's description, which holds secrets, once the schedd
    /// has it or will never get it.
    fn believe(&self, board: &mut Board, change: Change) -> Option<Spent> {
        if let Change::Adopt { name: _, job, instead_of: _ } = change {
            self.metrics.adopted.inc();
            if job.wants_files() {
                self.fetch_bell.notify_one();
            }
            if let Some(entry) = board.entries.get_mut(&job.key.uid) {
                entry.jobs.insert(job.key.index, job);
            }
            return None;
        }
        let key = change.key().clone();
        if let Change::GiveUp(_) = change {
            board.job_mut(&key).into_iter().for_each(|job| job.files = Files::GivenUp);
            return None;
        }
        if let Change::Void { .. } = change {
            let job = board.entries.get_mut(&key.uid).and_then(|entry| entry.jobs.remove(&key.index));
            self.submit_bell.notify_one();
            return job.map(|job| Spent::Folder(job.folder.into()));
        }
        if let Some(doubts) =
            board.entries.get_mut(&key.uid).and_then(|entry| entry.run_mut()?.doubts.as_mut())
        {
            match change {
                Change::End(..) => doubts.ended(key.index),
                Change::Settle(..) | Change::Finish(..) | Change::Elsewhere(..) => doubts.arrived(),
                _ => {}
            }
        }
        let entry = board.entries.get_mut(&key.uid)?;
        match &change {
            Change::Elsewhere(_, _, faults) => drop(entry.worker_faults.insert(key.index, faults.clone())),
            Change::End(..) | Change::Finish(_, _, Some(_)) => drop(entry.worker_faults.remove(&key.index)),
            _ => {}
        }
        let job = board.job_mut(&key).filter(|job| job.end().is_none())?;
        let unsettled = job.intent.take().is_some();
        match change {
            Change::Settle(_, progress) | Change::Move(_, progress) => job.progress = progress,
            Change::Finish(_, finished, end) => {
                let id = finished.job;
                job.finished = Some(finished);
                job.progress = match end {
                    Some(end) => self.ended(Some(id), end),
                    None if unsettled => Progress::Queued { job: id },
                    None => job.progress.clone(),
                };
                self.fetch_bell.notify_one();
            }
            Change::Elsewhere(_, finished, faults) => {
                let machine = finished.machine.as_deref().unwrap_or("unknown");
                tracing::warn!(%key, machine, why = faults.why, "a worker could start nothing of a job; it goes to another");
                self.metrics.worker_failures.inc();
                job.progress = Progress::Queued { job: finished.job };
                job.finished = Some(finished);
                job.goes_elsewhere = true;
            }
            Change::End(_, end, files) => {
                job.files = files;
                job.progress = self.ended(job.progress.job(), end);
            }
            Change::Adopt { .. } | Change::Used(_) | Change::GiveUp(_) | Change::Void { .. } => {}
        }
        if unsettled && job.progress.job().is_some() {
            self.metrics.committed.inc();
        }
        unsettled.then(|| Spent::Description(Path::new(&job.folder).join(spec::FILE)))
    }

    fn ended(&self, job: Option<JobId>, end: End) -> Progress {
        self.metrics.ended(end.outcome);
        Progress::Ended { job, end }
    }
}

/// What is left of a submission and not needed any more.
enum Spent {
    /// A job's description. Its folder is for what comes home.
    Description(PathBuf),
    /// The folder of a job that never ran, with its description.
    Folder(PathBuf),
}

impl Spent {
    /// Best effort: what is not there is as it should be, and what stays is removed at the next start.
    fn remove(&self) {
        let _ = match self {
            Spent::Description(file) => std::fs::remove_file(file),
            Spent::Folder(folder) => files::remove_unused(folder),
        };
    }
}

/// The ranges of what waits change on the board before they are durable: only the submitter
/// reads them, and it passes over an index that has a job.
fn change_waiting(board: &mut Board, changes: &[Change]) -> Vec<(Uid, Vec<Waiting>)> {
    let mut touched: Vec<Uid> = Vec::new();
    for change in changes {
        let key = change.key();
        let Some(entry) = board.entries.get_mut(&key.uid) else { continue };
        match change {
            Change::Adopt { .. } => drop(entry.take(key.index)),
            Change::Used(_) if entry.take(key.index).is_some() => {
                entry.put_back(key.index, key.attempt, key.submission + 1);
            }
            Change::Void { again: true, .. } => {
                entry.put_back(key.index, key.attempt, key.submission + 1);
            }
            _ => continue,
        }
        touched.push(key.uid.clone());
    }
    touched.sort();
    touched.dedup();
    let ranges = |uid: Uid| board.entries.get(&uid).map(|e| (uid.clone(), e.waiting().to_vec()));
    touched.into_iter().filter_map(ranges).collect()
}

impl Change {
    /// The job that changes.
    pub fn key(&self) -> &JobKey {
        match self {
            Change::Adopt { job, .. } => &job.key,
            Change::Used(key) | Change::GiveUp(key) | Change::Settle(key, _) | Change::Move(key, _) => key,
            Change::Elsewhere(key, ..) | Change::Finish(key, ..) => key,
            Change::End(key, ..) | Change::Void { key, .. } => key,
        }
    }

    /// Whether it says only what was seen of a job that lives.
    pub fn is_seen(&self) -> bool {
        matches!(self, Change::Adopt { .. } | Change::Settle(..) | Change::Move(..))
    }

    /// Whether something of it goes to disk.
    fn is_kept(&self) -> bool {
        !matches!(self, Change::Move(..))
    }

    /// Writes the change into the job's row.
    fn keep(&self, t: &Transaction<'_>) -> Result<(), StoreError> {
        match self {
            Change::Adopt { name, job, instead_of } => {
                instead_of.iter().try_for_each(|key| jobs::delete(t, key))?;
                jobs::insert(t, &stored_job(name, job))
            }
            Change::Used(_) | Change::Move(..) => Ok(()),
            Change::Settle(key, progress) => {
                refused::forget(t, key)?;
                progress.job().map_or(Ok(()), |id| jobs::settle(t, key, id))
            }
            Change::Finish(key, finished, end) => {
                refused::forget(t, key)?;
                jobs::settle(t, key, finished.job)?;
                end.as_ref().map_or(Ok(()), |end| jobs::end(t, key, end))
            }
            Change::Elsewhere(key, finished, faults) => {
                refused::forget(t, key)?;
                jobs::settle(t, key, finished.job)?;
                worker_faults::keep(t, key, faults)
            }
            Change::End(key, end, files) => {
                refused::forget(t, key)?;
                jobs::end(t, key, end)?;
                jobs::set_files(t, key, *files)
            }
            Change::GiveUp(key) => jobs::set_files(t, key, Files::GivenUp),
            Change::Void { key, again: _, refused_since } => {
                refused_since.map_or(Ok(()), |since| refused::keep(t, key, since))?;
                jobs::delete(t, key)
            }
        }
    }
}
