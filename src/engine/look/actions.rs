//! What a look says must be done in the pool, for many jobs at a time: remove, acknowledge, bury.
//! Each may be done twice or not at all: the next look asks for it again.

use std::collections::BTreeMap;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::JobId;

use super::shown::Shown;
use crate::condor::ad::{ACK, Ad, KEY, SPOOLING_INPUT};
use crate::condor::cli::CallError;
use crate::condor::riddle::Riddle;
use crate::condor::whose::Whose;
use crate::condor::{act, quote};
use crate::crash_point;
use crate::engine::board::{Board, Files, Job, ask_if_due};
use crate::engine::{Inner, files};
use crate::store::database::StoreError;
use crate::store::wishes;

/// At most so many jobs stand in one constraint: longer ones make the schedd slow.
const JOBS_PER_CALL: usize = 500;

/// A job in the queue. Its key alone does not say which: a copy of it may have the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    key: JobKey,
    job: JobId,
}

impl From<&Ad> for Target {
    fn from(ad: &Ad) -> Target {
        Target { key: ad.key.clone(), job: ad.job }
    }
}

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    /// Ended, and their doors have said so: they may leave.
    acknowledge: Vec<Target>,
    /// Over though they are idle or on hold, since they can never start again; their doors have said so.
    spent: Vec<Target>,
    /// Started again after their end was published, or second copies.
    remove: Vec<Target>,
    /// Committed, but their files never all arrived.
    unstaged: Vec<Target>,
    /// Workloads that shall be gone and have jobs in the queue.
    workloads: Vec<Uid>,
    /// The jobs of those that were seen there.
    leaving: Vec<Target>,
    /// Jobs of those whose ads cannot be judged.
    riddles: Vec<JobId>,
    /// Jobs of the predecessor whose workloads shall be gone.
    inherited: Vec<Target>,
    /// Workloads of which nothing is left.
    bury: Vec<Uid>,
    /// Workloads of which it is news what the queue shows and what not.
    pub news: Vec<Uid>,
    /// A job has come back, and its files can be fetched.
    pub fetch: bool,
    /// Jobs have begun to be missing.
    pub missing: bool,
    /// The highest cluster of jobs of ours whose workload is not known here; 0 without.
    pub unknown_cluster: u32,
    /// Something has moved: look again soon.
    pub look_again: bool,
}

impl Actions {
    /// The job may leave the queue, where the files of its index are as said here. What leaves takes its outputs
    /// along: as long as they may come home it stays, whatever else speaks for its leave.
    pub fn acknowledge(&mut self, ad: &Ad, files: Files) {
        if !(ad.has_outputs() && files.may_come()) {
            self.acknowledge.push(ad.into());
        }
    }

    /// The job can never start again, and may leave the queue.
    pub fn spent(&mut self, ad: &Ad) {
        self.spent.push(ad.into());
    }

    /// The job's files did not all arrive.
    pub fn unstaged(&mut self, ad: &Ad) {
        self.unstaged.push(ad.into());
    }

    /// The job's end is published, so it must not run again.
    pub fn late(&mut self, ad: &Ad) {
        tracing::warn!(key = %ad.key, job = %ad.job, "removing a job that is alive after its end was published");
        self.remove.push(ad.into());
    }

    /// An ad that is not the current job of its index, whose own files are as said here.
    pub fn stray(&mut self, ad: &Ad, files: Files) {
        if ad.is_leaving() {
            return;
        }
        if ad.is_over() {
            self.acknowledge(ad, files);
        } else if ad.is_spooling() {
            self.unstaged(ad);
        } else {
            tracing::error!(key = %ad.key, job = %ad.job, "removing a second copy of a job");
            self.remove.push(ad.into());
        }
    }

