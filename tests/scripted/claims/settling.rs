//! The object's status outranks a store that was lost, or put back from a backup: what has ended for it is not run
//! again, and its files are found.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use htc_core::workload::progress::{End, Outcome};
use htc_operator::engine::{Options, Outputs, Settled, Tracking, View, Wish};
use jiff::Timestamp;

use super::crashes::once;
use super::forgetting::{again, lose_store};
use super::resting::looks;
use crate::life::{DOOR, Life, PATIENCE, options, outcomes, uid};
use crate::pool::{Fault, Planned, Scripted};

super::claims![
    what_came_home_is_found_again_after_the_store_was_lost,
    what_has_ended_and_not_come_home_brings_its_files_before_it_leaves,
    what_has_ended_and_left_without_its_files_is_told_as_lost,
    what_waits_in_an_older_store_and_has_ended_since_is_not_run_again,
    what_is_queued_in_an_older_store_and_has_ended_since_has_its_files,
    what_waits_is_submitted_once_its_object_has_said_what_it_knows,
];

/// What the status says of these indices.
fn ended(indices: &[u32]) -> Vec<Settled> {
    let end = End { outcome: Outcome::Succeeded, message: String::new(), at: Timestamp::UNIX_EPOCH };
    indices.iter().map(|index| Settled { index: *index, end: end.clone() }).collect()
}

fn is_home(view: &View) -> bool {
    matches!(view.outputs, Outputs::Home(_))
}

fn result(scripted: &Scripted, folder: &str) -> PathBuf {
    scripted.path().join("data/jobs/a").join(folder).join("result.json")
}

/// A workload of which nothing can be submitted.
async fn wish_without_room(scripted: &Scripted, copies: u32) {
    let options = Options { max_jobs_in_queue: 0, ..options(&scripted.path().join("data")) };
    let life = Life::begin(options, scripted.pool()).await;
    life.wish("a", copies).await;
    life.end().await;
}

/// All of it runs and ends, is told and comes home.
async fn runs_to_its_end(scripted: &Scripted, copies: u32) {
    let life = Life::on(scripted).await;
    life.open_door();
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, vec![Outcome::Succeeded; copies as usize]);
    life.until("a", "it is home", is_home).await;
    scripted.empties().await;
    life.end().await;
}

fn copy_store(from: &Path, to: &Path) {
    // A life ends before its store is closed, which puts all into one file.
    let started = Instant::now();
    let is_open = |folder: &&Path| folder.join("htcjobs.db-wal").exists();
    while [from, to].iter().any(is_open) {
        assert!(started.elapsed() < PATIENCE, "the store is not closed");
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::copy(from.join("htcjobs.db"), to.join("htcjobs.db")).unwrap();
}

/// Keeps the store as it is now, and puts it back later.
struct Backup(tempfile::TempDir);

impl Backup {
    fn of(scripted: &Scripted) -> Backup {
        let folder = tempfile::tempdir().unwrap();
        copy_store(&scripted.path().join("data"), folder.path());
        Backup(folder)
    }

    /// A life with the store as it was, in which no object has said anything yet.
    async fn life(&self, scripted: &Scripted) -> Life {
        copy_store(self.0.path(), &scripted.path().join("data"));
        // Scripted tools answer before the door can say that its objects are still to come.
        scripted.plan(Planned::next("condor_history", Fault::Fail("away".to_owned())).always());
        let life = Life::on(scripted).await;
        life.engine.await_objects(DOOR);
        life.is_ready().await;
        scripted.heal();
        life
    }
}

/// All of it has ended as its object says, is home, and stays so.
async fn is_as_told(scripted: &Scripted, life: Life, copies: u32) {
    let told = vec![Some(Outcome::Succeeded); copies as usize];
    let is_told = |view: &View| outcomes(view) == told && is_home(view) && view.waiting == 0;
    life.until("a", "it is as its object says", is_told).await;
    scripted.empties().await;
    looks(scripted, &life).await;
    life.end().await;
    let life = Life::on(scripted).await;
    life.is_ready().await;
    let view = life.view("a");
    assert!(is_told(&view), "{view:#?}");
    assert!(view.jobs.iter().all(|job| !job.outputs_lost && job.tracking == Tracking::Good), "{view:#?}");
    life.end().await;
    once(scripted);
}

async fn what_came_home_is_found_again_after_the_store_was_lost() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 2).await;
    life.end().await;
    runs_to_its_end(&scripted, 2).await;
    // As if the second copy had been handed over three times.
    let jobs = scripted.path().join("data/jobs/a");
    fs::rename(jobs.join("1.0.0"), jobs.join("1.0.2")).unwrap();
    let life = Life::on(&scripted).await;
    lose_store(&scripted, life).await;
    let (commits, transfers) = (scripted.commits(), scripted.calls("condor_transfer_data").len());
    let life = Life::on(&scripted).await;
    // An index that it does not have is nobody's.
    life.try_wish(Wish { settled: ended(&[0, 1, 1, 2, 7_000]), ..again("a", 2) }).await.unwrap();
    is_as_told(&scripted, life, 2).await;
    assert!(result(&scripted, "0.0.0").exists() && result(&scripted, "1.0.2").exists());
    assert_eq!((scripted.commits(), scripted.calls("condor_transfer_data").len()), (commits, transfers));
}

