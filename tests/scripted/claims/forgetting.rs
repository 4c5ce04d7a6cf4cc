//! The store may be lost: what is in the queue is adopted, and nothing is committed twice.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use htc_core::workload::progress::{End, Outcome};
use htc_operator::engine::{Settled, Wish};
use jiff::Timestamp;

use super::crashes::once;
use super::submit;
use crate::life::{Life, PATIENCE, outcomes, wish};
use crate::pool::{Fault, Scripted};

super::claims![
    jobs_of_a_lost_store_are_adopted_by_their_ads,
    jobs_that_ended_meanwhile_are_adopted_with_their_ends_and_files,
    a_wish_that_comes_late_to_a_new_store_adopts_before_it_submits,
    a_caller_who_does_not_say_that_he_wished_before_gets_no_second_job,
    a_wish_whose_files_lie_there_waits_until_a_tool_of_a_lost_store_must_be_dead,
    what_never_got_its_files_is_not_adopted,
    the_second_copy_in_a_lost_store_is_removed,
    an_index_whose_end_is_known_outside_is_not_run_again,
    nothing_of_a_deleted_workload_is_left_though_nobody_knows_it,
    jobs_that_nobody_wishes_are_left_alone,
    jobs_that_nobody_wishes_are_told_of_once,
];

/// A wish by someone who made it before.
pub fn again(name: &str, indices: u32) -> Wish {
    Wish { seen_before: true, ..wish(name, indices) }
}

/// Ends a life and takes its store away.
pub async fn lose_store(scripted: &Scripted, life: Life) {
    life.end().await;
    for name in ["htcjobs.db", "htcjobs.db-wal", "htcjobs.db-shm"] {
        // The last connection has removed the others where it closed them.
        let _ = std::fs::remove_file(scripted.path().join("data").join(name));
    }
    assert!(!scripted.path().join("data/htcjobs.db").exists());
}

/// A store that knows nothing, made long ago.
pub async fn age_new_store(scripted: &Scripted) {
    let life = Life::on(scripted).await;
    life.is_ready().await;
    life.end().await;
    age_store(scripted);
}

/// The store was made long ago.
pub fn age_store(scripted: &Scripted) {
    let age = || {
        let store = rusqlite::Connection::open(scripted.path().join("data/htcjobs.db"))?;
        store.execute("UPDATE facts SET value = '1000000000' WHERE name = 'born'", [])
    };
    let end = Instant::now() + PATIENCE;
    loop {
        match age() {
            Ok(rows) => return assert_eq!(rows, 1),
            // The connection of the life before may just be closing.
            Err(why) => assert!(Instant::now() < end, "{why}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn adopted(scripted: &Scripted, life: &Life, indices: u32) {
    life.until("a", "all are adopted", |view| view.jobs.len() == indices as usize).await;
    life.open_door();
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, vec![Outcome::Succeeded; indices as usize]);
    scripted.empties().await;
    once(scripted);
    assert_eq!(scripted.commits(), 1);
}

async fn jobs_of_a_lost_store_are_adopted_by_their_ads() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 3).await;
    life.is_queued("a", 2).await;
    scripted.start_jobs();
    lose_store(&scripted, life).await;
    let life = Life::on(&scripted).await;
    life.try_wish(again("a", 3)).await.unwrap();
    adopted(&scripted, &life, 3).await;
    life.end().await;
}

async fn jobs_that_ended_meanwhile_are_adopted_with_their_ends_and_files() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 2).await;
    life.is_queued("a", 1).await;
    lose_store(&scripted, life).await;
    scripted.run_jobs(0);
    let life = Life::on(&scripted).await;
    life.try_wish(again("a", 2)).await.unwrap();
    adopted(&scripted, &life, 2).await;
    assert!(scripted.path().join("data/jobs/a/1.0.0/result.json").exists());
    life.end().await;
}

/// A wish of two copies whose jobs are in the queue comes to a store that was made after the loss of theirs.
async fn comes_late(wish: Wish) {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 2).await;
    life.is_queued("a", 1).await;
    lose_store(&scripted, life).await;
    age_new_store(&scripted).await;
    let life = Life::on(&scripted).await;
    life.is_ready().await;
    life.try_wish(wish).await.unwrap();
    adopted(&scripted, &life, 2).await;
    life.end().await;
}

async fn a_wish_that_comes_late_to_a_new_store_adopts_before_it_submits() {
    comes_late(again("a", 2)).await;
}

async fn a_caller_who_does_not_say_that_he_wished_before_gets_no_second_job() {
    comes_late(wish("a", 2)).await;
}

