//! Job ads: what one look at HTCondor says of a job.
//!
//! Attributes: <https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html>

use htc_core::chirp;
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
/// The namespace of the object that a job is for.
pub const NAMESPACE: &str = "HTCNamespace";
/// The name of that object.
pub const NAME: &str = "HTCName";

/// What we ask for: the schedd sends only these.
pub const PROJECTION: &[&str] = &[
    KEY,
    ACK,
    "ClusterId",
    "ProcId",
    "JobStatus",
    "EnteredCurrentStatus",
    "StageInFinish",
    "NumShadowStarts",
    "NumJobStarts",
    "VacateReason",
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
    chirp::ATTRIBUTE,
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
    /// How often the pool has started it.
    pub starts: u32,
    /// Whether one of its starts got as far as its first process (`NumJobStarts`). What may start only
    /// once is kept from another start by the same attribute, see [`super::submit`].
    pub ran: bool,
    /// Why it last lost its machine; empty where HTCondor does not say.
    pub vacated: String,
    /// Whether we have said that it may leave.
    pub acknowledged: bool,
    /// Whether it has been removed, whatever it did before.
    pub removed: bool,
    /// The folder it was submitted from.
    pub folder: String,
    /// What the job says of itself in its ad; anybody who may edit the job could have written it.
    pub chirp: Option<String>,
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
    /// Reads an ad of `condor_q -json` of the job with this key; an error is a sentence that names the
    /// attribute.
    pub fn parse(key: JobKey, ad: &Map<String, Value>) -> Result<Ad, String> {
        let int = |name: &str| ad.get(name).and_then(Value::as_i64);
        let need = |name: &str| int(name).ok_or_else(|| format!("no number {name}"));
        let text = |name: &str| ad.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |name: &str| u32::try_from(need(name)?).map_err(|e| format!("{name}: {e}"));
        let job = JobId { cluster: number("ClusterId")?, proc: number("ProcId")? };
        let entered = need("EnteredCurrentStatus")?;
        // Old versions have 0 while the job runs.
        let completed = int("CompletionDate").filter(|&at| at > 0);
        let state = match need("JobStatus")? {
            1 => State::Idle,
            2 | 6 => State::Running,
            // Removed after it had ended by itself: the end counts.
            3 if completed.is_some() => State::Completed(exit(ad)),
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
            State::Completed(_) => completed.unwrap_or(entered),
            _ => entered,
        };
        let folder = text("SUBMIT_Iwd");
        Ok(Ad {
            key,
            job,
            state,
            since: Timestamp::from_second(since).map_err(|e| e.to_string())?,
            staged: int("StageInFinish").is_some(),
            starts: int("NumShadowStarts").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            ran: int("NumJobStarts").is_some_and(|n| n > 0),
            vacated: text("VacateReason"),
            removed: need("JobStatus")? == 3,
            acknowledged: ad.get(ACK).and_then(Value::as_bool).unwrap_or(false),
            folder: if folder.is_empty() { text("Iwd") } else { folder },
            chirp: ad.get(chirp::ATTRIBUTE).and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// Whether the job still waits for its files and so can never have run.
    pub fn is_spooling(&self) -> bool {
        !self.staged && matches!(self.state, State::Held { code: SPOOLING_INPUT, .. })
    }

    /// Whether nothing is left to be asked for: the schedd drops it within a minute.
    pub fn is_leaving(&self) -> bool {
        self.acknowledged && self.removed
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An ad as `condor_q -json` of 23.9.6 printed it, with some attributes changed.
    fn ad(changes: Value) -> Result<Ad, String> {
        let mut ad = json!({
            "ClusterId": 58,
            "CompletionDate": 1795237017,
            "EnteredCurrentStatus": 1795237018,
            "ExitBySignal": false,
            "ExitCode": 0,
            "HoldReason": null,
            "HoldReasonCode": null,
            "HTCOperatorKey": "0013742e-b431-4b57-9f39-bd77d8fda467/6/0/0",
            "Iwd": "/var/spool/condor/58/0/cluster58.proc0.subproc0",
            "JobCurrentStartDate": 1795237016,
            "JobStatus": 4,
            "NumShadowStarts": 1,
            "ProcId": 0,
            "StageInFinish": 1795237013,
            "SUBMIT_Iwd": "/data/jobs/0013742e-b431-4b57-9f39-bd77d8fda467/6.0.0"
        });
        for (name, value) in changes.as_object().unwrap() {
            ad[name] = value.clone();
        }
        let key = ad[KEY].as_str().unwrap().parse().unwrap();
        Ad::parse(key, ad.as_object().unwrap())
    }

    #[test]
    fn a_completed_job_tells_its_end_and_where_it_came_from() {
        let ad = ad(json!({})).unwrap();
        assert_eq!(ad.state, State::Completed(Exit::Code(0)));
        assert_eq!((ad.job.to_string().as_str(), ad.key.index, ad.starts), ("58.0", 6, 1));
        assert_eq!(ad.since.as_second(), 1795237017);
        assert_eq!(ad.folder, "/data/jobs/0013742e-b431-4b57-9f39-bd77d8fda467/6.0.0");
        assert!(ad.staged && !ad.acknowledged && ad.is_over());
    }

    #[test]
    fn what_the_job_says_of_itself_is_only_carried() {
        assert_eq!(ad(json!({})).unwrap().chirp, None);
        assert_eq!(ad(json!({"ChirpHTCReport": "v1,k"})).unwrap().chirp.as_deref(), Some("v1,k"));
        assert_eq!(ad(json!({"ChirpHTCReport": 7})).unwrap().chirp, None);
    }

    #[test]
    fn every_state_is_read_for_what_it_is() {
        let state = |changes| ad(changes).unwrap().state;
        assert_eq!(state(json!({"JobStatus": 1, "CompletionDate": 0})), State::Idle);
        assert_eq!(state(json!({"JobStatus": 2})), State::Running);
        assert_eq!(state(json!({"JobStatus": 7})), State::Suspended);
        let held = json!({"JobStatus": 5, "HoldReasonCode": 12, "HoldReasonSubCode": 2, "HoldReason": "x"});
        assert_eq!(state(held), State::Held { code: 12, subcode: 2, reason: "x".into() });
        let signal = json!({"ExitBySignal": true, "ExitSignal": 9, "ExitCode": null});
        assert_eq!(state(signal), State::Completed(Exit::Signal(9)));
        assert_eq!(state(json!({"ExitCode": null})), State::Completed(Exit::Code(255)));
    }

    #[test]
    fn a_job_removed_after_its_end_has_ended_and_one_removed_before_has_not() {
        let why = json!({"JobStatus": 3, "RemoveReason": "via condor_rm (by user alice)"});
        assert_eq!(ad(why.clone()).unwrap().state, State::Completed(Exit::Code(0)));
        let before = ad(json!({"JobStatus": 3, "CompletionDate": 0, "RemoveReason": "r"})).unwrap();
        assert_eq!(before.state, State::Removed { reason: "r".into() });
    }

    #[test]
    fn a_job_that_waits_for_its_files_has_not_been_handed_over() {
        let spooling = json!({"JobStatus": 5, "HoldReasonCode": 16, "StageInFinish": null});
        assert!(ad(spooling).unwrap().is_spooling());
        assert!(!ad(json!({"JobStatus": 5, "HoldReasonCode": 16})).unwrap().is_spooling());
    }

    #[test]
    fn an_ad_without_what_we_need_is_no_ad() {
        for bad in
            [json!({"ClusterId": null}), json!({"JobStatus": 99}), json!({"EnteredCurrentStatus": null})]
        {
            assert!(ad(bad.clone()).is_err(), "{bad}");
        }
    }
}
