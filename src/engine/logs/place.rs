//! Where the log of an index is now, by the board.

use std::path::PathBuf;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{JobId, Progress};
use htc_core::workload::report::ContainerState;

use super::LogError;
use crate::engine::board::{Board, Entry, Files, InQueue, Job};

/// Where a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere yet; the sentence says what the index waits for.
    Nowhere(String),
    /// With the job, which runs, or is being removed.
    Worker(JobKey, JobId),
    /// On its way home: the job has ended.
    Coming,
    /// In this folder.
    Home(PathBuf),
}

/// Where the log of a container of an index is; an error when there is none and will be none.
pub fn place(
    board: &Board,
    uid: &Uid,
    index: u32,
    container: &str,
    folder: impl Fn(&JobKey) -> String,
) -> Result<Place, LogError> {
    let unknown = || match board.entries.contains_key(uid) {
        true => LogError::Deleted,
        false => LogError::UnknownWorkload,
    };
    let entry = board.entries.get(uid).ok_or_else(unknown)?;
    let rested = entry.rested.get(index).map(|rest| rest.job(uid, folder(&rest.key(uid))));
    let job = entry.jobs.get(&index).map(|job| &**job).or(rested.as_ref());
    if let Some(why) = entry.unreadable.as_ref().filter(|_| entry.workload.is_none()) {
        return Err(LogError::NoFiles { index, why: why.clone() });
    }
    let is_left = || job.is_some_and(|job| job.files == Files::Home || is_on_worker(job));
    let is_there = entry.run().is_some() || is_left();
    let workload = entry.workload.as_ref().filter(|_| is_there).ok_or(LogError::Deleted)?;
    if index >= workload.indices {
        return Err(LogError::NoIndex { index, indices: workload.indices });
    }
    if entry.inherited {
        let why = "this operator did not submit it; its files stay with HTCondor until condor_transfer_data \
                   fetches them";
        return Err(LogError::NoFiles { index, why: why.to_owned() });
    }
    let names = || workload.init_containers.iter().chain(&workload.containers).map(|c| c.name.as_str());
    if !names().any(|name| name == container) {
        let known = names().collect::<Vec<_>>().join(", ");
        return Err(LogError::NoContainer { index, container: container.to_owned(), known });
    }
    match job {
        Some(job) => of_job(entry, job),
        None => {
            let why = board.in_the_way(entry).map_or(String::new(), |obstacle| format!(": {}", obstacle.why));
            Ok(Place::Nowhere(format!("index {index} waits to be submitted to the pool{why}")))
        }
    }
}

/// One that is being removed has its grace on the worker; one that is suspended keeps its machine.
fn is_on_worker(job: &Job) -> bool {
    let runs = matches!(job.progress, Progress::Running { .. } | Progress::Suspended { .. });
    (runs && job.in_queue != InQueue::Left) || job.is_leaving()
}

/// Whether a container of a job has ended, by what the latest start of the job says of itself.
pub fn has_ended(job: &Job, container: &str) -> bool {
    let report = job.report.as_ref().filter(|report| report.start >= job.starts);
    let mut all =
        report.into_iter().flat_map(|report| report.init_containers.iter().chain(&report.containers));
    all.any(|status| status.name == container && matches!(status.state, ContainerState::Terminated { .. }))
}

fn of_job(entry: &Entry, job: &Job) -> Result<Place, LogError> {
    let index = job.key.index;
    let none = |why: String| Err(LogError::NoFiles { index, why });
    if let Some(at) = entry.collected {
        return none(format!(
            "its outputs were removed at {at}: they are kept only so long after the end (--keep-outputs-days)"
        ));
    }
    if job.files == Files::Home {
        return Ok(Place::Home(PathBuf::from(&job.folder)));
    }
    if let Some(id) = job.progress.job().filter(|_| job.is_leaving()) {
        return Ok(Place::Worker(job.key.clone(), id));
    }
    if let Some(end) = job.end().filter(|end| !end.outcome.has_files()) {
        return none(end.message.clone());
    }
    // Before its end is kept, nobody knows yet how it ended.
    let is_given_up = job.files == Files::GivenUp;
    if is_given_up && job.end().is_some() {
        return none("its outputs could not be fetched from the pool".to_owned());
    }
    if job.in_queue == InQueue::Left {
        return none("the job has left the pool without its outputs; they will not come home".to_owned());
    }
    // One that has said its last word may still be put on hold, as when its files cannot come back.
    let is_held = matches!(job.progress, Progress::Held { .. });
    if job.end().is_some()
        || job.finished.is_some()
        || is_given_up
        || (job.final_report().is_some() && !is_held)
    {
        return Ok(Place::Coming);
    }
    Ok(match &job.progress {
        // One that is suspended keeps its machine, and its log there.
        Progress::Running { job: id, .. } | Progress::Suspended { job: id, .. } => {
            Place::Worker(job.key.clone(), *id)
        }
        Progress::Submitting { .. } => {
            Place::Nowhere(format!("index {index} is being submitted to the pool"))
        }
        Progress::Held { job: id, reason, .. } => {
            Place::Nowhere(format!("index {index} is on hold in the pool, as job {id}: {reason}"))
        }
        Progress::Queued { job: id } if job.starts > 0 => Place::Nowhere(format!(
            "index {index} lost its machine and waits in the queue to start again, as job {id}"
        )),
        Progress::Queued { job: id } => {
            Place::Nowhere(format!("index {index} waits in the queue for a machine, as job {id}"))
        }
        Progress::Ended { .. } => Place::Coming,
    })
}
