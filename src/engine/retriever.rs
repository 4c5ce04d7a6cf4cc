//! Brings the outputs of ended jobs home, many in one call and a few calls at a time, and reads each job's
//! result. They are given up only when HTCondor has none, or after the time of a setting: see [`super::late`].

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use htc_core::workload::names::JobKey;
use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use htc_core::workload::report::Report;
use tokio::time::timeout;

use super::Inner;
use super::board::{Files, Finished, Job};
use super::files;
use super::late::{Batch, Calls, Cause, Late, Next, Wanted};
use super::look::judge;
use super::origin::Origin;
use super::result;
use super::words::shortened;
use super::workers;
use crate::condor::ad::{Exit, KEY};
use crate::condor::cli::CallError;
use crate::condor::{act, quote};
use crate::crash_point;
use crate::limits::{DISK_FULL, IDLE_LOOK, TRANSFERS_AT_ONCE, TROUBLE_MAX};
use crate::store::database::StoreError;
use crate::store::wishes::Want;
use crate::store::{inbox, jobs};

/// Works until it is dropped.
pub async fn work(inner: Arc<Inner>) {
    let (mut calls, mut under_way) = (Calls::default(), FuturesUnordered::new());
    loop {
        let mut rest = IDLE_LOOK;
        while under_way.len() < TRANSFERS_AT_ONCE {
            match inner.next_fetch(&calls) {
                Next::Fetch(batch) => {
                    calls.begin(&batch);
                    let inner = inner.clone();
                    under_way.push(async move { (fetch(&inner, &batch).await, batch) });
                }
                Next::Wait(time) => {
                    rest = time.max(Duration::from_millis(100));
                    break;
                }
            }
        }
        tokio::select! {
            Some((well, batch)) = under_way.next() => {
                calls.end(&batch, well, Instant::now());
                inner.count_late();
            }
            _ = timeout(rest, inner.fetch_bell.notified()) => {}
        }
    }
}

/// A job whose files are home.
#[derive(Clone)]
struct Home {
    key: JobKey,
    end: End,
    report: Option<Report>,
}

/// What a call brought: the jobs whose files came, each with its words, and those whose did not.
type Came = (Vec<(JobKey, Option<Report>)>, Vec<(JobKey, String)>);

/// Makes one call; says whether anything came home.
async fn fetch(inner: &Arc<Inner>, batch: &Batch) -> bool {
    let Batch { jobs, .. } = batch;
    let called = call(inner, batch).await;
    crash_point!("outputs-fetched");
    let (home, missing) = match called {
        Ok(()) => came(inner, jobs.clone()).await,
        Err((cause, why)) => {
            jobs.iter().for_each(|job| inner.failed_to_fetch(&job.key, cause, &why, jobs.len()));
            return false;
        }
    };
    for (key, why) in missing {
        let cause = inner.cause_of_refusal();
        inner.failed_to_fetch(&key, cause, &why, jobs.len());
    }
    let came = !home.is_empty();
    let home: Vec<Home> =
        home.into_iter().filter_map(|(key, words)| inner.collect_home(&key, words)).collect();
    if home.is_empty() {
        return came;
    }
    let keys: Vec<JobKey> = home.iter().map(|home| home.key.clone()).collect();
    let kept = keep(inner, home).await;
    if let Err(why) = &kept {
        let why = format!("failed to note that they are home: {why}");
        keys.iter().for_each(|key| inner.failed_to_fetch(key, Cause::DiskFull, &why, keys.len()));
    }
    kept.is_ok()
}

async fn call(inner: &Inner, batch: &Batch) -> Result<(), (Cause, String)> {
    let folders: Vec<_> = batch.jobs.iter().map(|job| job.folder.clone()).collect();
    let prepared =
        tokio::task::spawn_blocking(move || folders.iter().try_for_each(|folder| prepare(folder))).await;
    prepared.map_err(std::io::Error::other).flatten().map_err(|why| (Cause::DiskFull, why.to_string()))?;
    for job in &batch.jobs {
        inner.send_home(job).await?;
    }
    let constraint = inner.ended_jobs(batch.jobs.iter().map(|job| &job.key));
    let constraint = constraint.ok_or((Cause::Away, "the schedd has not said who we are".to_owned()))?;
    let most = inner.options.max_output_mb.map(|mb| u64::from(mb) << 20);
    let called = act::transfer(&inner.pool, &constraint, batch.deadline(most)).await;
    let label = called.as_ref().err().map_or("ok", CallError::kind);
    inner.metrics.transfers.get_or_create(&label.into()).inc();
    called.map_err(|why| {
        inner.doubt_owner();
        let cause = match &why {
            CallError::Deadline { .. } => Cause::Slow,
            CallError::Start { .. }
            | CallError::Died { .. }
            | CallError::TooLong { .. }
            | CallError::Unreadable { .. } => Cause::Away,
            CallError::Failed { message, .. } if act::has_no_connection(message) => Cause::Away,
            CallError::Failed { .. } => inner.cause_of_refusal(),
        };
        (cause, why.to_string())
    })
}

