//! What a look says must be done in the pool, for many jobs at a time: remove, acknowledge, bury.
//! Each may be done twice or not at all: the next look asks for it again.

use std::collections::BTreeMap;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::JobId;

use crate::condor::ad::{ACK, Ad, KEY, SPOOLING_INPUT};
use crate::condor::cli::CallError;
use crate::condor::{act, query, quote};
use crate::crash_point;
use crate::engine::board::{Board, is_due};
use crate::engine::{Inner, files};
use crate::store::database::StoreError;
use crate::store::wishes;

/// At most so many keys stand in one constraint: longer ones make the schedd slow.
const KEYS_PER_CALL: usize = 500;

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    /// Ended, and their doors have said so: they may leave.
    acknowledge: Vec<JobKey>,
    /// Over though they are idle or on hold, since they can never start again; their doors have said so.
    spent: Vec<JobKey>,
    /// Started again after their end was published, or second copies.
    remove: Vec<JobKey>,
    /// Committed, but their files never all arrived.
    unstaged: Vec<JobKey>,
    /// Workloads that shall be gone and have jobs in the queue.
    workloads: Vec<Uid>,
    /// Jobs of the predecessor whose workloads shall be gone.
    inherited: Vec<JobId>,
    /// Workloads of which nothing is left.
    bury: Vec<Uid>,
    /// Something has moved: look again soon.
    pub look_again: bool,
}

impl Actions {
    /// The job may leave the queue.
    pub fn acknowledge(&mut self, ad: &Ad) {
        self.acknowledge.push(ad.key.clone());
    }

    /// The job can never start again, and may leave the queue.
    pub fn spent(&mut self, ad: &Ad) {
        self.spent.push(ad.key.clone());
    }

    /// The job's files did not all arrive.
    pub fn unstaged(&mut self, ad: &Ad) {
        self.unstaged.push(ad.key.clone());
    }

    /// The job's end is published, so it must not run again.
    pub fn late(&mut self, ad: &Ad) {
        tracing::warn!(key = %ad.key, job = %ad.job, "removing a job that is alive after its end was published");
        self.remove.push(ad.key.clone());
    }

    /// An ad that is not the current job of its index.
    pub fn stray(&mut self, ad: &Ad) {
        if ad.is_leaving() {
            return;
        }
        if ad.is_over() {
            self.acknowledge(ad);
        } else if ad.is_spooling() {
            self.unstaged(ad);
        } else {
            tracing::error!(key = %ad.key, job = %ad.job, "removing a second copy of a job");
            self.remove.push(ad.key.clone());
        }
    }

    /// The workload shall be gone.
    pub fn remove_workload(&mut self, uid: &Uid) {
        self.workloads.push(uid.clone());
    }

    /// The workload that these jobs of the predecessor belong to shall be gone.
    pub fn remove_inherited(&mut self, jobs: impl Iterator<Item = JobId>) {
        self.inherited.extend(jobs);
    }

    /// Nothing is left of the workload.
    pub fn bury(&mut self, uid: &Uid) {
        self.bury.push(uid.clone());
    }

    /// Ads without a workload: those of a tombstone are removed, all others are only told of, once.
    pub fn orphans(&mut self, board: &mut Board, orphans: &[&Ad]) {
        let mut strangers: BTreeMap<Uid, Vec<&Ad>> = BTreeMap::new();
        for ad in orphans {
            match board.entries.tombstone_mut(&ad.key.uid) {
                Some(_) if ad.is_leaving() => {}
                Some(tombstone) => {
                    if is_due(&mut tombstone.removal_asked) {
                        self.remove_workload(&ad.key.uid);
                    }
                }
                None => strangers.entry(ad.key.uid.clone()).or_default().push(ad),
            }
        }
        for (uid, ads) in strangers.iter().filter(|(uid, _)| !board.strangers.contains(*uid)) {
            tracing::warn!(
                %uid,
                jobs = ads.len(),
                first = %ads[0].job,
                "jobs of our instance that nobody here has wished are left alone; if they are of no use: \
                 condor_rm -constraint 'HTCOperatorUid == \"{uid}\"'"
            );
        }
        board.strangers = strangers.into_keys().collect();
    }

    /// Adds what another look has found, each once, and without what is in `known`.
    pub fn join(&mut self, found: Actions, known: &Actions) {
        // No `..`: a forgotten field would never be done.
        let Actions { acknowledge, spent, remove, unstaged, workloads, inherited, bury, look_again } = found;
        join(&mut self.acknowledge, acknowledge, &known.acknowledge);
        join(&mut self.spent, spent, &known.spent);
        join(&mut self.remove, remove, &known.remove);
        join(&mut self.unstaged, unstaged, &known.unstaged);
        join(&mut self.workloads, workloads, &known.workloads);
        join(&mut self.inherited, inherited, &known.inherited);
        join(&mut self.bury, bury, &known.bury);
        self.look_again |= look_again;
    }

    /// The workloads whose jobs are to be removed.
    #[cfg(test)]
    pub fn workloads(&self) -> &[Uid] {
        &self.workloads
    }

