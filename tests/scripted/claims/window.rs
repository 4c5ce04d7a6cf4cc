//! Only so many jobs are in the queue at a time, and only so many in one submission.

use std::time::{Duration, Instant};

use htc_core::workload::progress::Outcome;
use htc_operator::engine::{Options, Wish};
use rusqlite::{Connection, OpenFlags};

use super::crashes::once;
use crate::life::{Life, PATIENCE, options, wish};
use crate::pool::{Event, Fault, Planned, Scripted};

super::claims![
    twenty_thousand_copies_pass_through_a_window_of_a_thousand,
    three_hundred_jobs_pass_through_a_window_of_a_hundred,
    a_small_workload_does_not_wait_for_a_large_one,
    a_schedd_that_takes_fewer_jobs_than_we_have_gets_them_as_others_end,
    those_who_wait_are_told_that_the_schedd_is_full,
    a_namespace_has_no_more_in_the_queue_than_it_may_and_others_go_on,
];

async fn twenty_thousand_copies_pass_through_a_window_of_a_thousand() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    // The tools read and write what they know at every call.
    scripted.plan(Planned::everywhere(Fault::ForgetHistory));
    let life = narrow(&scripted, 200, 1_000).await;
    life.wish("a", 20_000).await;
    let (mut left, mut since) = (u64::MAX, Instant::now());
    while left > 0 {
        let waiting = life.view("a").waiting;
        if waiting < left {
            (left, since) = (waiting, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "{left} wait and none of them is submitted");
        let ranges = ranges(&scripted);
        assert!(ranges <= 2, "{waiting} that wait are {ranges} rows");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(life.ends("a").await, vec![Outcome::Succeeded; 20_000]);
    scripted.empties().await;
    assert_window(&scripted, 1_000);
    once(&scripted);
    life.end().await;
}

/// How many rows of the store say what waits.
fn ranges(scripted: &Scripted) -> i64 {
    let file = scripted.path().join("data/htcjobs.db");
    let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    store.query_row("SELECT count(*) FROM waiting", [], |row| row.get(0)).unwrap()
}

/// At no moment more jobs than these were in the queue.
fn assert_window(scripted: &Scripted, most: i32) {
    let mut inside: i32 = 0;
    for entry in scripted.journal() {
        inside += match entry.event {
            Event::Committed => 1,
            Event::Left => -1,
            _ => 0,
        };
        assert!(inside <= most, "{inside} jobs in the queue");
    }
}

async fn narrow(scripted: &Scripted, at_once: usize, inside: usize) -> Life {
    let mut options = options(&scripted.path().join("data"));
    options.max_jobs_per_submission = at_once;
    options.max_jobs_in_queue = inside;
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life
}

async fn three_hundred_jobs_pass_through_a_window_of_a_hundred() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let life = narrow(&scripted, 50, 100).await;
    life.wish("a", 300).await;
    assert_eq!(life.ends("a").await, vec![Outcome::Succeeded; 300]);
    scripted.empties().await;
    assert_window(&scripted, 100);
    assert!(scripted.commits() >= 6, "{} submissions of at most 50", scripted.commits());
    once(&scripted);
    life.end().await;
}

async fn a_namespace_has_no_more_in_the_queue_than_it_may_and_others_go_on() {
    let scripted = Scripted::new();
    let options = Options { max_jobs_per_namespace: Some(3), ..options(&scripted.path().join("data")) };
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life.wish("large", 9).await;
    life.engine.run(Wish { namespace: "other".to_owned(), ..wish("small", 2) }).await.unwrap();
    life.is_queued("small", 1).await;
    life.is_queued("large", 2).await;
    assert_eq!(scripted.jobs().len(), 5);
    scripted.auto_run(0);
    assert_eq!(life.ends("large").await, vec![Outcome::Succeeded; 9]);
    scripted.empties().await;
    once(&scripted);
    life.end().await;
}

async fn a_small_workload_does_not_wait_for_a_large_one() {
    let scripted = Scripted::new();
    let life = narrow(&scripted, 50, 100).await;
    life.wish("large", 300).await;
    life.is_queued("large", 99).await;
    life.wish("small", 1).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("small").await, [Outcome::Succeeded]);
    assert!(life.view("large").waiting > 0);
    life.end().await;
}

async fn a_schedd_that_takes_fewer_jobs_than_we_have_gets_them_as_others_end() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    scripted.plan(Planned::next("condor_submit", Fault::FullAt(7)));
    let life = narrow(&scripted, 50, 1_000).await;
    life.wish("a", 20).await;
    assert_eq!(life.ends("a").await, vec![Outcome::Succeeded; 20]);
    assert_window(&scripted, 7);
    once(&scripted);
    life.end().await;
}

async fn those_who_wait_are_told_that_the_schedd_is_full() {
    let scripted = Scripted::new();
    scripted.plan(Planned::next("condor_submit", Fault::FullAt(0)));
    let life = narrow(&scripted, 50, 1_000).await;
    life.wish("a", 1).await;
    let until = Instant::now() + PATIENCE;
    let told = loop {
        match life.view("a").trouble {
            Some(obstacle) => break obstacle,
            None => assert!(Instant::now() < until, "nothing is told"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(told.reason, "QueueFull");
    assert!(told.why.contains("MAX_JOBS_PER_OWNER"), "{}", told.why);
    life.end().await;
}
