//! What is told of workers that could start nothing of an HTCJob's copies.

use htc_core::workload::progress::Progress;
use jiff::Timestamp;

use super::holds::few;
use super::status::{Draft, intervals};
use super::types::HTCJobStatus;
use crate::engine::{View, WorkerFaults};

/// The type of the condition, and its reason while it holds.
pub const WORKER_CANNOT_RUN: &str = "WorkerCannotRun";

/// The condition; nothing for an HTCJob that no worker has failed.
pub fn condition(view: &View, old: &HTCJobStatus) -> Option<Draft> {
    let waiting: Vec<(u32, &WorkerFaults)> = view
        .worker_faults
        .iter()
        .filter(|(index, _)| !runs(view, **index))
        .map(|(index, faults)| (*index, faults))
        .collect();
    match waiting.first() {
        Some((_, first)) => {
            let indices = intervals(waiting.iter().map(|(index, _)| *index)).unwrap_or_default();
            let message = format!("index {}: {}", few(&indices), sentence(first));
            Some((WORKER_CANNOT_RUN, true, WORKER_CANNOT_RUN.to_owned(), message))
        }
        None if old.conditions.iter().any(|c| c.type_ == WORKER_CANNOT_RUN) => {
            let message = "no copy waits for another worker any more".to_owned();
            Some((WORKER_CANNOT_RUN, false, "WorkerFound".to_owned(), message))
        }
        None => None,
    }
}

fn runs(view: &View, index: u32) -> bool {
    let job = view.jobs.binary_search_by_key(&index, |job| job.index).ok().map(|at| &view.jobs[at]);
    job.is_some_and(|job| {
        matches!(job.progress, Progress::Running { .. } | Progress::Suspended { .. } | Progress::Ended { .. })
    })
}

/// Which machines, why, and when they may be tried again.
fn sentence(faults: &WorkerFaults) -> String {
    let WorkerFaults { attempt: _, submission: _, times, machines, until, why } = faults;
    let until = Timestamp::from_second(*until).unwrap_or_default();
    match machines.is_empty() {
        true => format!("a worker could not run it ({why}); it is tried again ({times} times so far)"),
        false => format!(
            "could not be run on {} ({why}); it is tried on other machines, and from {until} on also there \
             ({times} times so far)",
            machines.join(", ")
        ),
    }
}
