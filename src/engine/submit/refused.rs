//! What was accepted and may not be submitted any more: an earlier version, or other settings of the site, took
//! submit options that are refused now. What is in the queue goes on; what waits ends as refused.

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{End, Outcome, Progress};
use jiff::Timestamp;

use super::batch::may_be_submitted;
use crate::condor::attributes::SiteAttributes;
use crate::condor::options;
use crate::crash_point;
use crate::engine::board::{Board, Entry, Job};
use crate::engine::origin::Origin;
use crate::engine::wish::stored_job;
use crate::engine::{Engine, Inner};
use crate::store::database::{StoreError, now};
use crate::store::{jobs, wishes};

impl Engine {
    /// Judges the options of a door's workloads again, before anything of this life is submitted.
    pub fn judge_again(&self, door: &str, site: &SiteAttributes) {
        self.0.board().entries.each_live(|uid, entry| {
            let Some(workload) = entry.workload.as_ref().filter(|_| entry.door == door && has_to_run(entry))
            else {
                return;
            };
            let refused = options::check_again(&workload.submit, site).err();
            if let Some(why) = &refused {
                let (namespace, name) = (&entry.namespace, &entry.name);
                tracing::warn!(%uid, namespace, name, why, "what waits of it may not be submitted any more");
            }
            entry.run_mut().into_iter().for_each(|run| run.refused.clone_from(&refused));
        });
    }
}

/// Whether something of it waits, or may wait again.
fn has_to_run(entry: &Entry) -> bool {
    entry.waiting_count() > 0 || entry.jobs.values().any(|job| job.end().is_none())
}

impl Inner {
    /// Ends what waits of workloads whose options are refused now, by the rules by which it would be submitted:
    /// what an earlier life may have committed is looked for first.
    pub(super) async fn end_refused(&self) -> Result<(), StoreError> {
        loop {
            let (uid, kept, jobs) = {
                // Under one lock with the request, so that ranges reach the disk in the board's order.
                let mut board = self.board();
                let Some((uid, entry)) = next(&mut board) else { return Ok(()) };
                let jobs = self.refuse(&uid, entry);
                let rows: Vec<_> = jobs.iter().map(|job| stored_job(&entry.name, job)).collect();
                let (workload, waiting) = (uid.clone(), entry.waiting().to_vec());
                let kept = self.store.call(move |t| {
                    wishes::replace_waiting(t, &workload, &waiting)?;
                    rows.iter().try_for_each(|job| jobs::insert(t, job))
                });
                (uid, kept, jobs)
            };
            let kept = kept.await;
            self.believe_refused(&uid, jobs, kept.is_ok());
            kept?;
            crash_point!("end-durable");
            self.ring([uid]);
        }
    }

    /// Takes all that waits of a workload, as jobs that have ended.
    fn refuse(&self, uid: &Uid, entry: &mut Entry) -> Vec<Job> {
        let Some(run) = entry.run_mut() else { return Vec::new() };
        let why = run.refused.clone().unwrap_or_default();
        let message = format!(
            "its submit commands were accepted before and are refused now: {why}; write them otherwise and apply it anew"
        );
        let end = End { outcome: Outcome::SubmitRefused, message, at: Timestamp::now() };
        let ranges = std::mem::take(&mut run.waiting);
        let indices = ranges.iter().flat_map(|w| (w.first..=w.last).map(move |index| (index, w)));
        // An index that has a job was about to leave the ranges.
        let free = indices.filter(|(index, _)| !entry.has_job(*index));
        let job = |(index, w): (u32, &wishes::Waiting)| {
            let key = JobKey { uid: uid.clone(), index, attempt: w.attempt, submission: w.submission };
            let folder = self.folder(&key);
            Job::new(key, folder, Progress::Ended { job: None, end: end.clone() }, None)
        };
        let jobs: Vec<Job> = free.map(job).collect();
        entry.intended += jobs.len() as u64;
        jobs
    }

    fn believe_refused(&self, uid: &Uid, jobs: Vec<Job>, kept: bool) {
        let mut board = self.board();
        let Some(entry) = board.entries.get_mut(uid) else { return };
        for job in jobs {
            let JobKey { index, attempt, submission, .. } = job.key;
            entry.intended -= 1;
            if kept {
                self.metrics.ended(Outcome::SubmitRefused);
                entry.jobs.insert(index, Box::new(job));
            } else {
                entry.put_back(index, attempt, submission);
            }
        }
    }
}

fn next(board: &mut Board) -> Option<(Uid, &mut Entry)> {
    if !board.merged || board.trouble.is_some() || board.origin != Origin::Same {
        return None;
    }
    let now = now();
    let is_due =
        |entry: &Entry| entry.run().is_some_and(|run| run.refused.is_some()) && may_be_submitted(entry, now);
    let uid = board.entries.live().find(|(_, entry)| is_due(entry)).map(|(uid, _)| uid.clone())?;
    board.entries.get_mut(&uid).map(|entry| (uid, entry))
}
