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

/// The folder to which its outputs are brought: the one it was submitted from.
pub const FOLDER: &str = "SUBMIT_Iwd";

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
    FOLDER,
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
    /// Whether the job has come to its end with all its files: what it left is in the schedd's spool.
    pub fn has_outputs(&self) -> bool {
        self.staged && matches!(self.state, State::Completed(_))
    }

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
        let folder = read.text(FOLDER);
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
#[path = "ad_tests.rs"]
mod tests;
