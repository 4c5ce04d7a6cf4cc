//! Job ads: what one look at HTCondor says of a job.
//!
//! Attributes: <https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html>

use htc_core::chirp;
use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;
use jiff::Timestamp;

use super::answer::{Fields, Unreadable};

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

/// The account whose job it is, which nobody but the schedd writes.
pub const OWNER: &str = "Owner";

/// What we ask for: the schedd sends only these.
pub const PROJECTION: &[&str] = &[
    OWNER,
    INSTANCE,
    UID,
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
    "RemoteHost",
    "LastRemoteHost",
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
    /// The machine on which it ended by itself, as the schedd knows it.
    pub machine: Option<String>,
    /// Whether we have said that it may leave.
    pub acknowledged: bool,
    /// Whether it has been removed, whatever it did before.
    pub removed: bool,
    /// The folder it was submitted from.
    pub folder: String,
    /// What the job says of itself in its ad; anybody who may edit the job could have written it.
    pub chirp: Option<String>,
    /// Attributes that are there and cannot be read: they count as absent.
    pub unread: Vec<&'static str>,
}

/// A text; nothing where there is none that can be read.
pub fn text<'a>(fields: &'a Fields, name: &'static str) -> Option<&'a str> {
    fields.text(name).ok().flatten()
}

/// HTCondor's id.
pub fn id(fields: &Fields) -> Result<JobId, Unreadable> {
    let number = |name: &'static str| {
        let number = fields.int(name)?.and_then(|number| u32::try_from(number).ok());
        number.ok_or(Unreadable(name))
    };
    Ok(JobId { cluster: number("ClusterId")?, proc: number("ProcId")? })
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
    /// Reads the ad of the job with this key. What the job cannot be judged without is an error, anything
    /// else that cannot be read counts as absent.
    pub fn parse(key: JobKey, fields: &Fields) -> Result<Ad, Unreadable> {
        let mut read = Optional { fields, unread: Vec::new() };
        let job = id(fields)?;
        let status = fields.int("JobStatus")?.ok_or(Unreadable("JobStatus"))?;
        // Old versions have 0 while the job runs.
        let completed = read.time("CompletionDate").filter(|at| at.as_second() > 0);
        let state = match status {
            1 => State::Idle,
            2 | 6 => State::Running,
            // Removed after it had ended by itself: the end counts.
            3 if completed.is_some() => State::Completed(exit(&mut read)),
            3 => State::Removed { reason: read.text("RemoveReason") },
            4 => State::Completed(exit(&mut read)),
            5 => State::Held {
                code: read.int("HoldReasonCode").unwrap_or(0),
                subcode: read.int("HoldReasonSubCode").unwrap_or(0),
                reason: read.text("HoldReason"),
            },
            7 => State::Suspended,
            _ => return Err(Unreadable("JobStatus")),
        };
        let entered = read.time("EnteredCurrentStatus");
        let staged = read.time("StageInFinish");
        let since = match state {
            State::Running => read.time("JobCurrentStartDate"),
            State::Completed(_) => completed,
            _ => None,
        };
        let folder = read.text("SUBMIT_Iwd");
        let machine = matches!(state, State::Completed(_)).then(|| machine(&mut read)).flatten();
        Ok(Ad {
            key,
            job,
            state,
            // It must not change from look to look.
            since: since.or(entered).or(staged).unwrap_or_default(),
            staged: staged.is_some(),
            starts: read.int("NumShadowStarts").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            ran: read.int("NumJobStarts").is_some_and(|n| n > 0),
            vacated: read.text("VacateReason"),
            machine,
            removed: status == 3,
            acknowledged: read.truth(ACK),
            folder: if folder.is_empty() { read.text("Iwd") } else { folder },
            chirp: read.some_text(chirp::ATTRIBUTE),
            unread: read.unread,
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

/// Reads what may be absent, and notes what is there and cannot be read.
struct Optional<'a> {
    fields: &'a Fields,
    unread: Vec<&'static str>,
}

impl Optional<'_> {
    fn note<T>(&mut self, read: Result<Option<T>, Unreadable>) -> Option<T> {
        read.unwrap_or_else(|Unreadable(name)| {
            self.unread.push(name);
            None
        })
    }

    fn int(&mut self, name: &'static str) -> Option<i64> {
        self.note(self.fields.int(name))
    }

    fn truth(&mut self, name: &'static str) -> bool {
        self.note(self.fields.truth(name)).unwrap_or(false)
    }

    fn some_text(&mut self, name: &'static str) -> Option<String> {
        let read = self.fields.text(name).map(|text| text.map(str::to_owned));
        self.note(read)
    }

    fn text(&mut self, name: &'static str) -> String {
        self.some_text(name).unwrap_or_default()
    }

    fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let second = self.int(name)?;
        self.note(Timestamp::from_second(second).map(Some).map_err(|_| Unreadable(name)))
    }
}

