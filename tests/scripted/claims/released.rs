//! An upgrade is a fault like any other: what the last release has left goes on, in whatever state it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use htc_core::workload::names::Uid;
use htc_core::workload::progress::{End, Outcome, Progress};
use htc_operator::engine::{Engine, Options, Outputs};

use super::crashes::once;
use crate::harness::Plan;
use crate::life::{Life, PATIENCE, options, outcomes};
use crate::pool::Scripted;
use crate::releases::{left_by_the_last_release, store};

super::claims![
    work_in_every_state_goes_on_and_nothing_is_submitted_twice,
    what_the_last_release_has_ended_keeps_its_end,
    submissions_that_were_open_are_settled_once,
    a_tool_of_the_last_release_is_waited_for,
    its_tombstones_that_were_forgotten_are_no_mismatch,
    an_upgrade_that_is_killed_goes_on,
];

const DOORS: [&str; 2] = ["htcjob", "interlink"];

/// Tells the ends of all that the doors of the last release have wished.
async fn publish(engine: &Engine) {
    let uids: Vec<Uid> = DOORS.iter().flat_map(|door| engine.wished_by(door)).collect();
    for uid in uids {
        let Some(view) = engine.view(&uid) else { continue };
        let ended = view.jobs.iter().filter(|job| job.progress.end().is_some()).map(|job| job.index);
        engine.published(&uid, &ended.collect::<Vec<_>>()).await.unwrap();
    }
}

