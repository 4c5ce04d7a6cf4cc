//! What a job says of itself. The same JSON is the data of a CloudEvent and, for the last report,
//! the file `result.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::names::JobKey;

/// The file with the last report, written last by the sender and brought home by HTCondor.
pub const RESULT_FILE: &str = "result.json";

/// The largest report, in bytes of JSON: receivers take no larger ones.
pub const MAX: usize = 64 << 10;

/// The longest message of a container, in bytes, as kubelets have it.
/// <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>
pub const MESSAGE_MAX: usize = 4096;

/// The longest name of a container, a volume or an object, in bytes, as Kubernetes has it.
pub const NAME_MAX: usize = 253;

/// The longest word for a reason, in bytes. Ours are shorter.
pub const REASON_MAX: usize = 128;

/// The longest sentence on outputs that were left out, in bytes.
pub const LEFT_OUT_MAX: usize = 1024;

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
    /// Why the sender ended containers that would have run on, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Why this worker could start nothing of the user's, where the fault is its own: another worker may. Only in
    /// a last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_fault: Option<String>,
    /// What of its outputs was left out, only in its last report, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
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

    /// The same report with messages cut short until it fits: all are cut at the same length, the
    /// longest that is a power of two, so that no container loses its words to another.
    pub fn fitted(mut self) -> Report {
        let mut bytes = 2 * MESSAGE_MAX;
        while bytes > 0 && serde_json::to_vec(&self).is_ok_and(|body| body.len() > MAX) {
            bytes /= 2;
            self.init_containers
                .iter_mut()
                .chain(&mut self.containers)
                .for_each(|c| c.state.cut_message(bytes));
            self.worker_fault.iter_mut().for_each(|why| shorten(why, bytes));
        }
        self
    }

    /// The same report as it is kept: whoever wrote it, no text in it is longer than its kind may be.
    pub fn bounded(mut self) -> Report {
        // No `..`: a text that is forgotten here could be of any length.
        let Report {
            name,
            namespace,
            jobid,
            retcode: _,
            key: _,
            start: _,
            seq: _,
            now: _,
            phase: _,
            cut,
            worker_fault,
            left_out,
            init_containers,
            containers,
        } = &mut self;
        worker_fault.iter_mut().for_each(|why| shorten(why, MESSAGE_MAX));
        [name, namespace].into_iter().chain(jobid).for_each(|text| shorten(text, NAME_MAX));
        left_out.iter_mut().for_each(|text| shorten(text, LEFT_OUT_MAX));
        if let Some(Cut::Volume { name, bytes: _, limit: _ }) = cut {
            shorten(name, NAME_MAX);
        }
        for ContainerStatus { name, state } in init_containers.iter_mut().chain(containers) {
            shorten(name, NAME_MAX);
            state.cut_message(MESSAGE_MAX);
            if let ContainerState::Waiting { reason, .. } | ContainerState::Terminated { reason, .. } = state
            {
                shorten(reason, REASON_MAX);
            }
        }
        self
    }

    /// Whether this start of the job has come to its own end (not one that HTCondor asked for).
    pub fn is_final(&self) -> bool {
        self.phase == Phase::Done
    }
}

/// A limit of the whole job that was reached, which is an end like any other failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Cut {
    /// Its containers ran for longer than they may.
    Deadline {
        /// How long they may.
        seconds: u32,
    },
    /// A volume held more than it may.
    Volume {
        /// Its name.
        name: String,
        /// What it held.
        bytes: u64,
        /// What it may hold.
        limit: u64,
    },
    /// What it left in its working folder is too much to come home.
    Outputs {
        /// In what way.
        excess: Excess,
    },
}

/// In what way outputs are too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Excess {
    /// There are more files, folders and links than may come home; none of them does.
    Entries {
        /// How many may.
        limit: u32,
    },
    /// Some lie too deep, or have too long a path; those stay behind.
    Path,
    /// Some, or all, belong to somebody else; those stay behind.
    Unreadable,
}

impl std::fmt::Display for Excess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Excess::Entries { limit } => write!(
                f,
                "the working folder has more than {limit} files, folders and links, so nothing of it comes home"
            ),
            Excess::Path => f.write_str(
                "the working folder has paths of more than 64 levels or 1000 bytes, which do not come home",
            ),
            Excess::Unreadable => {
                f.write_str("the working folder, or a folder in it, cannot be read and does not come home")
            }
        }
    }
}

