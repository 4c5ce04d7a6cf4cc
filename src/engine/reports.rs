//! Takes what jobs say of themselves, by HTTP or in their ads: durable first, then on the board, then
//! the bell.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;
use htc_core::workload::names::JobKey;
use htc_core::workload::report::Report;
use htc_core::{chirp, events};

use super::board::Board;
use super::look::judge;
use super::origin::Origin;
use super::{Engine, Inner};
use crate::condor::ad::Ad;
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
        self.0.report(report).await
    }

    /// Somebody says, and nobody can prove, that something has happened in the pool: it is looked at
    /// as soon as is decent.
    pub fn look(&self) {
        self.0.look_bell.notify_one();
    }
}

impl Inner {
    async fn report(&self, report: Report) -> Result<Taken, StoreError> {
        // A signature says who wrote it, and not that it is decent.
        let report = report.bounded();
        let known = {
            let board = self.board();
            match board.job(&report.key) {
                Some(job) => job.report.as_ref().map(|known| known.order()),
                // It has been over for long: what it says now it has said before.
                None if board.rests(&report.key) => return Ok(Taken::Duplicate),
                None => return Ok(self.absent(&board, &report.key)),
            }
        };
        if known.is_some_and(|known| known >= report.order()) {
            return Ok(Taken::Duplicate);
        }
        let kept = report.clone();
        if !self.store.call(move |t| inbox::put(t, &kept)).await? {
            return Ok(Taken::Duplicate);
        }
        crash_point!("report-durable");
        let (uid, last) = (report.key.uid.clone(), report.is_final());
        let waits = {
            let mut board = self.board();
            let Some(job) = board.job_mut(&report.key) else { return Ok(Taken::Unknown) };
            if let Some(progress) = judge::reported(job, &report) {
                job.progress = progress;
            }
            job.starts = job.starts.max(report.start);
            // Another one may have overtaken it on its way to the disk.
            if job.report.as_ref().is_none_or(|known| known.order() < report.order()) {
                job.report = Some(Arc::new(report));
                job.heard_at = Some(Instant::now());
            }
            job.intent.is_some()
        };
        // A job that speaks is committed, and one that has said its last word is about to end: the
        // pool can tell us more.
        if last || waits {
            self.look_bell.notify_one();
        }
        self.ring([uid]);
        Ok(Taken::New)
    }

    /// What it means that the board has no such job.
    pub(super) fn absent(&self, board: &Board, key: &JobKey) -> Taken {
        // Its workload is known and has another job for this index, or is gone.
        let is_known = board.entries.contains_key(&key.uid);
        // After the loss of the store its object may not have been wished again yet.
        let is_old = now() - self.born > YOUNG_STORE.as_secs().cast_signed();
        if board.merged && board.origin == Origin::Same && (is_known || is_old) {
            Taken::Unknown
        } else {
            Taken::NotReady
        }
    }

    /// Takes the reports that jobs have put in their ads. What a job has not signed is counted once
    /// and says nothing.
    pub(super) async fn hear(&self, ads: &[Ad]) -> Result<(), StoreError> {
        let mut heard = Vec::new();
        for ad in ads {
            let Some(text) = &ad.chirp else { continue };
            let Some((namespace, name)) = self.is_news(ad, text) else { continue };
            let key = |id: &str| Some(events::job_key(self.keys.get(id)?, &ad.key));
            match chirp::decode(text, &ad.key, key) {
                Some(report) => {
                    heard.push(Report { namespace, name, jobid: Some(ad.job.to_string()), ..report });
                }
                None => {
                    tracing::warn!(key = %ad.key, job = %ad.job, "a report in the ad of a job is not signed by it");
                    self.metrics.chirps.get_or_create(&"bad_signature".into()).inc();
                }
            }
        }
        // Together, so that they share a commit.
        let kept = heard.into_iter().map(async |report| (report.key.clone(), self.report(report).await));
        let mut failed = Ok(());
        for (key, taken) in join_all(kept).await {
            let label = match taken {
                Ok(Taken::New) => "new",
                Ok(_) => "duplicate",
                Err(why) => {
                    // It is news again at the next look.
                    if let Some(job) = self.board().job_mut(&key) {
                        job.heard = None;
                    }
                    failed = Err(why);
                    continue;
                }
            };
            self.metrics.chirps.get_or_create(&label.into()).inc();
        }
        failed
    }

    /// Whether the text was not there at the last look; gives the names of the job's outside object.
    fn is_news(&self, ad: &Ad, text: &str) -> Option<(String, String)> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(text);
        let mut board = self.board();
        let entry = board.entries.get_mut(&ad.key.uid)?;
        let job = entry.jobs.get_mut(&ad.key.index).filter(|job| job.key == ad.key)?;
        let news = job.heard.replace(hash) != Some(hash);
        news.then(|| (entry.namespace.clone(), entry.name.clone()))
    }
}
