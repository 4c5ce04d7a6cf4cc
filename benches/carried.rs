//! From the start of a container, by the sender's clock, to its report in the operator's store, where
//! only HTCondor carries it.

use std::time::{Duration, Instant};

use htc_core::workload::report::{ContainerState, Report};
use jiff::Timestamp;

use crate::harness::{Bed, Job, host};
use crate::table::median;
use crate::{Rows, api, operator, profile};

/// They run side by side until the last is heard.
const JOBS: usize = 5;
/// A production pool passes a value on after up to 300 and 900 seconds.
const PATIENCE: Duration = Duration::from_secs(1_500);

/// The row.
pub async fn rows(bed: &mut Bed) -> Rows {
    let route = bed.settings.get("HTC_EVENTS_URL").cloned();
    bed.set("HTC_EVENTS_URL", None);
    operator::start(bed).await;
    let gate = bed.gate("carried");
    let mut jobs = Vec::new();
    for n in 0..JOBS {
        jobs.push(bed.apply(host(&format!("carried-{n}"), &gate)).await);
    }
    let times = measure(bed, jobs).await;
    bed.open("carried");
    api::clear(bed).await?;
    operator::stop(bed).await;
    bed.set("HTC_EVENTS_URL", route.as_deref());
    let times = times?;
    let n = times.len();
    let (ours, range) = median(times);
    let note = format!("{range}; from the container's start to its report in the operator's store");
    Ok(vec![profile::row("running container -> report by chirp", "s", ours, n, note)])
}

/// Seconds, one value a job.
async fn measure(bed: &Bed, mut silent: Vec<Job>) -> Result<Vec<f64>, String> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while !silent.is_empty() {
        if began.elapsed() > PATIENCE {
            return Err(format!("{} of {JOBS} jobs were heard within {PATIENCE:?}", times.len()));
        }
        silent.retain(|job| match bed.kept_report(job).as_ref().and_then(started) {
            Some(at) => {
                times.push(Timestamp::now().duration_since(at).as_secs_f64());
                false
            }
            None => true,
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(times)
}

fn started(report: &Report) -> Option<Timestamp> {
    match report.containers.first()?.state {
        ContainerState::Running { started_at } => Some(started_at),
        _ => None,
    }
}
