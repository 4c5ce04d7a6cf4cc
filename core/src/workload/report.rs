//! What a job says of itself. The same JSON is the data of a CloudEvent and, for the last report,
//! the file `result.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::JobKey;

/// The file with the last report, written last by the sender and brought home by HTCondor.
pub const RESULT_FILE: &str = "result.json";

/// The exit code of a job whose container could not be started at all, as shells have it.
pub const CANNOT_RUN: i32 = 127;

/// A report of one execution (`start`) of a job, ordered by `(start, seq)`.
///
/// `name`, `jobid` and `retcode` are what the predecessor's events had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The name of the outside object.
    pub name: String,
    /// Its namespace; empty where there is none.
    pub namespace: String,
    /// `cluster.proc` where the job could read it.
    pub jobid: Option<String>,
    /// The exit code of the whole job, only in its last report.
    pub retcode: Option<i32>,
    /// The job's key, `uid/index/attempt/submission`.
    pub key: JobKey,
    /// Which execution by the pool: `NumShadowStarts`, from 1.
    pub start: u32,
    /// Counts the reports of one start, from 1.
    pub seq: u64,
    /// The sender's clock.
    pub now: Timestamp,
    /// What the sender is doing.
    pub phase: Phase,
    /// The init containers, in the order of the job.
    pub init_containers: Vec<ContainerStatus>,
    /// The containers, in the order of the job.
    pub containers: Vec<ContainerStatus>,
}

impl Report {
    /// The order of reports of one job.
    pub fn order(&self) -> (u32, u64) {
        (self.start, self.seq)
    }

    /// Whether this start of the job has come to its own end (not one that HTCondor asked for).
    pub fn is_final(&self) -> bool {
        self.phase == Phase::Done
    }
}

/// What the sender is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Files and images are being made ready; init containers run.
    Preparing,
    /// The containers run.
    Running,
    /// HTCondor asked the job to end. Removal, hold and eviction look alike from inside, so this
    /// is never an end: the job's ad tells which it was.
    Stopping,
    /// All containers have ended by themselves.
    Done,
}

/// A container as the sender last saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name in the job.
    pub name: String,
    /// How far it is.
    pub state: ContainerState,
}

/// How far a container is; the variants hold what exists then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ContainerState {
    /// Not started.
    Waiting {
        /// `PodInitializing`, `ContainerCreating`, `ErrImagePull`, ….
        reason: String,
        /// A sentence, or empty.
        message: String,
    },
    /// Its first process runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// Its first process has ended, or could not be started.
    Terminated {
        /// As the process gave it; 128 + signal when a signal ended it.
        exit_code: i32,
        /// The signal that ended it.
        signal: Option<i32>,
        /// `Completed`, `Error`, `ContainerCannotRun`, `ErrImagePull`, ….
        reason: String,
        /// A sentence, or empty.
        message: String,
        /// When it started; none when it never did.
        started_at: Option<Timestamp>,
        /// When it ended.
        finished_at: Timestamp,
    },
}
