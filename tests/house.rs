//! What the source must look like: imports run down, and some things happen in one place only.
//!
//! It reads the sources at compile time of the test's machine, so it runs in the checkout.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, the lowest first. A module may use those of its own floor's list and below.
const MAY_USE: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("metrics", &[]),
    ("http", &[]),
    ("condor", &["limits"]),
    ("store", &["config"]),
    ("engine", &["limits", "metrics", "config", "condor", "store"]),
    ("config", &["condor", "engine"]),
    ("callbacks", &["limits", "metrics", "http", "engine"]),
    ("control", &["limits", "http", "engine"]),
    ("htcjob", &["limits", "metrics", "config", "engine", "store", "condor"]),
    ("cli", &["limits", "metrics", "http", "config", "engine", "callbacks", "control", "htcjob"]),
];

fn main_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let relative = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
    files.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}
