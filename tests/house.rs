//! What the source must look like: imports run down, and some things happen in one place only.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The rooms of the operator and what each may import. The list is a proof that there is no circle:
/// a room imports only rooms that stand above it in the list.
const ROOMS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("metrics", &[]),
    ("config", &[]),
    ("http", &["limits"]),
    ("condor", &["limits"]),
    ("store", &["limits", "config"]),
    ("pod", &[]),
    ("engine", &["limits", "metrics", "config", "http", "condor", "store"]),
    ("callbacks", &["limits", "metrics", "http", "engine"]),
    ("control", &["http", "engine"]),
    ("interlink", &["limits", "metrics", "http", "pod", "engine"]),
    ("htcjob", &["limits", "metrics", "config", "pod", "engine"]),
    (
        "cli",
        &[
            "limits",
            "metrics",
            "config",
            "http",
            "condor",
            "pod",
            "engine",
            "callbacks",
            "control",
            "interlink",
            "htcjob",
        ],
    ),
];

/// Words that may stand only in these files.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("std::env::", &["src/config/", "sender/src/"]),
    ("Command::new", &["src/condor/cli.rs", "sender/src/process.rs"]),
    ("rusqlite", &["src/store/"]),
    (
        "kube::",
        &[
            "src/htcjob/",
            "src/cli/kubernetes.rs",
            "src/cli/lease.rs",
            "src/cli/serve.rs",
            "src/cli/token_review.rs",
            "src/cli/doctor/cluster.rs",
            "src/cli/doctor/lease.rs",
            "src/cli/doctor/objects.rs",
        ],
    ),
    (
        "k8s_openapi",
        &[
            "src/htcjob/",
            "src/interlink/",
            "src/pod/",
            "src/cli/lease.rs",
            "src/cli/serve.rs",
            "src/cli/token_review.rs",
            "src/cli/doctor/cluster.rs",
            "src/cli/doctor/lease.rs",
        ],
    ),
];

#[test]
fn imports_run_down() {
    for (n, (room, allowed)) in ROOMS.iter().enumerate() {
        let above: Vec<&str> = ROOMS[..n].iter().map(|(name, _)| *name).collect();
        assert!(allowed.iter().all(|a| above.contains(a)), "{room} may import what stands below it");
    }
    for (file, text) in sources("src") {
        let Some(room) = room_of(&file) else { continue };
        let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == room).expect("every room is listed");
        for used in imports(&text) {
            let fine = used == room || used == "crash_point" || allowed.contains(&used.as_str());
            assert!(fine, "{file} imports crate::{used}; {room} may import {allowed:?}");
        }
    }
}

#[test]
fn some_things_happen_in_one_place_only() {
    for (file, text) in sources("src").into_iter().chain(sources("sender/src")).chain(sources("core/src")) {
        for (word, places) in ONLY_IN {
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            let allowed = places.iter().any(|place| file.starts_with(place));
            assert!(allowed || !shipped.contains(word), "{file} has {word}, which belongs into {places:?}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_small() {
    for (file, text) in sources("src").into_iter().chain(sources("sender/src")).chain(sources("core/src")) {
        assert!(text.starts_with("//! "), "{file} does not begin with a line that says what it is");
        let lines = text.lines().count();
        assert!(lines <= 400, "{file} has {lines} lines: would it be two rooms with better names?");
    }
}

#[test]
fn nothing_names_a_path_of_the_machine_it_was_made_on() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "core", "sender", "bin", "tests", "testbed", "examples", "deploy", "docs"] {
        collect(&root.join(folder), &mut files);
    }
    let paths = ["/work/", "/root/"].map(|p| p.to_owned());
    for file in files.iter().filter(|file| !file.ends_with("house.rs")) {
        let Ok(text) = fs::read_to_string(file) else { continue };
        for path in &paths {
            let stands = text.match_indices(path.as_str()).any(|(at, _)| {
                !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "-_.$}*".contains(c))
            });
            assert!(!stands, "{} names {path}", file.display());
        }
    }
}

