//! Brings the outputs of ended jobs home, many in one call, and reads each job's result.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::{End, Progress};
use htc_core::workload::report::{RESULT_FILE, Report};
use tokio::time::timeout;

use super::Inner;
use super::look::judge;
use super::look::tracker::backoff;
use crate::condor::ad::KEY;
use crate::condor::{act, quote};
use crate::crash_point;
use crate::limits::{DISK_FULL, FETCH_TRIES, IDLE_LOOK, TRANSFER_BATCH};
use crate::store::database::StoreError;
use crate::store::{inbox, jobs};

/// Failures of one job's transfer, and when to try again.
type Failures = HashMap<JobKey, (u32, Instant)>;

/// Works until it is dropped.
pub async fn work(inner: Arc<Inner>) {
    let mut failures = Failures::new();
    loop {
        let wanted = inner.wanted(&failures);
        if wanted.is_empty() {
            let next = failures.values().map(|(_, at)| at.saturating_duration_since(Instant::now())).min();
            let rest = next.unwrap_or(IDLE_LOOK).max(Duration::from_millis(100));
            let _ = timeout(rest, inner.fetch_bell.notified()).await;
            failures.retain(|key, _| inner.board().job(key).is_some_and(|job| job.wants_files()));
            continue;
        }
        if let Err(why) = fetch(&inner, wanted, &mut failures).await {
            tracing::warn!(%why, "failed to note that outputs are home; they are fetched again");
        }
    }
}

impl Inner {
    /// Jobs whose files are due. One that failed before goes alone: a call fails as a whole.
    fn wanted(&self, failures: &Failures) -> Vec<(JobKey, String)> {
        let board = self.board();
        let mut wanted: Vec<(JobKey, String)> = Vec::new();
        for job in board.jobs().filter(|job| job.wants_files()) {
            let item = (job.key.clone(), job.folder.clone());
            match failures.get(&job.key) {
                None => wanted.push(item),
                Some((_, at)) if *at <= Instant::now() => return vec![item],
                Some(_) => {}
            }
            if wanted.len() == TRANSFER_BATCH {
                break;
            }
        }
        wanted
    }

    fn forsake(&self, key: &JobKey) {
        if let Some(job) = self.board().job_mut(key) {
            job.forsaken = true;
        }
        self.look_bell.notify_one();
    }

    fn is_disk_full(&self) -> bool {
        self.free_space().is_some_and(|free| free < DISK_FULL)
    }

    fn failed_to_fetch(&self, key: JobKey, why: &str, failures: &mut Failures) {
        let (count, at) = failures.entry(key.clone()).or_insert((0, Instant::now()));
        *count += 1;
        *at = Instant::now() + backoff(*count);
        tracing::warn!(%key, why, tries = *count, "failed to fetch the outputs of a job");
        // While the pool is away nothing is known of them, and a full disk of ours is not their fault.
        if *count >= FETCH_TRIES && self.board().trouble.is_none() && !self.is_disk_full() {
            tracing::error!(%key, "the outputs of a job are given up; it may leave the queue");
            self.forsake(&key);
            self.ring([key.uid]);
        }
    }

    fn is_home(&self, key: &JobKey, result: Option<Report>) -> Option<Home> {
        let board = self.board();
        let job = board.job(key)?;
        let result = result.filter(|r| r.key == *key && r.start >= job.starts);
        let report = job.final_report().map(|r| (**r).clone()).or(result);
        let end = match (&job.progress, &job.finished) {
            (Progress::Ended { end, .. }, _) => end.clone(),
            (_, Some(finished)) => judge::end(finished, job.starts, report.as_ref()),
            (_, None) => return None,
        };
        Some(Home { key: key.clone(), end, report })
    }
}

/// A job whose files are home.
#[derive(Clone)]
struct Home {
    key: JobKey,
    end: End,
    report: Option<Report>,
}

async fn fetch(
    inner: &Inner,
    wanted: Vec<(JobKey, String)>,
    failures: &mut Failures,
) -> Result<(), StoreError> {
    for (_, folder) in &wanted {
        // What an interrupted call left is no proof; mostly there is nothing.
        let _ = tokio::fs::remove_file(result_file(folder)).await;
    }
    let keys = quote::list(wanted.iter().map(|(key, _)| key));
    // Removed ones among them had ended before: their files are there too.
    let constraint = format!("member({KEY}, {keys}) && (JobStatus == 3 || JobStatus == 4)");
    let called = act::transfer(&inner.pool, &constraint).await.map_err(|why| why.to_string());
    crash_point!("outputs-fetched");
    let mut home = Vec::new();
    for (key, folder) in wanted {
        // Exit code 0 is given to a call that found no job too, and a file may be there without the
        // others: it takes both.
        let proof = match &called {
            Ok(()) => read_result(&folder).await,
            Err(why) => Err(why.clone()),
        };
        match proof {
            Ok(result) => {
                failures.remove(&key);
                home.extend(inner.is_home(&key, result));
            }
            Err(why) => inner.failed_to_fetch(key, &why, failures),
        }
    }
    if home.is_empty() { Ok(()) } else { keep(inner, home).await }
}

fn result_file(folder: &str) -> PathBuf {
    Path::new(folder).join(RESULT_FILE)
}

/// The last report of a job whose files are home. A sender that was killed has left the file
/// empty: that it came is proof all the same, and the ad tells how the job ended.
async fn read_result(folder: &str) -> Result<Option<Report>, String> {
    let path = result_file(folder);
    let bytes = tokio::fs::read(&path).await.map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(serde_json::from_slice(&bytes).ok())
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
    for Home { key, end, report } in home {
        if let Some(job) = inner.board().job_mut(&key) {
            job.home = true;
            if job.end().is_none() {
                inner.metrics.ended(end.outcome);
                job.progress = Progress::Ended { job: job.progress.job(), end };
            }
            if let Some(report) = report {
                job.report = Some(Arc::new(report));
                job.heard_at = Some(Instant::now());
            }
        }
        inner.ring([key.uid]);
    }
    inner.look_bell.notify_one();
    Ok(())
}