    fn is_empty(&self) -> bool {
        self.acknowledge.is_empty()
            && self.spent.is_empty()
            && self.remove.is_empty()
            && self.unstaged.is_empty()
            && self.workloads.is_empty()
            && self.inherited.is_empty()
            && self.bury.is_empty()
    }
}

impl Inner {
    /// Does the actions, each by itself: one that the schedd refuses holds back no other. What fails
    /// is asked for again by a later look.
    pub(in crate::engine) async fn act(&self, actions: Actions) {
        if actions.is_empty() {
            return;
        }
        for uids in actions.workloads.chunks(KEYS_PER_CALL) {
            self.note("remove workloads", self.remove_workloads(uids).await);
        }
        if !actions.inherited.is_empty() {
            self.note("remove jobs of the predecessor", self.remove_inherited(&actions.inherited).await);
        }
        for keys in actions.unstaged.chunks(KEYS_PER_CALL) {
            self.note("remove jobs without their files", self.remove_unstaged(keys).await);
        }
        for keys in actions.spent.chunks(KEYS_PER_CALL) {
            self.note("remove jobs that cannot start again", self.remove_spent(keys).await);
        }
        for keys in actions.remove.chunks(KEYS_PER_CALL) {
            self.metrics.copies.inc_by(keys.len() as u64);
            self.note("remove jobs", act::remove(&self.pool, &of_jobs(keys)).await);
            crash_point!("copies-removed");
        }
        for keys in actions.acknowledge.chunks(KEYS_PER_CALL) {
            self.note("release ended jobs", self.release(keys).await);
        }
        for uid in actions.bury {
            if let Err(why) = self.bury(&uid).await {
                tracing::warn!(%why, %uid, "failed to bury a workload; it is tried again");
            }
        }
    }

    fn note(&self, what: &str, result: Result<(), CallError>) {
        let label = result.as_ref().map_or_else(|why| why.kind(), |()| "ok");
        self.metrics.chores.get_or_create(&label.into()).inc();
        if let Err(why) = result {
            tracing::warn!(%why, "failed to {what}; it is tried again");
        }
    }

    async fn remove_workloads(&self, uids: &[Uid]) -> Result<(), CallError> {
        // In this order a removed job leaves within a second.
        let constraint = query::of_workloads(uids);
        act::acknowledge(&self.pool, &constraint).await?;
        crash_point!("workload-acknowledged");
        act::remove(&self.pool, &format!("{constraint} && JobStatus != 3")).await?;
        crash_point!("removed");
        Ok(())
    }

    async fn remove_unstaged(&self, keys: &[JobKey]) -> Result<(), CallError> {
        // Decided by the schedd in one step: a job that has just got its files stays, and it is
        // released only a moment after that.
        let waiting =
            format!("JobStatus == 5 && HoldReasonCode == {SPOOLING_INPUT} && StageInFinish =?= undefined");
        act::remove(&self.pool, &format!("{} && {waiting}", of_jobs(keys))).await?;
        self.metrics.unstaged.inc_by(keys.len() as u64);
        crash_point!("unstaged-removed");
        Ok(())
    }

    async fn remove_spent(&self, keys: &[JobKey]) -> Result<(), CallError> {
        // In this order a removed job leaves within a second.
        let constraint =
            format!("{} && NumJobStarts > 0 && (JobStatus == 1 || JobStatus == 5)", of_jobs(keys));
        act::acknowledge(&self.pool, &constraint).await?;
        crash_point!("spent-acknowledged");
        act::remove(&self.pool, &constraint).await
    }

    async fn release(&self, keys: &[JobKey]) -> Result<(), CallError> {
        let constraint = format!("{} && (JobStatus == 3 || JobStatus == 4)", of_jobs(keys));
        act::acknowledge(&self.pool, &constraint).await?;
        crash_point!("acknowledged");
        act::remove(&self.pool, &format!("{constraint} && JobStatus == 4 && {ACK} =?= true")).await
    }

    /// Nothing is left of a workload but the tombstone.
    pub(in crate::engine) async fn bury(&self, uid: &Uid) -> Result<(), StoreError> {
        let folder = self.workload_folder(uid);
        let removed = tokio::task::spawn_blocking(move || files::remove_folder(&folder)).await;
        if let Ok(Err(why)) = removed {
            tracing::warn!(%why, %uid, "failed to remove the folder of a deleted workload");
        }
        let id = uid.clone();
        self.store.call(move |t| wishes::bury(t, &id)).await?;
        crash_point!("gone-durable");
        self.board().entries.bury(uid);
        self.ring([uid.clone()]);
        Ok(())
    }
}

/// Sorted, each once.
fn join<T: Ord>(waiting: &mut Vec<T>, found: Vec<T>, known: &[T]) {
    waiting.extend(found.into_iter().filter(|one| known.binary_search(one).is_err()));
    waiting.sort();
    waiting.dedup();
}

fn of_jobs(keys: &[JobKey]) -> String {
    format!("member({KEY}, {})", quote::list(keys))
}