async fn what_has_ended_and_not_come_home_brings_its_files_before_it_leaves() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    lose_store(&scripted, life).await;
    scripted.run_jobs(0);
    let life = Life::on(&scripted).await;
    life.try_wish(Wish { settled: ended(&[0]), ..again("a", 1) }).await.unwrap();
    is_as_told(&scripted, life, 1).await;
    assert!(result(&scripted, "0.0.0").exists());
}

async fn what_has_ended_and_left_without_its_files_is_told_as_lost() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.try_wish(Wish { settled: ended(&[0]), ..again("a", 1) }).await.unwrap();
    let is_lost = |view: &View| view.jobs.iter().all(|job| job.outputs_lost) && view.jobs.len() == 1;
    life.until("a", "its files are lost", is_lost).await;
    assert!(scripted.calls("condor_transfer_data").is_empty());
    assert!(scripted.committed().is_empty());
    life.end().await;
}

async fn what_waits_in_an_older_store_and_has_ended_since_is_not_run_again() {
    let scripted = Scripted::new();
    wish_without_room(&scripted, 2).await;
    let backup = Backup::of(&scripted);
    runs_to_its_end(&scripted, 2).await;
    let life = backup.life(&scripted).await;
    looks(&scripted, &life).await;
    assert_eq!(life.view("a").waiting, 2, "its object has not said anything yet");
    life.engine.settle(&uid("a"), ended(&[0, 1, 1, 2])).await.unwrap();
    is_as_told(&scripted, life, 2).await;
    assert_eq!(scripted.commits(), 1);
}

async fn what_is_queued_in_an_older_store_and_has_ended_since_has_its_files() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 2).await;
    life.is_queued("a", 1).await;
    life.end().await;
    let backup = Backup::of(&scripted);
    runs_to_its_end(&scripted, 2).await;
    let life = backup.life(&scripted).await;
    life.engine.settle(&uid("a"), ended(&[0, 0, 1])).await.unwrap();
    is_as_told(&scripted, life, 2).await;
    assert_eq!(scripted.commits(), 1);
}

async fn what_waits_is_submitted_once_its_object_has_said_what_it_knows() {
    let scripted = Scripted::new();
    wish_without_room(&scripted, 2).await;
    let life = Backup::of(&scripted).life(&scripted).await;
    life.open_door();
    scripted.auto_run(0);
    looks(&scripted, &life).await;
    assert!(scripted.committed().is_empty());
    life.engine.settle(&uid("a"), Vec::new()).await.unwrap();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
    scripted.empties().await;
    life.end().await;
    once(&scripted);
}