async fn a_wish_whose_files_lie_there_waits_until_a_tool_of_a_lost_store_must_be_dead() {
    let scripted = Scripted::new();
    // The first submission ever was under way when the store was lost: neither queue nor history shows it.
    let folder = scripted.path().join("data/jobs/a/0.0.0");
    std::fs::create_dir_all(folder).unwrap();
    let life = Life::on(&scripted).await;
    life.wish("a", 1).await;
    life.is_ready().await;
    scripted.calls_more("condor_q", 3).await;
    assert!(scripted.calls("condor_submit").is_empty());
    life.end().await;
    age_wish(&scripted);
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn what_never_got_its_files_is_not_adopted() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::SpoolFails);
    submit(&scripted, &["a/0/0/0"]).await.1.unwrap_err();
    age_new_store(&scripted).await;
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.try_wish(again("a", 1)).await.unwrap();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.empties().await;
    once(&scripted);
    life.end().await;
}

async fn the_second_copy_in_a_lost_store_is_removed() {
    let scripted = Scripted::new();
    submit(&scripted, &["a/0/0/0"]).await.1.unwrap();
    submit(&scripted, &["a/0/0/1"]).await.1.unwrap();
    // The one that has started stays.
    scripted.change(|state| state.start(1));
    let life = Life::on(&scripted).await;
    life.try_wish(again("a", 1)).await.unwrap();
    scripted.eventually("the copy is gone", |state| state.queue.len() == 1).await;
    assert_eq!(scripted.jobs()[0]["HTCOperatorKey"], "a/0/0/1");
    life.open_door();
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn an_index_whose_end_is_known_outside_is_not_run_again() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    age_new_store(&scripted).await;
    let life = Life::on(&scripted).await;
    life.open_door();
    let end = End { outcome: Outcome::ExitCode(3), message: "exit code 3".into(), at: Timestamp::UNIX_EPOCH };
    let settled = vec![Settled { index: 1, end }];
    life.try_wish(Wish { settled, ..again("a", 3) }).await.unwrap();
    let expected = [Outcome::Succeeded, Outcome::ExitCode(3), Outcome::Succeeded];
    assert_eq!(life.ends("a").await, expected);
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0", "a/2/0/0"]);
    life.end().await;
    let life = Life::on(&scripted).await;
    assert_eq!(outcomes(&life.view("a")), expected.map(Some));
    life.end().await;
}

async fn nothing_of_a_deleted_workload_is_left_though_nobody_knows_it() {
    let scripted = Scripted::new();
    submit(&scripted, &["a/0/0/0", "a/1/0/0"]).await.1.unwrap();
    let life = Life::on(&scripted).await;
    life.gone("a").await;
    scripted.empties().await;
    life.end().await;
    // A tool of the life before may have been at work when the store was made.
    age_wish(&scripted);
    let life = Life::on(&scripted).await;
    life.is_gone("a").await;
    life.end().await;
}

/// The moment has come until which a tool of an earlier life could work.
fn age_wish(scripted: &Scripted) {
    let store = rusqlite::Connection::open(scripted.path().join("data/htcjobs.db")).unwrap();
    assert_eq!(store.execute("UPDATE wishes SET not_before = not_before - 1000", []).unwrap(), 1);
}

async fn jobs_that_nobody_wishes_are_left_alone() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    // Not before: a wish that comes to a new store while there are such jobs waits for two minutes.
    submit(&scripted, &["stranger/0/0/0"]).await.1.unwrap();
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.eventually("only the stranger is left", |state| state.queue.len() == 1).await;
    assert_eq!(scripted.jobs()[0]["HTCOperatorKey"], "stranger/0/0/0");
    life.end().await;
}

/// The lines that the engines of all tests of this process have logged about a workload, from now on: a
/// subscriber of one thread would miss what another thread has come by before.
fn logged_of(name: &str) -> Vec<String> {
    static LOG: LazyLock<File> = LazyLock::new(|| {
        let file = tempfile::tempfile().unwrap();
        let writer = Arc::new(file.try_clone().unwrap());
        tracing_subscriber::fmt().with_ansi(false).with_writer(writer).init();
        file
    });
    let mut bytes = vec![0; usize::try_from(LOG.metadata().unwrap().len()).unwrap()];
    LOG.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
}

async fn jobs_that_nobody_wishes_are_told_of_once() {
    let scripted = Scripted::new();
    assert!(logged_of("nobody-knows").is_empty());
    let life = Life::on(&scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    submit(&scripted, &["nobody-knows/0/0/0", "nobody-knows/1/0/0"]).await.1.unwrap();
    scripted.calls_more("condor_q", 4).await;
    life.end().await;
    let told = logged_of("nobody-knows");
    assert!(matches!(&told[..], [one] if one.contains("jobs=2") && one.contains("first=2.0")), "{told:#?}");
    assert_eq!(scripted.jobs().len(), 3);
}
