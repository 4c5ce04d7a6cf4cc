//! What we believe of one job: an enum whose variants hold what exists in that state.
//!
//! Moves go forward or back within the living states (a job may be held, evicted and started
//! again), and from any of them to [`Progress::Ended`], which nothing leaves.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::report::CANNOT_RUN;

/// What ends a process that used too much memory.
const SIGKILL: i32 = 9;

/// The id that HTCondor gave a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// `ClusterId`.
    pub cluster: u32,
    /// `ProcId`.
    pub proc: u32,
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.cluster, self.proc)
    }
}

impl std::str::FromStr for JobId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (cluster, proc) = text.split_once('.').ok_or(())?;
        Ok(JobId { cluster: cluster.parse().map_err(|_| ())?, proc: proc.parse().map_err(|_| ())? })
    }
}

/// What we believe of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Progress {
    /// Handed to HTCondor, or about to be; whether it was taken is not known yet.
    Submitting {
        /// The id, once the tool has printed it.
        job: Option<JobId>,
    },
    /// In the queue with all its files; it may have run before and been evicted.
    Queued {
        /// Its id.
        job: JobId,
    },
    /// The pool runs it.
    Running {
        /// Its id.
        job: JobId,
        /// Which execution this is, from 1.
        start: u32,
        /// Since when, by HTCondor's clock.
        since: Timestamp,
    },
    /// The pool has stopped it on its machine, and lets it go on there by itself.
    Suspended {
        /// Its id.
        job: JobId,
        /// Since when.
        since: Timestamp,
    },
    /// On hold: nothing happens until somebody acts.
    Held {
        /// Its id.
        job: JobId,
        /// `HoldReasonCode`.
        code: i64,
        /// `HoldReasonSubCode`.
        subcode: i64,
        /// HTCondor's sentence.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// Over, for good.
    Ended {
        /// Its id; none when it never came into the queue.
        job: Option<JobId>,
        /// How.
        end: End,
    },
}

impl Progress {
    /// The id, where there is one.
    pub fn job(&self) -> Option<JobId> {
        match self {
            Progress::Submitting { job } | Progress::Ended { job, .. } => *job,
            Progress::Queued { job }
            | Progress::Running { job, .. }
            | Progress::Suspended { job, .. }
            | Progress::Held { job, .. } => Some(*job),
        }
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<&End> {
        match self {
            Progress::Ended { end, .. } => Some(end),
            _ => None,
        }
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// What it came to.
    pub outcome: Outcome,
    /// One sentence for people; for a success only on what it left out of its outputs.
    pub message: String,
    /// When, by HTCondor's clock.
    pub at: Timestamp,
}

/// What a job came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Exit code 0.
    Succeeded,
    /// Another exit code.
    ExitCode(i32),
    /// A signal ended the sender itself.
    Signal(i32),
    /// The container could not be started: unknown image, command not found, ….
    CannotRun,
    /// Somebody removed it from the queue.
    Removed,
    /// It lost its machine, and may start only once.
    Evicted,
    /// It was put on hold after it had started, and may start only once.
    OnHold,
    /// The same, because it used more memory than it had.
    OutOfMemory,
    /// HTCondor refused to take it.
    SubmitRefused,
    /// It left the queue without our leave, and nothing says how it ended.
    LostTrack,
}

impl Outcome {
    /// Whether it counts as a success.
    pub fn succeeded(self) -> bool {
        self == Outcome::Succeeded
    }

    /// Whether its files are worth fetching: outputs come home only from a job that ended by itself.
    pub fn has_files(self) -> bool {
        match self {
            Outcome::Succeeded | Outcome::ExitCode(_) | Outcome::Signal(_) | Outcome::CannotRun => true,
            Outcome::Removed
            | Outcome::Evicted
            | Outcome::OnHold
            | Outcome::OutOfMemory
            | Outcome::SubmitRefused
            | Outcome::LostTrack => false,
        }
    }

    /// A word for conditions, events and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Outcome::Succeeded => "Completed",
            Outcome::ExitCode(_) => "Error",
            Outcome::Signal(_) => "Signal",
            Outcome::CannotRun => "ContainerCannotRun",
            Outcome::Removed => "Removed",
            Outcome::Evicted => "Evicted",
            Outcome::OnHold => "JobHeld",
            Outcome::OutOfMemory => "OOMKilled",
            Outcome::SubmitRefused => "SubmitRefused",
            Outcome::LostTrack => "LostTrack",
        }
    }

    /// The exit code, as a shell would give it.
    pub fn exit_code(self) -> Option<i32> {
        match self {
            Outcome::Succeeded => Some(0),
            Outcome::ExitCode(code) => Some(code),
            Outcome::Signal(signal) => Some(128 + signal),
            Outcome::CannotRun => Some(CANNOT_RUN),
            Outcome::OutOfMemory => Some(128 + SIGKILL),
            Outcome::Removed
            | Outcome::Evicted
            | Outcome::OnHold
            | Outcome::SubmitRefused
            | Outcome::LostTrack => None,
        }
    }
}