    /// The workload shall be gone: these jobs of it were seen, and these ads that cannot be judged.
    pub fn remove_workload<'a>(
        &mut self,
        uid: &Uid,
        ads: impl Iterator<Item = &'a Ad>,
        riddles: impl Iterator<Item = &'a Riddle>,
    ) {
        self.workloads.push(uid.clone());
        self.leaving.extend(ads.map(Target::from));
        self.riddles.extend(riddles.filter_map(|riddle| riddle.job));
    }

    /// Jobs of such a workload whose ads cannot be judged leave with the others.
    pub fn expect_to_leave(&mut self, jobs: impl Iterator<Item = (JobKey, JobId)>) {
        self.leaving.extend(jobs.map(|(key, job)| Target { key, job }));
    }

    /// The workload that these jobs of the predecessor belong to shall be gone.
    pub fn remove_inherited(&mut self, jobs: impl Iterator<Item = (JobKey, JobId)>) {
        self.inherited.extend(jobs.map(|(key, job)| Target { key, job }));
    }

    /// Nothing is left of the workload.
    pub fn bury(&mut self, uid: &Uid) {
        self.bury.push(uid.clone());
    }

    /// Ads of tombstones that cannot be judged are removed.
    pub fn buried(&mut self, board: &mut Board, shown: &Shown<'_>) {
        for (uid, riddles) in shown.riddles() {
            let tombstone = board.entries.tombstone_mut(uid);
            if tombstone.is_some_and(|tombstone| ask_if_due(&mut tombstone.removal_asked)) {
                self.remove_workload(uid, [].into_iter(), riddles.iter().copied());
            }
        }
    }

    /// Ads without a workload: those of a tombstone are removed, all others are only told of, once.
    pub fn orphans(&mut self, board: &mut Board, orphans: &[&Ad]) {
        let mut strangers: BTreeMap<Uid, Vec<&Ad>> = BTreeMap::new();
        for ad in orphans {
            match board.entries.tombstone_mut(&ad.key.uid) {
                Some(_) if ad.is_leaving() => {}
                Some(tombstone) => {
                    if ask_if_due(&mut tombstone.removal_asked) {
                        self.remove_workload(&ad.key.uid, [*ad].into_iter(), [].into_iter());
                    }
                }
                None => strangers.entry(ad.key.uid.clone()).or_default().push(ad),
            }
        }
        self.unknown_cluster = strangers.values().flatten().map(|ad| ad.job.cluster).max().unwrap_or(0);
        for (uid, ads) in strangers.iter().filter(|(uid, _)| !board.strangers.contains(*uid)) {
            tracing::warn!(
                %uid,
                jobs = ads.len(),
                first = %ads[0].job,
                "jobs of our instance that nobody here has wished are left alone; if they are of no use: \
                 condor_rm -constraint 'HTCOperatorUid =?= \"{uid}\"'"
            );
        }
        board.strangers = strangers.into_keys().collect();
    }

    /// Adds what another look has found, each once, and without what is in `known`.
    pub fn join(&mut self, found: Actions, known: &Actions) {
        // No `..`: a forgotten field would never be done. The tracker itself sees to the last ones.
        let Actions {
            acknowledge,
            spent,
            remove,
            unstaged,
            workloads,
            leaving,
            riddles,
            inherited,
            bury,
            news: _,
            fetch: _,
            missing: _,
            unknown_cluster: _,
            look_again: _,
        } = found;
        join(&mut self.acknowledge, acknowledge, &known.acknowledge);
        join(&mut self.spent, spent, &known.spent);
        join(&mut self.remove, remove, &known.remove);
        join(&mut self.unstaged, unstaged, &known.unstaged);
        join(&mut self.workloads, workloads, &known.workloads);
        join(&mut self.leaving, leaving, &known.leaving);
        join(&mut self.riddles, riddles, &known.riddles);
        join(&mut self.inherited, inherited, &known.inherited);
        join(&mut self.bury, bury, &known.bury);
    }

    /// The workloads whose jobs are to be removed.
    #[cfg(test)]
    pub fn workloads(&self) -> &[Uid] {
        &self.workloads
    }
}

impl Inner {
    /// Does the actions, each by itself: one that the schedd refuses holds back no other. What fails
    /// is asked for again by a later look.
    pub(in crate::engine) async fn act(&self, whose: &Whose, actions: Actions) {
        for uids in actions.workloads.chunks(JOBS_PER_CALL) {
            let removed = self.remove_jobs(&whose.of_workloads(uids)).await;
            if removed.is_ok() {
                self.have_released(actions.leaving.iter().filter(|target| uids.contains(&target.key.uid)));
            }
            self.note("remove workloads", removed);
        }
        for ids in actions.riddles.chunks(JOBS_PER_CALL) {
            self.note("remove jobs that cannot be judged", self.remove_riddles(&whose.with_ids(ids)).await);
        }
        if !actions.inherited.is_empty() {
            let ids: Vec<JobId> = actions.inherited.iter().map(|target| target.job).collect();
            let removed = self.remove_inherited(&ids).await;
            if removed.is_ok() {
                self.have_released(actions.inherited.iter());
            }
            self.note("remove jobs of the predecessor", removed);
        }
        for jobs in actions.unstaged.chunks(JOBS_PER_CALL) {
            self.note("remove jobs without their files", self.remove_unstaged(whose, jobs).await);
        }
        for jobs in actions.spent.chunks(JOBS_PER_CALL) {
            self.note("remove jobs that cannot start again", self.remove_spent(whose, jobs).await);
        }
        for jobs in actions.remove.chunks(JOBS_PER_CALL) {
            self.metrics.copies.inc_by(jobs.len() as u64);
            self.note("remove jobs", act::remove(&self.pool, &of_jobs(whose, jobs)).await);
            crash_point!("copies-removed");
        }
        for jobs in actions.acknowledge.chunks(JOBS_PER_CALL) {
            self.note("release ended jobs", self.release(whose, jobs).await);
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
            self.doubt_owner();
        }
    }

