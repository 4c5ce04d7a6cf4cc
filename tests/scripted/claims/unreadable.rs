//! What cannot be read in the store stops nothing else, and is told.

use htc_core::workload::progress::Outcome;
use htc_operator::engine::Options;
use rusqlite::Connection;

use crate::life::{Life, options};
use crate::pool::{Fault, Planned, Scripted};

super::claims![
    a_wish_that_cannot_be_read_stops_no_start_and_no_other_workload,
    a_workload_of_which_a_job_cannot_be_read_is_submitted_no_further,
    a_job_whose_end_cannot_be_read_has_ended_as_its_row_says,
    rows_that_belong_to_nobody_are_left_alone,
    ranges_that_are_none_stop_what_they_are_of_and_no_other,
    an_id_that_is_none_holds_up_no_deletion,
];

fn spoil(scripted: &Scripted, statements: &str) {
    let store = Connection::open(scripted.path().join("data/htcjobs.db")).unwrap();
    store.execute_batch(statements).unwrap();
}

async fn ended(scripted: &Scripted, names: &[&str]) {
    let life = Life::on(scripted).await;
    life.open_door();
    for name in names {
        life.wish(name, 2).await;
    }
    for name in names {
        assert_eq!(life.ends(name).await, [Outcome::Succeeded; 2]);
    }
    scripted.empties().await;
    life.end().await;
}

fn trouble(life: &Life, name: &str) -> (&'static str, String) {
    let obstacle = life.view(name).trouble.unwrap();
    (obstacle.reason, obstacle.why)
}

async fn ranges_that_are_none_stop_what_they_are_of_and_no_other() {
    let scripted = Scripted::new();
    scripted.plan(Planned::next("condor_ping", Fault::Fail("WRITE failed!".to_owned())).always());
    let life = Life::on(&scripted).await;
    for name in ["a", "b", "c"] {
        life.wish(name, 3).await;
    }
    life.end().await;
    spoil(
        &scripted,
        "UPDATE waiting SET first = 2, last = 1 WHERE uid = 'a'; UPDATE waiting SET last = 4294967295 WHERE uid = 'b'",
    );
    scripted.heal();
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    for (name, words) in [("a", "no copies 2 to 1"), ("b", "no copies 0 to 4294967295")] {
        let (reason, why) = trouble(&life, name);
        assert!(reason == "RecordUnreadable" && why.contains(words), "{why}");
    }
    assert_eq!(life.ends("c").await, [Outcome::Succeeded; 3]);
    assert_eq!(scripted.committed().len(), 3, "of the others none");
    life.end().await;
}

async fn an_id_that_is_none_holds_up_no_deletion() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    ended(&scripted, &["a"]).await;
    spoil(
        &scripted,
        "UPDATE htcjobs SET jobId = '99999999999.0' WHERE rowid = (SELECT min(rowid) FROM htcjobs)",
    );
    let life = Life::on(&scripted).await;
    life.gone("a").await;
    life.is_gone("a").await;
    life.end().await;
}

async fn a_wish_that_cannot_be_read_stops_no_start_and_no_other_workload() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    ended(&scripted, &["a", "b"]).await;
    spoil(&scripted, "UPDATE wishes SET workload = '{\"name\":' WHERE uid = 'a'");
    let life = Life::on(&scripted).await;
    life.open_door();
    let (reason, why) = trouble(&life, "a");
    assert_eq!(reason, "RecordUnreadable");
    assert!(why.contains("workload: EOF") && why.contains("create it again"), "{why}");
    assert!(!life.view("a").is_whole && life.view("b").is_whole);
    assert_eq!(life.ends("b").await, [Outcome::Succeeded; 2]);
    assert_eq!(life.metric("htc_unreadable_rows"), 1);
    life.wish("c", 1).await;
    assert_eq!(life.ends("c").await, [Outcome::Succeeded]);
    // What to do about it helps.
    life.gone("a").await;
    life.is_gone("a").await;
    life.end().await;
}

async fn a_workload_of_which_a_job_cannot_be_read_is_submitted_no_further() {
    let scripted = Scripted::new();
    let narrow = Options { max_jobs_in_queue: 1, ..options(&scripted.path().join("data")) };
    let life = Life::begin(narrow, scripted.pool()).await;
    life.wish("a", 3).await;
    life.is_queued("a", 0).await;
    life.end().await;
    spoil(&scripted, "UPDATE htcjobs SET submission = 'x' WHERE uid = 'a'");
    let life = Life::on(&scripted).await;
    life.is_ready().await;
    // The job itself is in the queue, and its ad is enough to follow it.
    life.is_queued("a", 0).await;
    assert_eq!(trouble(&life, "a").0, "RecordUnreadable");
    life.wish("b", 1).await;
    life.is_queued("b", 0).await;
    scripted.calls_more("condor_q", 3).await;
    assert_eq!(scripted.committed(), ["a/0/0/0", "b/0/0/0"]);
    life.end().await;
}

async fn a_job_whose_end_cannot_be_read_has_ended_as_its_row_says() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    ended(&scripted, &["a"]).await;
    spoil(&scripted, "UPDATE htcjobs SET ending = '{', jobId = 'none' WHERE idx = 1");
    let life = Life::on(&scripted).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
    let last = life.view("a").jobs[1].progress.end().unwrap().message.clone();
    assert!(last.contains("cannot be read"), "{last}");
    tokio::join!(scripted.calls_more("condor_q", 1), async { life.engine.look() });
    assert_eq!(scripted.committed().len(), 2);
    life.end().await;
}

async fn rows_that_belong_to_nobody_are_left_alone() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    ended(&scripted, &["a"]).await;
    spoil(
        &scripted,
        "INSERT INTO wishes (uid, door, namespace, name, want, since, not_before)
             VALUES ('../x', 'test', x'ff', 'n', 'run', 0, 0);
         INSERT INTO htcjobs (uid, idx, attempt, submission, tempDir) VALUES ('a/b', 0, 0, 0, '/x');
         INSERT INTO inbox VALUES ('a', 0, 0, 9, 0, 0, x'ff');
         INSERT INTO intents (id, created) VALUES (77, 'soon');
         UPDATE facts SET value = 'once' WHERE name = 'born'",
    );
    let life = Life::on(&scripted).await;
    life.open_door();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
    assert_eq!(life.metric("htc_unreadable_rows"), 4);
    life.wish("b", 1).await;
    assert_eq!(life.ends("b").await, [Outcome::Succeeded]);
    life.end().await;
}
