//! Asks HTCondor's history for jobs that are missing in the queue: a few at a time, beside the looks. Only
//! what it shows counts; what it does not show may have been cut off.

use std::sync::Arc;
use std::time::Instant;

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;
use tokio::time::{sleep, timeout};

use super::absence;
use super::change::Change;
use super::judge::Verdict;
use crate::condor::ad::Ad;
use crate::condor::history;
use crate::condor::query::Strangers;
use crate::engine::Inner;
use crate::engine::board::{Board, Files, InQueue, Job};
use crate::engine::origin::Origin;
use crate::limits::{HISTORY_AGAIN, HISTORY_BATCH, HISTORY_GAP, IDLE_LOOK};
use crate::store::database::StoreError;

/// Works until it is dropped, or until the store is closed.
pub async fn work(inner: Arc<Inner>) {
    loop {
        let (ids, strangers) = inner.unexplained();
        if ids.is_empty() && strangers.is_empty() {
            // That the time is over is as good a reason as the bell.
            let _ = timeout(IDLE_LOOK, inner.missing_bell.notified()).await;
            continue;
        }
        match inner.seek(&ids, &strangers).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(why) => tracing::warn!(%why, "failed to keep what HTCondor's history says of missing jobs"),
        }
        sleep(HISTORY_GAP).await;
    }
}

impl Inner {
    /// Missing jobs that the history was not asked for of late: ours, and those of the predecessor. They
    /// count as asked for.
    fn unexplained(&self) -> (Vec<JobId>, Strangers) {
        let (mut ids, mut strangers) = (Vec::new(), Strangers::new());
        let mut board = self.board();
        let Board { entries, trouble, owner, origin, .. } = &mut *board;
        if trouble.is_some() || owner.is_none() || *origin != Origin::Same {
            return (ids, strangers);
        }
        entries.each_live(|_, entry| {
            // Its object may tell more than the history: that its outputs are home.
            if entry.run().is_some_and(|run| run.awaits_object) {
                return;
            }
            for job in entry.jobs.values_mut().filter(|job| job.is_missing()) {
                let InQueue::MissingSince { sought, .. } = &mut job.in_queue else { continue };
                if sought.is_some_and(|at| at.elapsed() <= HISTORY_AGAIN) {
                    continue;
                }
                let Some(id) = job.progress.job().filter(|_| ids.len() + strangers.len() < HISTORY_BATCH)
                else {
                    continue;
                };
                *sought = Some(Instant::now());
                match entry.inherited {
                    true => drop(strangers.insert(id, job.key.clone())),
                    false => ids.push(id),
                }
            }
        });
        (ids, strangers)
    }

    async fn seek(&self, ids: &[JobId], strangers: &Strangers) -> Result<(), StoreError> {
        let Some(whose) = self.whose() else { return Ok(()) };
        let found = history::of(&self.pool, &whose, ids, strangers).await;
        let label = found.as_ref().map_or_else(|why| why.kind(), |_| "ok");
        self.metrics.history_looks.get_or_create(&label.into()).inc();
        let ads = match found {
            Ok(answer) => answer.ads,
            Err(why) => {
                self.doubt_owner();
                tracing::warn!(%why, jobs = ids.len(), "HTCondor's history does not say what became of missing jobs");
                return Ok(());
            }
        };
        let changes = {
            let mut board = self.board();
            ads.iter().filter_map(|ad| explain(&mut board, ad)).collect()
        };
        let changed = self.apply(changes).await?;
        self.ring(changed);
        self.look_bell.notify_one();
        Ok(())
    }
}

/// The change that follows from the history's ad of a job that is still missing.
fn explain(board: &mut Board, ad: &Ad) -> Option<Change> {
    let again = board.entries.get(&ad.key.uid)?.run().is_some();
    let is_it = |job: &&mut Job| job.is_missing() && job.progress.job() == Some(ad.job);
    let job = board.job_mut(&ad.key).filter(is_it)?;
    tracing::warn!(key = %ad.key, job = %ad.job, "a missing job has left the queue without our leave");
    let key: JobKey = ad.key.clone();
    if job.end().is_some() || job.finished.is_some() {
        // What it left in the spool has gone with it.
        return Some(Change::GiveUp(key));
    }
    match absence::explained(job, ad) {
        Verdict::Ended(end) => Some(Change::End(key, end, Files::GivenUp)),
        Verdict::NeverRan => Some(Change::Void { key, again, refused_since: None }),
        _ => None,
    }
}