fn exit(read: &mut Optional<'_>) -> Exit {
    let by_signal = read.truth("ExitBySignal");
    let mut int = |name| read.int(name).and_then(|n| i32::try_from(n).ok());
    if by_signal {
        Exit::Signal(int("ExitSignal").unwrap_or(0))
    } else {
        // An ended job without an exit code must not pass for a success.
        Exit::Code(int("ExitCode").unwrap_or(255))
    }
}

/// The longest name of a machine, as DNS has it.
const MACHINE_MAX: usize = 253;

/// What stands behind the last `@` of a slot's name is the machine's own. The machines themselves say it, so only what
/// looks like a name counts.
fn machine(read: &mut Optional<'_>) -> Option<String> {
    // The last one is of the start before as long as there is another.
    let slot = read.some_text("RemoteHost").or_else(|| read.some_text("LastRemoteHost"))?;
    let name = slot.rsplit('@').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    (!name.is_empty() && name.len() <= MACHINE_MAX && name.chars().all(plain)).then(|| name.to_owned())
}

/// What an answer with this ad alone is read as.
#[cfg(test)]
pub(super) fn fields(ad: &serde_json::Value) -> Fields {
    let mut fields = Fields::default();
    super::answer::each(format!("[{ad}]").as_bytes(), PROJECTION, |read| fields = read)
        .expect("it is an answer");
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An ad as `condor_q -json` of 23.9.6 printed it, with some attributes changed.
    fn ad(changes: Value) -> Result<Ad, Unreadable> {
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
        Ad::parse(key, &fields(&ad))
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
    fn the_machine_is_named_once_a_job_has_ended_and_only_where_it_looks_like_one() {
        let machine = |slot: Value| ad(json!({ "LastRemoteHost": slot })).unwrap().machine;
        assert_eq!(machine(json!("slot1_2@w1.example.org")).as_deref(), Some("w1.example.org"));
        assert_eq!(machine(json!("slot1@glidein_7@w1")).as_deref(), Some("w1"));
        for bad in [
            json!("slot1@"),
            json!("s@a\" || true"),
            json!("s@a b"),
            json!("s@".to_owned() + &"x".repeat(254)),
        ] {
            assert_eq!(machine(bad.clone()), None, "{bad}");
        }
        assert_eq!(machine(json!(["x"])), None);
        let both = json!({ "RemoteHost": "slot1@w2", "LastRemoteHost": "slot1@w1" });
        assert_eq!(ad(both).unwrap().machine.as_deref(), Some("w2"));
        let running = json!({ "JobStatus": 2, "RemoteHost": "slot1@w2" });
        assert_eq!(ad(running).unwrap().machine, None);
    }

    #[test]
    fn a_job_that_waits_for_its_files_has_not_been_handed_over() {
        let spooling = json!({"JobStatus": 5, "HoldReasonCode": 16, "StageInFinish": null});
        assert!(ad(spooling).unwrap().is_spooling());
        assert!(!ad(json!({"JobStatus": 5, "HoldReasonCode": 16})).unwrap().is_spooling());
    }

    #[test]
    fn an_ad_without_what_we_need_is_no_ad() {
        for (bad, attribute) in [
            (json!({"ClusterId": null}), "ClusterId"),
            (json!({"ProcId": -1}), "ProcId"),
            (json!({"JobStatus": 99}), "JobStatus"),
            (json!({"JobStatus": "/Expr(error)/"}), "JobStatus"),
        ] {
            assert_eq!(ad(bad), Err(Unreadable(attribute)));
        }
    }

    #[test]
    fn anything_else_that_cannot_be_read_counts_as_absent_and_is_named() {
        let running = json!({"JobStatus": 2});
        let good = ad(running.clone()).unwrap();
        for name in ["EnteredCurrentStatus", "NumShadowStarts", "NumJobStarts", "HTCAck", "VacateReason"] {
            for odd in [json!({"deep": [[1]]}), json!("/Expr(1 + x)/"), json!(1e300)] {
                let mut changes = running.clone();
                changes[name] = odd;
                let read = ad(changes).unwrap();
                assert_eq!(read.unread, [name]);
                assert_eq!((&read.state, read.since, read.job), (&good.state, good.since, good.job));
            }
        }
        let held = json!({"JobStatus": 5, "HoldReason": [], "EnteredCurrentStatus": 1_u64 << 62});
        let held = ad(held).unwrap();
        assert_eq!(held.unread, ["HoldReason", "EnteredCurrentStatus"]);
        assert_eq!(held.since.as_second(), 1_795_237_013, "the time at which its files were there");
    }
}
