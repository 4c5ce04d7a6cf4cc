//! Takes what jobs say of themselves: durable first, then on the board, then the bell.

use std::sync::Arc;

use htc_core::workload::report::Report;

use super::Engine;
use super::judge;
use crate::crash_point;
use crate::limits::YOUNG_STORE;
use crate::store::database::{StoreError, now};
use crate::store::inbox;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is news, and kept.
    New,
    /// One as new or newer was there.
    Duplicate,
    /// No such job: it is over and gone, or was never ours.
    Unknown,
    /// We do not know the job yet, but have not asked the pool either.
    NotReady,
}

impl Engine {
    /// Takes a report whose signature has been checked.
    pub async fn report(&self, report: Report) -> Result<Taken, StoreError> {
        let inner = &self.0;
        let known = {
            let board = inner.board();
            match board.job(&report.key) {
                Some(job) => job.report.as_ref().map(|known| known.order()),
                // Its workload is known and has another job for this index, or is gone.
                None if board.merged && board.entries.contains_key(&report.key.uid) => {
                    return Ok(Taken::Unknown);
                }
                // After the loss of the store its object may not have been wished again yet.
                None if board.merged && now() - inner.born > YOUNG_STORE.as_secs().cast_signed() => {
                    return Ok(Taken::Unknown);
                }
                None => return Ok(Taken::NotReady),
            }
        };
        if known.is_some_and(|known| known >= report.order()) {
            return Ok(Taken::Duplicate);
        }
        let kept = report.clone();
        if !inner.store.call(move |t| inbox::put(t, &kept)).await? {
            return Ok(Taken::Duplicate);
        }
        crash_point!("report-durable");
        let (uid, last) = (report.key.uid.clone(), report.is_final());
        let waits = {
            let mut board = inner.board();
            let Some(job) = board.job_mut(&report.key) else { return Ok(Taken::Unknown) };
            if let Some(progress) = judge::reported(job, &report) {
                job.progress = progress;
            }
            job.starts = job.starts.max(report.start);
            // Another one may have overtaken it on its way to the disk.
            if job.report.as_ref().is_none_or(|known| known.order() < report.order()) {
                job.report = Some(Arc::new(report));
            }
            job.intent.is_some()
        };
        // A job that speaks is committed, and one that has said its last word is about to end: the
        // pool can tell us more.
        if last || waits {
            inner.look_bell.notify_one();
        }
        inner.ring([uid]);
        Ok(Taken::New)
    }
}
