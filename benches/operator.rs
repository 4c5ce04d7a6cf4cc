//! The released operator as a child of ours, with the harness's settings.

use std::fs::{self, OpenOptions};
use std::process::Stdio;

use rustix::process::Signal;
use tokio::process::Command;

use crate::harness::{Bed, bed_folder, kubeconfig};
use crate::table::Row;

/// Starts it and waits until it is ready.
pub async fn start(bed: &mut Bed) {
    start_as(bed, "serve").await;
}

/// Starts this sub-command of it and waits until it is ready.
pub async fn start_as(bed: &mut Bed, name: &str) {
    let level = std::env::var("HTC_LOG").unwrap_or_else(|_| "info".to_owned());
    bed.set("HTC_LOG", Some(&level));
    let log = OpenOptions::new().create(true).append(true).open(bed.folder.join("operator.log")).unwrap();
    // It dies with us, however we end.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(std::env::var_os("HTC_OPERATOR").unwrap_or(bed_folder().join("bin/htc-operator").into()))
        .arg(name)
        .env_clear();
    for name in ["PATH", "HOME", "USER", "LANG"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.env("KUBECONFIG", kubeconfig("operator")).envs(&bed.settings).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    bed.process = Some(command.spawn().unwrap());
    bed.until_ready().await;
}

/// Ends it, if it runs.
pub async fn stop(bed: &mut Bed) {
    if bed.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None))) {
        bed.signal(Signal::TERM);
        bed.ended().await;
    }
    bed.process = None;
}

/// The last lines that it wrote.
pub fn last_words(bed: &Bed) -> String {
    let log = bed.log();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Its resident memory.
pub struct Memory {
    /// MiB.
    pub now: f64,
    peak: f64,
}

/// Its resident memory now.
pub fn memory(bed: &Bed) -> Memory {
    let pid = bed.process.as_ref().and_then(tokio::process::Child::id).expect("it runs");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mebibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("every process has it");
        line.trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
    };
    Memory { now: mebibytes("VmRSS:"), peak: mebibytes("VmHWM:") }
}

impl Memory {
    /// Its row, after `n` jobs.
    pub fn row(&self, name: &str, n: usize) -> Row {
        let note = format!("resident, operator alone; {:.1} at the most", self.peak);
        Row { name: name.to_owned(), unit: "MiB", raw: None, ours: Some(self.now), n, note, failed: false }
    }
}
