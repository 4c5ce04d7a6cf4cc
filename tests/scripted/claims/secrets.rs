//! What a workload brings may be secret: it is kept as long as something of it may be submitted, and no longer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use htc_core::workload::container::EnvVar;
use htc_core::workload::progress::Outcome;
use htc_core::workload::spec::{File, Volume, VolumeSource};
use htc_operator::engine::Wish;

use crate::life::{Life, PATIENCE, wish};
use crate::pool::{Ending, Fault, Planned, Scripted};

super::claims![
    what_a_workload_brought_is_forgotten_with_its_last_end,
    what_shall_be_gone_is_forgotten_before_it_is_gone,
    what_a_submission_that_came_to_nothing_brought_is_forgotten,
    what_an_earlier_release_kept_is_forgotten_at_the_start,
];

const PASSWORD: &str = "correct-horse-battery-staple";
const KEY: &[u8] = b"-----BEGIN PRIVATE KEY----- of somebody";

/// A workload with a Secret in a variable and one in a file.
fn secret(name: &str, indices: u32) -> Wish {
    let mut wish = wish(name, indices);
    let variable = EnvVar { name: "PASSWORD".to_owned(), value: PASSWORD.to_owned() };
    wish.workload.containers[0].env.push(variable);
    let file = File { path: "key".to_owned(), mode: 0o400, data: KEY.to_vec() };
    wish.workload.volumes.push(Volume { name: "v".to_owned(), source: VolumeSource::Files(vec![file]) });
    wish
}

/// The files of the data folder that hold one of the two.
fn told_in(folder: &Path) -> Vec<PathBuf> {
    let base64 = STANDARD.encode(KEY);
    let words = [PASSWORD.as_bytes(), KEY, base64.as_bytes()];
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).fold(Vec::new(), |mut found, path| {
        if path.is_dir() {
            found.extend(told_in(&path));
        } else if let Ok(bytes) = std::fs::read(&path)
            && words.iter().any(|word| bytes.windows(word.len()).any(|window| window == *word))
        {
            found.push(path);
        }
        found
    })
}

/// Waits until no file of the data folder holds them.
async fn until_forgotten(scripted: &Scripted) {
    let (started, data) = (Instant::now(), scripted.path().join("data"));
    loop {
        let told = told_in(&data);
        if told.is_empty() {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the engine still has them in memory.
fn is_remembered(life: &Life, name: &str) -> bool {
    let workload = life.view(name).workload.expect("it is no tombstone");
    let text = serde_json::to_string(&*workload).unwrap();
    text.contains(PASSWORD) || text.contains(&STANDARD.encode(KEY))
}

async fn what_a_workload_brought_is_forgotten_with_its_last_end() {
    let scripted = Scripted::new();
    let data = scripted.path().join("data");
    let life = Life::on(&scripted).await;
    life.open_door();
    life.try_wish(secret("a", 2)).await.unwrap();
    life.is_queued("a", 0).await;
    life.is_queued("a", 1).await;
    scripted.start_jobs();
    scripted.finish("a/0/0/0", Ending::code(0));
    let one_ended = |view: &htc_operator::engine::View| view.jobs[0].progress.end().is_some();
    life.until("a", "one has ended", one_ended).await;
    assert!(is_remembered(&life, "a") && !told_in(&data).is_empty(), "the other may be submitted again");
    scripted.finish("a/1/0/0", Ending::code(3));
    assert_eq!(life.ends("a").await, [Outcome::Succeeded, Outcome::ExitCode(3)]);
    until_forgotten(&scripted).await;
    assert!(!is_remembered(&life, "a"));
    // What its status needs is there, also after a restart; and the same wish changes nothing.
    life.end().await;
    let life = Life::on(&scripted).await;
    let workload = life.view("a").workload.unwrap();
    assert_eq!((workload.indices, workload.containers[0].name.as_str()), (2, "main"));
    life.try_wish(secret("a", 2)).await.unwrap();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded, Outcome::ExitCode(3)]);
    assert!(told_in(&data).is_empty());
    life.end().await;
}

async fn what_shall_be_gone_is_forgotten_before_it_is_gone() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.try_wish(secret("a", 1)).await.unwrap();
    life.is_queued("a", 0).await;
    scripted.plan(Planned::next("condor_rm", Fault::NothingDone).always());
    life.gone("a").await;
    until_forgotten(&scripted).await;
    assert!(!is_remembered(&life, "a"));
    scripted.heal();
    life.is_gone("a").await;
    life.end().await;
}

async fn what_a_submission_that_came_to_nothing_brought_is_forgotten() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::SpoolFails);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.try_wish(secret("a", 1)).await.unwrap();
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert_eq!(scripted.committed(), ["a/0/0/0", "a/0/0/1"]);
    until_forgotten(&scripted).await;
    life.end().await;
}

async fn what_an_earlier_release_kept_is_forgotten_at_the_start() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.try_wish(secret("a", 1)).await.unwrap();
    life.ends("a").await;
    life.end().await;
    let whole = serde_json::to_string(&Some(&secret("a", 1).workload)).unwrap();
    let old = rusqlite::Connection::open(scripted.path().join("data/htcjobs.db")).unwrap();
    old.busy_timeout(PATIENCE).unwrap();
    assert_eq!(old.execute("UPDATE wishes SET workload = ?1", [whole]).unwrap(), 1);
    drop(old);
    assert!(!told_in(&scripted.path().join("data")).is_empty());
    let life = Life::on(&scripted).await;
    until_forgotten(&scripted).await;
    assert!(!is_remembered(&life, "a"));
    life.end().await;
}