/// The folder of a job may have been lost with the data folder; and no older result counts.
fn prepare(folder: &Path) -> std::io::Result<()> {
    files::make_folder(folder)?;
    result::remove(folder)
}

/// Exit code 0 is given to a call that found no job too, and a file may be there without the others: it takes
/// both.
async fn came(inner: &Inner, jobs: Vec<Wanted>) -> Came {
    let keys = inner.keys.clone();
    let look = move || {
        let (mut home, mut missing) = Came::default();
        for Wanted { key, folder, is_signed, sent_to: _ } in jobs {
            match result::arrived(&folder) {
                Ok(bytes) => {
                    let words = result::words(&bytes, &key, is_signed, &keys);
                    home.push((key, words));
                }
                Err(why) => missing.push((key, format!("condor_transfer_data brought nothing: {why}"))),
            }
        }
        (home, missing)
    };
    // A panic there is one here.
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|why| std::panic::resume_unwind(why.into_panic()))
}

impl Inner {
    fn next_fetch(&self, calls: &Calls) -> Next {
        let board = self.board();
        if board.owner.is_none() || !board.merged {
            // The first look rings; it shows where outputs would go.
            return Next::Wait(IDLE_LOOK);
        }
        if self.store.is_full() {
            // They would take the room that ends and removals need. The submitter rings when there is more.
            return Next::Wait(IDLE_LOOK);
        }
        let jobs = board
            .entries
            .live()
            .flat_map(|(_, entry)| entry.jobs.values().map(|job| (entry.namespace.as_str(), &**job)));
        calls.next(jobs.filter(|(_, job)| job.wants_files()), Instant::now())
    }

    /// The tool brings outputs to the folder that the job's ad names: nothing is written to any but the job's own.
    async fn send_home(&self, job: &Wanted) -> Result<(), (Cause, String)> {
        let Some(other) = &job.sent_to else { return Ok(()) };
        let away = || (Cause::Away, "the schedd has not said who we are".to_owned());
        let constraint = self.ended_jobs(std::iter::once(&job.key)).ok_or_else(away)?;
        let own = job.folder.display().to_string();
        tracing::warn!(key = %job.key, other, own, "the ad of a job names another folder; its outputs come to its own");
        act::send_outputs_to(&self.pool, &constraint, &own).await.map_err(|why| {
            let why = format!(
                "its ad names the folder {other}, and condor_qedit cannot make that {own}: {why}. Start the operator                  with the --data-dir of before, or bring the outputs home by hand (condor_transfer_data), then condor_rm"
            );
            (self.cause_of_refusal(), why)
        })
    }

