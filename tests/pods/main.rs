//! Pods as golden cases: a folder per case under `cases/`, with the pod and what came with it
//! (`pod.yaml`), the job that it becomes (`job.json`), and its status at some moments (`status.txt`).
//! `HTC_GOLDEN=write cargo test --test pods` writes the expected files anew: read what changed.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod case;
mod cut;
mod ends;
mod fields;
mod moments;

use std::fs;
use std::path::{Path, PathBuf};

use case::Case;

/// The folder of this file.
fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pods")
}

/// Compares with a file of the project, or writes it when asked to.
fn golden(path: &Path, found: &str) {
    if std::env::var("HTC_GOLDEN").is_ok_and(|word| word == "write") {
        return fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(expected, found, "{} differs; HTC_GOLDEN=write writes it anew", path.display());
}

#[test]
fn every_case_becomes_its_job_and_shows_its_status() {
    for case in Case::all() {
        golden(&case.folder.join("job.json"), &case.job());
        if let Some(status) = case.status() {
            golden(&case.folder.join("status.txt"), &status);
        }
    }
}
