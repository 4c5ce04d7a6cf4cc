//! A test job: one run of `htc-sender probe`, which no wish stands behind. It carries an attribute
//! of its own, so that no operator takes it for one of its jobs.

use std::path::Path;

use super::answer::{self, Fields};
use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::{act, quote};
use crate::limits::{PROBE_KEPT_SECONDS, QUERY_DEADLINE, SUBMIT_DEADLINE, TRANSFER_DEADLINE};
use htc_core::workload::spec;

/// What the job writes.
pub const OUTPUT: &str = "probe.out";

const ATTRIBUTE: &str = "HTCDoctor";

const PROJECTION: &[&str] = &["JobStatus", "ExitCode", "HoldReason", "HoldReasonCode", "LastRemoteHost"];

/// How far a test job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for a worker, or runs there.
    Underway,
    /// It is on hold, with the reason.
    Held(String),
    /// It has ended with this exit code, on this worker.
    Ended {
        /// None: by a signal.
        code: Option<i64>,
        /// `LastRemoteHost`.
        worker: String,
    },
    /// It is not in the queue.
    Absent,
}

/// The description of the job with this id, whose files lie in `folder`.
pub fn description(id: &str, sender: &Path, folder: &Path) -> String {
    let commands = [
        ("universe", "vanilla".to_owned()),
        ("executable", sender.display().to_string()),
        ("arguments", "probe".to_owned()),
        ("initialdir", folder.display().to_string()),
        ("transfer_input_files", spec::FILE.to_owned()),
        ("output", OUTPUT.to_owned()),
        ("error", OUTPUT.to_owned()),
        ("should_transfer_files", "YES".to_owned()),
        ("when_to_transfer_output", "ON_EXIT".to_owned()),
        ("getenv", "false".to_owned()),
        ("notification", "never".to_owned()),
        ("batch_name", "htc-operator/doctor".to_owned()),
        // Whoever asked for it may be gone.
        ("leave_in_queue", format!("JobStatus == 4 && time() - QDate < {PROBE_KEPT_SECONDS}")),
        ("periodic_remove", format!("time() - QDate > {PROBE_KEPT_SECONDS}")),
    ];
    let commands: String = commands.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    format!("{commands}MY.{ATTRIBUTE} = {}\nqueue\n", quote::string(id))
}

/// Hands it over.
pub async fn submit(pool: &Pool, description: &Path) -> Result<(), CallError> {
    let arguments = ["-terse", "-spool", &description.display().to_string()].map(str::to_owned).to_vec();
    run(Call { tool: "condor_submit", arguments, pool, deadline: SUBMIT_DEADLINE }).await.map(drop)
}

/// Looks at it.
pub async fn look(pool: &Pool, id: &str) -> Result<State, CallError> {
    let attributes = PROJECTION.join(",");
    let arguments = ["-allusers", "-json", "-attributes", &attributes, "-constraint", &constraint(id)];
    let arguments = arguments.map(str::to_owned).to_vec();
    let tool = "condor_q";
    let answer = run(Call { tool, arguments, pool, deadline: QUERY_DEADLINE }).await?;
    read(&answer).map_err(|message| CallError::Unreadable { tool, message })
}

/// The first ad counts: ids are random.
fn read(answer: &[u8]) -> Result<State, String> {
    let mut found = None;
    answer::each(answer, PROJECTION, |ad| {
        found.get_or_insert_with(|| state(&ad));
    })?;
    Ok(found.unwrap_or(State::Absent))
}

/// Brings its output to its folder.
pub async fn fetch(pool: &Pool, id: &str) -> Result<(), CallError> {
    act::transfer(pool, &constraint(id), TRANSFER_DEADLINE).await
}

/// Takes it out of the queue.
pub async fn remove(pool: &Pool, id: &str) -> Result<(), CallError> {
    act::remove(pool, &constraint(id)).await
}

fn constraint(id: &str) -> String {
    format!("{ATTRIBUTE} == {}", quote::string(id))
}

fn state(ad: &Fields) -> State {
    let int = |name| ad.int(name).ok().flatten();
    let text = |name| ad.text(name).ok().flatten().unwrap_or_default().to_owned();
    match (int("JobStatus"), int("HoldReasonCode")) {
        (Some(5), code) if code != Some(super::ad::SPOOLING_INPUT) => State::Held(text("HoldReason")),
        (Some(4), _) => State::Ended { code: int("ExitCode"), worker: text("LastRemoteHost") },
        (Some(3), _) => State::Absent,
        _ => State::Underway,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_job_is_underway_until_it_ends_or_is_held() {
        let of = |ad: &str| read(format!("[{ad}]").as_bytes()).unwrap();
        assert_eq!(of(r#"{"JobStatus": 5, "HoldReasonCode": 16}"#), State::Underway);
        assert_eq!(of(r#"{"JobStatus": 2}"#), State::Underway);
        let held = r#"{"JobStatus": 5, "HoldReasonCode": 6, "HoldReason": "no"}"#;
        assert_eq!(of(held), State::Held("no".to_owned()));
        let ended = r#"{"JobStatus": 4, "ExitCode": 1, "LastRemoteHost": "slot1@w"}"#;
        assert_eq!(of(ended), State::Ended { code: Some(1), worker: "slot1@w".to_owned() });
        assert_eq!(of(""), State::Absent);
    }

    #[test]
    fn why_a_test_job_is_on_hold_may_be_no_text() {
        let answer = b"[{\"JobStatus\": 5, \"HoldReasonCode\": 6, \"HoldReason\": \"f\xff\"}]";
        assert_eq!(read(answer), Ok(State::Held("f\u{fffd}".to_owned())));
    }
}