/// Publishes until nothing is left in the queue.
async fn until_over(scripted: &Scripted, life: &Life) {
    let started = Instant::now();
    while !scripted.jobs().is_empty() {
        publish(&life.engine).await;
        assert!(started.elapsed() < PATIENCE, "{:#?}", scripted.jobs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn alone(scripted: &Scripted) -> Life {
    let options = Options { sole_record: true, ..options(&scripted.path().join("data")) };
    Life::begin(options, scripted.pool()).await
}

fn committed(scripted: &Scripted) -> Vec<String> {
    let mut keys = scripted.committed();
    keys.sort();
    keys
}

async fn work_in_every_state_goes_on_and_nothing_is_submitted_twice() {
    let scripted = left_by_the_last_release("settled", 5);
    // The first life sees what is there, and ends.
    let life = alone(&scripted).await;
    for name in ["runs", "pod", "chirps"] {
        life.runs(name, 0).await;
    }
    let held = |view: &htc_operator::engine::View| matches!(view.jobs[0].progress, Progress::Held { .. });
    life.until("held", "it is held", held).await;
    let said = |name: &str| life.view(name).jobs.remove(0).report.map(|report| report.containers[0].clone());
    assert_eq!(said("pod").unwrap().state.message(), "under way");
    // Senders of the last release wrote messages into the ad.
    assert_eq!(said("chirps").unwrap().state.message(), "a message in the ad");
    assert!(life.engine.mismatch().is_empty(), "{:?}", life.engine.mismatch());
    life.end().await;

    let life = alone(&scripted).await;
    scripted.make_idle("held/0/0/0");
    scripted.auto_run(0);
    life.is_gone("leaving").await;
    for name in ["idle", "held", "unjudged", "runs", "pod", "chirps", "accepted", "unfetched"] {
        assert_eq!(life.ends(name).await, [Outcome::Succeeded], "{name}");
    }
    assert_eq!(life.ends("crowd").await, [Outcome::Succeeded; 4]);
    until_over(&scripted, &life).await;
    assert_eq!(committed(&scripted), ["accepted/0/0/0", "crowd/2/0/1", "crowd/3/0/0"]);
    // Its senders have not signed their results.
    for name in ["unjudged", "idle", "crowd"] {
        assert_eq!(life.view(name).jobs[0].report.as_ref().unwrap().retcode, Some(0), "{name}");
    }
    for name in ["unfetched", "unjudged", "unacked", "failed", "pod", "accepted"] {
        life.until(name, "it is home", |view| matches!(view.outputs, Outputs::Home(_))).await;
        let out = scripted.path().join(format!("data/jobs/{name}/0.0.0/work/out.txt"));
        assert_eq!(std::fs::read_to_string(out).unwrap(), format!("{name}/0/0/0"));
    }
    let data = scripted.path().join("data");
    assert!(!holds(&data, b"collected").is_empty(), "what is looked for is found");
    let started = Instant::now();
    while let [first, ..] = &holds(&data, b"hunter2")[..] {
        assert!(started.elapsed() < PATIENCE, "what was secret is still in {}", first.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    life.end().await;
}

/// The files below a folder that have these bytes.
fn holds(folder: &Path, word: &[u8]) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let has = |path: &PathBuf| {
        std::fs::read(path).is_ok_and(|bytes| bytes.windows(word.len()).any(|window| window == word))
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { holds(&path, word) } else { vec![path] }).filter(has).collect()
}

async fn what_the_last_release_has_ended_keeps_its_end() {
    let scripted = left_by_the_last_release("settled", 5);
    let ends = "SELECT uid, idx, ending FROM htcjobs WHERE ending NOT NULL";
    let mut before: BTreeMap<(String, u32), End> = BTreeMap::new();
    {
        let store = store(&scripted);
        let mut ends = store.prepare(ends).unwrap();
        let mut rows = ends.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let end: String = row.get(2).unwrap();
            before.insert((row.get(0).unwrap(), row.get(1).unwrap()), serde_json::from_str(&end).unwrap());
        }
    }
    assert_eq!(before.len(), 10, "{before:?}");
    for _ in 0..2 {
        let life = alone(&scripted).await;
        life.is_ready().await;
        scripted.calls_more("condor_q", 3).await;
        for ((uid, index), end) in &before {
            assert_eq!(life.progress(uid, *index).as_ref().and_then(Progress::end), Some(end), "{uid}");
        }
        assert_eq!(outcomes(&life.view("lost")), [Some(Outcome::LostTrack)]);
        assert_eq!(outcomes(&life.view("refused")), [Some(Outcome::SubmitRefused)]);
        assert_eq!(outcomes(&life.view("evicted")), [Some(Outcome::Evicted)]);
        assert!(matches!(life.view("collected").outputs, Outputs::Collected(_)));
        assert!(life.try_wish(crate::life::wish("tomb", 1)).await.is_err(), "it was deleted");
        life.end().await;
    }
}

async fn submissions_that_were_open_are_settled_once() {
    // Longer ago than any tool can live.
    let scripted = left_by_the_last_release("submitting", 1_000);
    scripted.auto_run(0);
    let life = alone(&scripted).await;
    assert_eq!(life.ends("burst").await, [Outcome::Succeeded; 5]);
    assert_eq!(life.ends("accepted").await, [Outcome::Succeeded]);
    until_over(&scripted, &life).await;
    once(&scripted);
    let new = ["accepted/0/0/0", "burst/1/0/1", "burst/2/0/1", "burst/3/0/0", "burst/4/0/0"];
    assert_eq!(committed(&scripted), new);
    life.end().await;
}

async fn a_tool_of_the_last_release_is_waited_for() {
    // Who started it did not say on which machine: it may be at work still.
    let scripted = left_by_the_last_release("submitting", 5);
    for _ in 0..2 {
        let life = alone(&scripted).await;
        life.is_queued("burst", 0).await;
        scripted.eventually("the rest is submitted", |state| state.commits >= 1).await;
        scripted.calls_more("condor_q", 5).await;
        let again = |key: &String| key.starts_with("burst/1") || key.starts_with("burst/2");
        assert!(!committed(&scripted).iter().any(again), "{:?}", committed(&scripted));
        life.end().await;
    }
}

async fn its_tombstones_that_were_forgotten_are_no_mismatch() {
    let scripted = left_by_the_last_release("settled", 5);
    // All has left long ago, and HTCondor remembers jobs that nobody else does.
    for table in ["wishes", "htcjobs", "waiting", "inbox"] {
        store(&scripted).execute(&format!("DELETE FROM {table}"), []).unwrap();
    }
    scripted.change(|state| {
        let queue = std::mem::take(&mut state.queue);
        state.history.extend(queue);
    });
    scripted.auto_run(0);
    let life = alone(&scripted).await;
    life.wish("new", 1).await;
    assert_eq!(life.ends("new").await, [Outcome::Succeeded]);
    assert!(life.engine.mismatch().is_empty(), "{:?}", life.engine.mismatch());
    life.end().await;
    // From now on it is remembered.
    scripted.change(|state| {
        let mut later = state.history[0].clone();
        later.insert("ClusterId".to_owned(), 1_000.into());
        later.insert("HTCOperatorUid".to_owned(), "later".into());
        state.history.push(later);
    });
    let life = alone(&scripted).await;
    let started = Instant::now();
    while life.engine.mismatch().is_empty() {
        assert!(started.elapsed() < PATIENCE, "a newer history is a mismatch again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    life.end().await;
}

async fn an_upgrade_that_is_killed_goes_on() {
    let scripted = left_by_the_last_release("settled", 5);
    let plan = Plan {
        data: scripted.path().join("data"),
        workloads: vec![],
        again: false,
        gone: None,
        collect: false,
        evicted: false,
        once: false,
    };
    let plan = serde_json::to_string(&plan).unwrap();
    for n in 0..40 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["engine", &plan]).env_clear().envs(scripted.environment()).stdin(Stdio::null());
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // How far it comes in that time is the point.
        tokio::time::sleep(Duration::from_millis(n)).await;
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let life = alone(&scripted).await;
    life.runs("runs", 0).await;
    let version = "SELECT count(*) FROM wishes WHERE owner IS NULL";
    let rows: i64 = store(&scripted).query_row(version, [], |row| row.get(0)).unwrap();
    assert!(rows >= 19, "{rows}");
    life.end().await;
}