impl Cut {
    /// The word that Kubernetes has for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Cut::Deadline { .. } => "DeadlineExceeded",
            Cut::Volume { .. } => "Evicted",
            Cut::Outputs { .. } => "OutputsExceeded",
        }
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cut::Deadline { seconds } => write!(f, "the job ran for longer than its deadline of {seconds} s"),
            Cut::Volume { name, bytes, limit } => {
                write!(f, "volume {name} holds {bytes} bytes, more than its limit of {limit}")
            }
            Cut::Outputs { excess } => excess.fmt(f),
        }
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

impl ContainerState {
    /// Keeps the first bytes of the message, in whole characters.
    pub fn cut_message(&mut self, bytes: usize) {
        if let ContainerState::Waiting { message, .. } | ContainerState::Terminated { message, .. } = self {
            shorten(message, bytes);
        }
    }

    /// The sentence, where there is one.
    pub fn message(&self) -> &str {
        match self {
            ContainerState::Waiting { message, .. } | ContainerState::Terminated { message, .. } => message,
            ContainerState::Running { .. } => "",
        }
    }
}

/// Keeps the first bytes, in whole characters, and gives back the room of the rest.
fn shorten(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
        text.shrink_to_fit();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn report(containers: usize, message: &str) -> Report {
        let state = ContainerState::Waiting { reason: String::new(), message: message.to_owned() };
        let status = |n: usize| ContainerStatus { name: format!("c{n}"), state: state.clone() };
        Report {
            name: "n".to_owned(),
            namespace: String::new(),
            jobid: None,
            retcode: None,
            key: "u/0/0/0".parse().unwrap(),
            start: 1,
            seq: 1,
            now: Timestamp::UNIX_EPOCH,
            phase: Phase::Running,
            cut: None,
            worker_fault: None,
            left_out: None,
            init_containers: vec![status(0)],
            containers: (1..containers).map(status).collect(),
        }
    }

    fn messages(report: &Report) -> Vec<usize> {
        let length = |status: &ContainerStatus| match &status.state {
            ContainerState::Waiting { message, .. } => message.len(),
            _ => 0,
        };
        report.init_containers.iter().chain(&report.containers).map(length).collect()
    }

    #[test]
    fn no_text_that_is_kept_is_longer_than_its_kind_may_be() {
        let long = || "\u{1f980}".repeat(1 << 20);
        let container = |state| ContainerStatus { name: long(), state };
        let at = Timestamp::UNIX_EPOCH;
        let (exit_code, signal, started_at, finished_at) = (0, None, None, at);
        let ended = |message, reason| ContainerState::Terminated {
            exit_code,
            signal,
            reason,
            message,
            started_at,
            finished_at,
        };
        let waiting = ContainerState::Waiting { reason: long(), message: long() };
        let kept = Report {
            name: long(),
            namespace: long(),
            jobid: Some(long()),
            cut: Some(Cut::Volume { name: long(), bytes: 2, limit: 1 }),
            worker_fault: Some(long()),
            left_out: Some(long()),
            init_containers: vec![container(waiting)],
            containers: vec![
                container(ended(long(), long())),
                container(ContainerState::Running { started_at: at }),
            ],
            ..report(1, "")
        }
        .bounded();
        // Names: three of containers, and four; two reasons; two messages; the fault of the worker.
        let most = 7 * NAME_MAX + 2 * REASON_MAX + 3 * MESSAGE_MAX + LEFT_OUT_MAX + 1_000;
        let bytes = serde_json::to_vec(&kept).unwrap().len();
        assert!(bytes > 2 * MESSAGE_MAX && bytes < most, "{bytes}");
        let usual = report(15, &"x".repeat(MESSAGE_MAX));
        assert_eq!(usual.clone().bounded(), usual);
    }

    #[test]
    fn a_report_that_fits_loses_nothing() {
        let report = report(15, &"x".repeat(MESSAGE_MAX));
        assert_eq!(report.clone().fitted(), report);
    }

    #[test]
    fn long_messages_are_cut_alike_until_the_report_fits() {
        assert_eq!(messages(&report(20, &"x".repeat(MESSAGE_MAX)).fitted()), [2048; 20]);
        // Six bytes of JSON for each.
        let report = report(20, &"\u{1}".repeat(MESSAGE_MAX)).fitted();
        assert_eq!(messages(&report), [512; 20]);
        assert!(serde_json::to_vec(&report).unwrap().len() <= MAX);
    }
}