    /// Their absence means no more than that they have done as they were told.
    fn have_released<'a>(&self, targets: impl Iterator<Item = &'a Target>) {
        let mut board = self.board();
        for Target { key, job: id } in targets {
            let job = board.job_mut(key).filter(|job| job.progress.job().is_none_or(|known| known == *id));
            job.into_iter().for_each(Job::release);
        }
    }

    async fn remove_jobs(&self, constraint: &str) -> Result<(), CallError> {
        // In this order a removed job leaves within a second.
        act::acknowledge(&self.pool, constraint).await?;
        crash_point!("workload-acknowledged");
        act::remove(&self.pool, &format!("{constraint} && JobStatus =!= 3")).await?;
        crash_point!("removed");
        Ok(())
    }

    async fn remove_riddles(&self, constraint: &str) -> Result<(), CallError> {
        act::mend_status(&self.pool, constraint).await?;
        self.remove_jobs(constraint).await
    }

    async fn remove_unstaged(&self, whose: &Whose, jobs: &[Target]) -> Result<(), CallError> {
        // Decided by the schedd in one step: a job that has just got its files stays, and it is
        // released only a moment after that.
        let waiting =
            format!("JobStatus == 5 && HoldReasonCode == {SPOOLING_INPUT} && StageInFinish =?= undefined");
        act::remove(&self.pool, &format!("{} && {waiting}", of_jobs(whose, jobs))).await?;
        self.metrics.unstaged.inc_by(jobs.len() as u64);
        crash_point!("unstaged-removed");
        Ok(())
    }

    async fn remove_spent(&self, whose: &Whose, jobs: &[Target]) -> Result<(), CallError> {
        // In this order a removed job leaves within a second.
        let constraint =
            format!("{} && NumJobStarts > 0 && (JobStatus == 1 || JobStatus == 5)", of_jobs(whose, jobs));
        act::acknowledge(&self.pool, &constraint).await?;
        crash_point!("spent-acknowledged");
        act::remove(&self.pool, &constraint).await
    }

    async fn release(&self, whose: &Whose, jobs: &[Target]) -> Result<(), CallError> {
        let constraint = format!("{} && (JobStatus == 3 || JobStatus == 4)", of_jobs(whose, jobs));
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
        // Its namespace may have room for more now.
        self.submit_bell.notify_one();
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

/// By id, so that no copy is meant, and by key, so that a schedd that counts anew means no other.
fn of_jobs(whose: &Whose, jobs: &[Target]) -> String {
    let keys = quote::list(jobs.iter().map(|target| &target.key));
    format!("{} && member({KEY}, {keys})", whose.with_ids(jobs.iter().map(|target| &target.job)))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::condor::ad::{Exit, State};

    #[test]
    fn no_job_leaves_with_outputs_that_may_still_come_home() {
        let ad = |state: State, staged: bool| Ad {
            key: "u/0/0/0".parse().unwrap(),
            job: JobId { cluster: 7, proc: 0 },
            state,
            since: Timestamp::UNIX_EPOCH,
            staged,
            starts: 1,
            ran: true,
            vacated: String::new(),
            machine: None,
            acknowledged: false,
            removed: false,
            folder: String::new(),
            chirp: None,
            unread: Vec::new(),
        };
        let leaves = |ad: &Ad, files: Files| {
            let (mut own, mut stray) = (Actions::default(), Actions::default());
            own.acknowledge(ad, files);
            stray.stray(ad, files);
            assert_eq!(own.acknowledge, stray.acknowledge, "{files:?}");
            !own.acknowledge.is_empty()
        };
        let ended = ad(State::Completed(Exit::Code(0)), true);
        for (files, may) in
            [(Files::Expected, false), (Files::Unseen, false), (Files::Home, true), (Files::GivenUp, true)]
        {
            assert_eq!(leaves(&ended, files), may, "{files:?}");
        }
        let removed = || State::Removed { reason: String::new() };
        assert!(leaves(&ad(removed(), true), Files::Expected), "what was removed has brought nothing");
        assert!(
            leaves(&ad(State::Completed(Exit::Code(0)), false), Files::Expected),
            "what never ran neither"
        );
    }
}
