//! From the end of a job, by the clock in its script, to the status that a watch of the API shows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{Stream, StreamExt, pin_mut};
use htc_operator::htcjob::types::{HTCJob, Phase};
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::timeout;

use crate::harness::{Bed, Job, host};
use crate::table::{Row, median};
use crate::{Rows, api, operator, profile};

/// One after another: the end of one would let the operator look at the pool for another. With
/// production intervals each waits up to a minute for its start.
fn jobs() -> usize {
    if profile::is_production() { 5 } else { 20 }
}

/// It runs longer than the shortest time between two status writes.
const SCRIPT: &str = "sleep 1.3\ndate +%s.%N\n";
const PATIENCE: Duration = Duration::from_secs(180);

/// The row of jobs that report.
pub async fn routed(bed: &mut Bed) -> Rows {
    row(bed, "end -> status, with a route", "route").await.map(|row| vec![row])
}

/// The row of jobs that do not report.
pub async fn unrouted(bed: &mut Bed) -> Rows {
    let route = bed.settings.get("HTC_EVENTS_URL").cloned();
    bed.set("HTC_EVENTS_URL", None);
    let row = row(bed, "end -> status, without a route", "no-route").await;
    bed.set("HTC_EVENTS_URL", route.as_deref());
    row.map(|row| vec![row])
}

async fn row(bed: &mut Bed, name: &str, prefix: &str) -> Result<Row, String> {
    operator::start(bed).await;
    let times = measure(bed, prefix).await?;
    api::clear(bed).await?;
    operator::stop(bed).await;
    let n = times.len();
    let (ours, range) = median(times);
    let note = format!("{range}; from the script's last line to the watch's event");
    Ok(profile::row(name, "ms", ours, n, note))
}

/// Milliseconds, one value a job.
async fn measure(bed: &Bed, prefix: &str) -> Result<Vec<f64>, String> {
    let events = watcher(bed.htcjobs(), watcher::Config::default()).applied_objects();
    pin_mut!(events);
    let mut times = Vec::new();
    let jobs = jobs();
    for n in 0..jobs {
        let job = bed.apply(host(&format!("{prefix}-{n}"), SCRIPT)).await;
        let ended = timeout(PATIENCE, until_ended(&mut events, &job)).await;
        let at = ended.map_err(|_| format!("{} of {jobs} HTCJobs ended", times.len()))??;
        let log = bed.log_of(&job).await;
        let end: f64 = log.trim().parse().map_err(|_| format!("the log of {} is {log:?}", job.name))?;
        times.push((at - end) * 1000.0);
    }
    Ok(times)
}

/// When the HTCJob was first seen to have succeeded.
async fn until_ended(
    mut events: impl Stream<Item = Result<HTCJob, watcher::Error>> + Unpin,
    job: &Job,
) -> Result<f64, String> {
    loop {
        let seen = events.next().await.ok_or("the watch has ended")?.map_err(|e| e.to_string())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let status = seen.status.as_ref().filter(|_| seen.name_any() == job.name);
        match status.and_then(|status| status.phase) {
            Some(Phase::Succeeded) => return Ok(now),
            Some(Phase::Failed) => return Err(format!("{} failed: {:?}", job.name, seen.status)),
            _ => {}
        }
    }
}