#[test]
fn every_promise_of_reliability_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let (promises, proofs) = text.split_once("## Which tests show it").unwrap();
    let shown: Vec<Vec<&str>> = rows(proofs).collect();
    let missing: Vec<&str> =
        rows(promises).map(|row| row[0]).filter(|what| !shown.iter().any(|row| row[0] == *what)).collect();
    assert!(missing.is_empty(), "name tests below, or `—` and a reason: {missing:#?}");

    let folders = ["src", "core", "sender", "tests"];
    let code: Vec<(String, String)> = folders.into_iter().flat_map(sources).collect();
    for row in &shown {
        let names: Vec<&str> = row[1].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty() || row[1].starts_with('—'), "no tests and no reason: {}", row[0]);
        for name in names {
            let (place, name) = name.rsplit_once("::").map_or(("", name), |(place, name)| (place, name));
            let is_in = |file: &str| place.is_empty() || file.contains(&format!("/{place}/"));
            let test = format!("fn {name}(");
            let found = code.iter().any(|(file, text)| is_in(file) && text.contains(&test));
            assert!(found, "there is no test {place} {name}, which shall show: {}", row[0]);
        }
    }
}

/// The cells of the rows of a text's table, without its head.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// Migrations that are in a release, and their SHA-256: databases have seen them. At a release, its own are added.
const RELEASED: &[(&str, &str)] = &[
    ("01-first.sql", "641d26430dc2ac6fb09560cf569532834cf557ca89f5b72874657cb3bd48869c"),
    ("02-inherited.sql", "4a9b9f62384298469148c4f2fc107ff6b0ed2e43219ce60dc0823dbec7f61ad5"),
    ("03-collected.sql", "66e551ad3a6a88ee7f7d323198d2d04cc90b5a25dbfc1fcf9cc9101164bad9ec"),
];

#[test]
fn released_migrations_never_change() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for (name, hash) in RELEASED {
        let bytes = fs::read(folder.join(name)).unwrap();
        let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, *hash, "{name} is in a release: what has changed since belongs into a new file");
    }
}

#[test]
fn migrations_only_add() {
    // An older copy of the data folder, or a look into it, still means what it meant.
    const ADD: &[&str] =
        &["ALTER TABLE", "CREATE TABLE", "CREATE INDEX", "CREATE UNIQUE INDEX", "INSERT OR IGNORE INTO"];
    const NEVER: &[&str] = &["DELETE", "DROP", "RENAME", "REPLACE", "TRIGGER", "UPDATE"];
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations"), &mut files);
    files.sort();
    let steps =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/format.rs")).unwrap();
    let mut after = 0;
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let step = steps.find(&format!("migrations/{name}"));
        assert!(step.is_some_and(|step| step > after), "{name} is a step of format.rs, in its order");
        after = step.unwrap_or_default();
        let text = fs::read_to_string(&file).unwrap().to_uppercase();
        let sql: Vec<&str> = text.lines().filter_map(|line| line.split("--").next()).collect();
        let sql = sql.join(" ");
        for statement in sql.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            assert!(ADD.iter().any(|begin| statement.starts_with(begin)), "{name}: {statement}");
            let mut words = statement.split(|c: char| !c.is_ascii_alphanumeric());
            assert!(!words.any(|word| NEVER.contains(&word)), "{name}: {statement}");
        }
    }
}

fn room_of(file: &str) -> Option<String> {
    let inside = file.strip_prefix("src/")?;
    let room = inside.split('/').next()?.trim_end_matches(".rs");
    (room != "lib").then(|| room.to_owned())
}

/// The rooms that a file imports: the word behind each `crate::`.
fn imports(text: &str) -> Vec<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let uses = code.flat_map(|line| line.split("crate::").skip(1).map(word).collect::<Vec<String>>());
    uses.filter(|name| !name.is_empty()).collect()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    let rust = files.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| {
        (path.strip_prefix(root).unwrap().display().to_string(), fs::read_to_string(path).unwrap())
    })
    .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