    /// The constraint for these jobs: by id, so that no copy is meant, and by key.
    fn ended_jobs<'a>(&self, keys: impl Iterator<Item = &'a JobKey> + Clone) -> Option<String> {
        let whose = self.whose()?;
        let board = self.board();
        let id = |job: &Job| job.finished.as_ref().map(|finished| finished.job).or(job.progress.job());
        let ids: Vec<JobId> = keys.clone().filter_map(|key| id(board.job(key)?)).collect();
        // Removed ones among them had ended before: their files are there too.
        let (ours, keys) = (whose.with_ids(&ids), quote::list(keys));
        Some(format!("{ours} && member({KEY}, {keys}) && (JobStatus == 3 || JobStatus == 4)"))
    }

    fn is_disk_full(&self) -> bool {
        self.free_space().is_some_and(|free| free < DISK_FULL)
    }

    /// While the pool is away, or another queue answers, nothing is known of outputs, and a full disk of ours is not
    /// their fault.
    fn cause_of_refusal(&self) -> Cause {
        let is_away = {
            let board = self.board();
            board.trouble.is_some() || board.origin != Origin::Same
        };
        match (self.is_disk_full(), is_away) {
            (true, _) => Cause::DiskFull,
            (false, true) => Cause::Away,
            (false, false) => Cause::Refused,
        }
    }

    fn failed_to_fetch(&self, key: &JobKey, cause: Cause, why: &str, together: usize) {
        let now = Instant::now();
        let why = shortened(why.to_owned(), TROUBLE_MAX);
        let mut board = self.board();
        let Some(job) = board.job_mut(key) else { return };
        let told = job.late.as_ref().and_then(|late| late.told());
        let late = Late::after(job.late.as_deref(), cause, &why, together, now);
        let given_up = late.is_given_up(self.options.give_up_outputs, now);
        let news = given_up || late.told() != told;
        tracing::warn!(%key, why, tries = late.tries(), "failed to fetch the outputs of a job");
        if given_up {
            job.files = Files::GivenUp;
        }
        job.late = Some(Box::new(late));
        drop(board);
        if given_up {
            tracing::error!(%key, "the outputs of a job are given up; it may leave the queue");
            self.metrics.outputs_given_up.inc();
            self.look_bell.notify_one();
        }
        if news {
            self.ring([key.uid.clone()]);
        }
    }

    fn count_late(&self) {
        let board = self.board();
        let late = board.jobs().filter(|job| job.wants_files() && job.late.is_some()).count();
        self.metrics.outputs_late.set(i64::try_from(late).unwrap_or(i64::MAX));
    }

    /// How a job has ended whose files have come, by what it said at last: HTTP may have brought that before.
    fn collect_home(&self, key: &JobKey, words: Option<Report>) -> Option<Home> {
        let mut board = self.board();
        let job = board.job(key)?;
        // Whoever ends the sender by a signal may have written its words, too.
        let by_signal = match (&job.progress, &job.finished) {
            (Progress::Ended { end, .. }, _) => matches!(end.outcome, Outcome::Signal(_)),
            (_, Some(finished)) => matches!(finished.exit, Exit::Signal(_)),
            (_, None) => return None,
        };
        let words = words.filter(|report| !by_signal && report.start >= job.starts);
        let report = job.final_report().map(|report| (**report).clone()).or(words);
        let is_fault = |finished: &Finished| workers::fault(finished.exit, report.as_ref()).is_some();
        let entry = board.entries.get(&key.uid)?;
        let faults = entry.worker_faults.get(&key.index);
        let goes_on = entry.want() == Want::Run && workers::may_go_on(faults);
        if goes_on && job.end().is_none() && job.finished.as_ref().is_some_and(is_fault) {
            // The tracker knows what follows.
            let job = board.job_mut(key)?;
            job.report = report.map(Arc::new);
            self.look_bell.notify_one();
            return None;
        }
        let end = |finished: &Finished| {
            let end = judge::end(finished, job.starts, report.as_ref());
            workers::named(end, faults, finished, report.as_ref())
        };
        let end = job.end().cloned().or_else(|| job.finished.as_ref().map(end))?;
        Some(Home { key: key.clone(), end, report })
    }
}

async fn keep(inner: &Inner, home: Vec<Home>) -> Result<(), StoreError> {
    let durable = home.clone();
    inner
        .store
        .call(move |t| {
            durable.iter().try_for_each(|home| {
                home.report.iter().try_for_each(|report| inbox::put(t, report).map(drop))?;
                jobs::end(t, &home.key, &home.end)?;
                jobs::home(t, &home.key)
            })
        })
        .await?;
    crash_point!("outputs-durable");
    let keys: Vec<JobKey> = home.iter().map(|home| home.key.clone()).collect();
    for Home { key, end, report } in home {
        let mut board = inner.board();
        if let Some(entry) = board.entries.get_mut(&key.uid) {
            entry.worker_faults.remove(&key.index);
        }
        if let Some(job) = board.job_mut(&key) {
            (job.files, job.late) = (Files::Home, None);
            if job.end().is_none() {
                inner.metrics.ended(end.outcome);
                job.progress = Progress::Ended { job: job.progress.job(), end };
            }
            if let Some(report) = report {
                job.report = Some(Arc::new(report));
                job.heard_at = Some(Instant::now());
            }
        }
        drop(board);
        inner.ring([key.uid]);
    }
    inner.look_bell.notify_one();
    if let Err(why) = inner.forget_spent(keys.iter().map(|key| key.uid.clone())).await {
        tracing::warn!(%why, "failed to forget what ended workloads brought; the next start does");
    }
    inner.weigh(keys).await;
    Ok(())
}
