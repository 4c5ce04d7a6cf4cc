//! Job ads: what one look at HTCondor says of a job.
//!
//! Attributes: <https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html>

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The attribute with our instance id.
pub const INSTANCE: &str = "HTCOperatorInstance";
/// The attribute with the workload's UID.
pub const UID: &str = "HTCOperatorUid";
/// The attribute with the job's key.
pub const KEY: &str = "HTCOperatorKey";
/// The attribute that says that the job may leave the queue.
pub const ACK: &str = "HTCAck";

/// What we ask for: the schedd sends only these.
pub const PROJECTION: &[&str] = &[
    KEY,
    ACK,
    "ClusterId",
    "ProcId",
    "JobStatus",
    "EnteredCurrentStatus",
    "StageInFinish",
    "StageOutFinish",
    "NumShadowStarts",
    "JobCurrentStartDate",
    "CompletionDate",
    "ExitCode",
    "ExitBySignal",
    "ExitSignal",
    "HoldReason",
    "HoldReasonCode",
    "HoldReasonSubCode",
    "RemoveReason",
    "Iwd",
    "SUBMIT_Iwd",
];

/// `HoldReasonCode` of a job whose input files have not all arrived.
pub const SPOOLING_INPUT: i64 = 16;

/// One job, as the schedd described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ad {
    /// Our key.
    pub key: JobKey,
    /// HTCondor's id.
    pub job: JobId,
    /// `JobStatus` with what belongs to it.
    pub state: State,
    /// When it came into that state.
    pub since: Timestamp,
    /// Whether all input files arrived (`StageInFinish`): without it the job never ran.
    pub staged: bool,
    /// Whether the outputs were fetched since the job ended.
    pub fetched: bool,
    /// How often the pool has started it.
    pub starts: u32,
    /// Whether we have said that it may leave.
    pub acknowledged: bool,
    /// The folder it was submitted from.
    pub folder: String,
}

/// `JobStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// 1: waits for a match.
    Idle,
    /// 2, or 6 while outputs travel: at work.
    Running,
    /// 3: removed.
    Removed {
        /// `RemoveReason`.
        reason: String,
    },
    /// 4: ended by itself.
    Completed(Exit),
    /// 5: on hold.
    Held {
        /// `HoldReasonCode`.
        code: i64,
        /// `HoldReasonSubCode`.
        subcode: i64,
        /// `HoldReason`.
        reason: String,
    },
    /// 7: the machine's owner or an admin stopped it for now.
    Suspended,
}

/// How the sender ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `ExitCode`.
    Code(i32),
    /// `ExitSignal`.
    Signal(i32),
}

impl Ad {
    /// Reads an ad of `condor_q -json`; an error is a sentence that names the attribute.
    pub fn parse(ad: &Map<String, Value>) -> Result<Ad, String> {
        let int = |name: &str| ad.get(name).and_then(Value::as_i64);
        let need = |name: &str| int(name).ok_or_else(|| format!("no number {name}"));
        let text = |name: &str| ad.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |name: &str| u32::try_from(need(name)?).map_err(|e| format!("{name}: {e}"));
        let key = text(KEY).parse().map_err(|e| format!("{KEY}: {e}"))?;
        let job = JobId { cluster: number("ClusterId")?, proc: number("ProcId")? };
        let entered = need("EnteredCurrentStatus")?;
        let state = match need("JobStatus")? {
            1 => State::Idle,
            2 | 6 => State::Running,
            3 => State::Removed { reason: text("RemoveReason") },
            4 => State::Completed(exit(ad)),
            5 => State::Held {
                code: int("HoldReasonCode").unwrap_or(0),
                subcode: int("HoldReasonSubCode").unwrap_or(0),
                reason: text("HoldReason"),
            },
            7 => State::Suspended,
            other => return Err(format!("JobStatus {other} is unknown")),
        };
        let since = match state {
            State::Running => int("JobCurrentStartDate").unwrap_or(entered),
            State::Completed(_) => int("CompletionDate").filter(|&at| at > 0).unwrap_or(entered),
            _ => entered,
        };
        let folder = text("SUBMIT_Iwd");
        Ok(Ad {
            key,
            job,
            state,
            since: Timestamp::from_second(since).map_err(|e| e.to_string())?,
            staged: int("StageInFinish").is_some(),
            fetched: int("StageOutFinish").is_some_and(|at| at >= entered),
            starts: int("NumShadowStarts").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            acknowledged: ad.get(ACK).and_then(Value::as_bool).unwrap_or(false),
            folder: if folder.is_empty() { text("Iwd") } else { folder },
        })
    }

    /// Whether the job still waits for its files and so can never have run.
    pub fn is_spooling(&self) -> bool {
        !self.staged && matches!(self.state, State::Held { code: SPOOLING_INPUT, .. })
    }

    /// Whether the job is over as far as HTCondor is concerned.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Removed { .. } | State::Completed(_))
    }
}

fn exit(ad: &Map<String, Value>) -> Exit {
    let int = |name: &str| ad.get(name).and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok());
    if ad.get("ExitBySignal").and_then(Value::as_bool) == Some(true) {
        Exit::Signal(int("ExitSignal").unwrap_or(0))
    } else {
        // An ended job without an exit code must not pass for a success.
        Exit::Code(int("ExitCode").unwrap_or(255))
    }
}
