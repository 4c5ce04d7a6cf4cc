//! From the end of a job, by the clock in its script, to the status that a watch of the API shows.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, pin_mut};
use htc_operator::htcjob::types::Phase;
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::{sleep, timeout};

use crate::harness::{Bed, Job, host};
use crate::table::{Row, median};
use crate::{Rows, api, operator};

const JOBS: usize = 20;
/// Between two applications: jobs must not end together.
const APART: Duration = Duration::from_millis(1300);
/// It runs longer than the shortest time between two status writes.
const SCRIPT: &str = "sleep 2\ndate +%s.%N\n";
const PATIENCE: Duration = Duration::from_secs(180);

/// The rows of this subject.
pub async fn rows(bed: &mut Bed) -> Rows {
    let route = bed.settings.get("HTC_EVENTS_URL").cloned();
    let with = row(bed, "end -> status, with a route", "route").await?;
    bed.set("HTC_EVENTS_URL", None);
    let without = row(bed, "end -> status, without a route", "no-route").await;
    bed.set("HTC_EVENTS_URL", route.as_deref());
    Ok(vec![with, without?])
}

async fn row(bed: &mut Bed, name: &str, prefix: &str) -> Result<Row, String> {
    operator::start(bed).await;
    let seconds = measure(bed, prefix).await?;
    api::clear(bed).await?;
    operator::stop(bed).await;
    let n = seconds.len();
    let (ours, range) = median(seconds.iter().map(|s| s * 1000.0).collect());
    let note = format!("{range}; median of the time from the script's last line to the watch's event");
    Ok(Row { name: name.to_owned(), unit: "ms", raw: None, ours: Some(ours), n, note, failed: false })
}

async fn measure(bed: &Bed, prefix: &str) -> Result<Vec<f64>, String> {
    let (jobs, seen) = tokio::join!(apply(bed, prefix), watch(bed));
    let seen = seen?;
    let mut times = Vec::new();
    for job in jobs {
        let (phase, at) = seen[&job.name];
        if phase != Phase::Succeeded {
            return Err(format!("{} ended in phase {phase:?}: {:?}", job.name, bed.status(&job).await));
        }
        let log = bed.log_of(&job).await;
        let end: f64 = log.trim().parse().map_err(|_| format!("the log of {} is {log:?}", job.name))?;
        times.push(at - end);
    }
    Ok(times)
}

async fn apply(bed: &Bed, prefix: &str) -> Vec<Job> {
    let mut jobs = Vec::new();
    for n in 0..JOBS {
        jobs.push(bed.apply(host(&format!("{prefix}-{n}"), SCRIPT)).await);
        sleep(APART).await;
    }
    jobs
}

/// When each HTCJob was first seen to have ended, and how.
async fn watch(bed: &Bed) -> Result<HashMap<String, (Phase, f64)>, String> {
    let events = watcher(bed.htcjobs(), watcher::Config::default()).applied_objects();
    pin_mut!(events);
    let mut seen = HashMap::new();
    while seen.len() < JOBS {
        let next = timeout(PATIENCE, events.next()).await;
        let next = next.map_err(|_| format!("only {} of {JOBS} HTCJobs ended", seen.len()))?;
        let job = next.ok_or("the watch has ended")?.map_err(|e| e.to_string())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let phase = job.status.as_ref().and_then(|status| status.phase);
        if let Some(phase @ (Phase::Succeeded | Phase::Failed)) = phase {
            seen.entry(job.name_any()).or_insert((phase, now));
        }
    }
    Ok(seen)
}
