//! `condor_submit -spool` of many jobs in one call: the description, and the tool while it runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;
use htc_core::workload::report::RESULT_FILE;
use htc_core::workload::spec;

use super::ad::{ACK, INSTANCE, KEY, UID};
use super::cli::{Call, CallError, Running};
use super::pool::Pool;
use super::quote;
use crate::limits::{GRACE_MARGIN_SECONDS, KEPT_IN_QUEUE_SECONDS, SUBMIT_DEADLINE};

/// Separates the columns of a row: no value may contain it.
const SEPARATOR: char = '\u{1f}';

/// One job of a batch.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its key.
    pub key: JobKey,
    /// Its folder, with `job.json` in it.
    pub folder: String,
    /// What people see in `condor_q`.
    pub batch_name: String,
    /// Names of all its containers.
    pub containers: Vec<String>,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
    /// Whether the pool may start it again after an eviction.
    pub restart_after_eviction: bool,
    /// The user's submit commands, already checked.
    pub options: Vec<(String, String)>,
}

impl Row {
    /// The commands that differ between rows. The names alone are the row's shape: rows of one
    /// shape fit in one submission.
    pub fn commands(&self) -> BTreeMap<String, String> {
        let Row { key, folder, batch_name, containers, grace_seconds, restart_after_eviction, options } = self;
        let mut commands = BTreeMap::new();
        let mut requirements: Vec<String> = Vec::new();
        if !restart_after_eviction {
            requirements.push("(NumJobStarts ?: 0) == 0".to_owned());
        }
        for (name, value) in options {
            if name == "requirements" {
                requirements.push(format!("({value})"));
            } else {
                commands.insert(name.clone(), value.clone());
            }
        }
        if !requirements.is_empty() {
            commands.insert("requirements".to_owned(), requirements.join(" && "));
        }
        let mut outputs = vec![RESULT_FILE.to_owned(), "work".to_owned()];
        for name in containers {
            outputs.extend([format!("log.{name}"), format!("log.{name}.prev")]);
        }
        let ours = [
            ("initialdir", folder.clone()),
            ("batch_name", batch_name.clone()),
            ("transfer_output_files", outputs.join(",")),
            ("job_max_vacate_time", (grace_seconds + GRACE_MARGIN_SECONDS).to_string()),
            (&format!("MY.{UID}"), quote::string(key.uid.as_str())),
            (&format!("MY.{KEY}"), quote::string(&key.to_string())),
        ];
        commands.extend(ours.map(|(name, value)| (name.to_owned(), value)));
        commands
    }
}

/// The submit description of a batch; all rows must have one shape. The rows become item data, so
/// row n is proc n.
pub fn description(instance: &str, sender: &Path, rows: &[Row]) -> String {
    let mut text = String::new();
    let mut command = |name: &str, value: &str| text.push_str(&format!("{name} = {value}\n"));
    command("universe", "vanilla");
    command("executable", &sender.display().to_string());
    command("arguments", "run");
    command("transfer_input_files", spec::FILE);
    command("output", "sender.out");
    command("error", "sender.out");
    command("should_transfer_files", "YES");
    command("when_to_transfer_output", "ON_EXIT");
    command("on_exit_remove", "true");
    command("want_graceful_removal", "true");
    command("getenv", "false");
    command("notification", "never");
    command(
        "leave_in_queue",
        &format!(
            "(JobStatus == 3 || JobStatus == 4) && {ACK} =!= true && \
             time() - EnteredCurrentStatus < {KEPT_IN_QUEUE_SECONDS}"
        ),
    );
    command(&format!("MY.{INSTANCE}"), &quote::string(instance));
    let rows: Vec<BTreeMap<String, String>> = rows.iter().map(Row::commands).collect();
    let names: Vec<&String> = rows.first().map(|row| row.keys().collect()).unwrap_or_default();
    for (n, name) in names.iter().enumerate() {
        command(name, &format!("$(c{n})"));
    }
    let columns: Vec<String> = (0..names.len()).map(|n| format!("c{n}")).collect();
    text.push_str(&format!("queue {} from (\n", columns.join(", ")));
    for row in &rows {
        let values: Vec<&str> = row.values().map(String::as_str).collect();
        text.push_str(&values.join(&SEPARATOR.to_string()));
        text.push('\n');
    }
    text.push_str(")\n");
    text
}

/// A `condor_submit` at work.
pub struct Submission(Running);

impl Submission {
    /// Starts the tool on a description file. `lock` is held by the tool as long as it lives.
    pub fn start(pool: &Pool, description: &Path, lock: File) -> Result<Submission, CallError> {
        let arguments = ["-terse", "-spool", &description.display().to_string()].map(str::to_owned).to_vec();
        let call = Call { tool: "condor_submit", arguments, pool, deadline: SUBMIT_DEADLINE };
        Running::start(&call, Some(lock)).map(Submission)
    }

    /// The first id, which the tool prints after the commit and before it sends the files; `None`
    /// when it ends without one.
    pub async fn first_id(&mut self) -> Option<JobId> {
        let line = self.0.line().await;
        line.split(" - ").next()?.trim().parse().ok()
    }

    /// Waits for the end of the tool. An error is no proof that nothing was committed.
    pub async fn finish(self) -> Result<(), CallError> {
        self.0.finish().await.map(drop)
    }
}

/// Whether a failed `condor_submit` may do better later. What we do not know is taken as an answer
/// to what was asked: it is tried in halves, and only a row that fails alone is given up.
pub fn is_outage(error: &CallError) -> bool {
    const SIGNS: &[&str] = &[
        "Can't find address",
        "Failed to connect",
        "Failed to commit job submission",
        "Failed to spool",
        "spoolJobFiles",
        "SECMAN",
        "AUTHENTICATE",
        "CEDAR",
        "Failed submission for job",
        "Failed to end classad",
    ];
    match error {
        CallError::Start { .. } | CallError::Deadline { .. } | CallError::Unreadable { .. } => true,
        CallError::Failed { message, .. } => SIGNS.iter().any(|sign| message.contains(sign)),
    }
}
