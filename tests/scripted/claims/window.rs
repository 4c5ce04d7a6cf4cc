//! Only so many jobs are in the queue at a time, and only so many in one submission.

use htc_core::workload::progress::Outcome;

use super::crashes::once;
use crate::life::{Life, options};
use crate::pool::{Event, Scripted};

super::claims![
    three_hundred_jobs_pass_through_a_window_of_a_hundred,
    a_small_workload_does_not_wait_for_a_large_one,
];

async fn narrow(scripted: &Scripted) -> Life {
    let mut options = options(&scripted.path().join("data"));
    options.max_jobs_per_submission = 50;
    options.max_jobs_in_queue = 100;
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life
}

async fn three_hundred_jobs_pass_through_a_window_of_a_hundred() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let life = narrow(&scripted).await;
    life.wish("a", 300).await;
    assert_eq!(life.ends("a").await, vec![Outcome::Succeeded; 300]);
    scripted.empties().await;
    let mut inside: i32 = 0;
    for entry in scripted.journal() {
        inside += match entry.event {
            Event::Committed => 1,
            Event::Left => -1,
            _ => 0,
        };
        assert!(inside <= 100, "{inside} jobs in the queue");
    }
    assert!(scripted.commits() >= 6, "{} submissions of at most 50", scripted.commits());
    once(&scripted);
    life.end().await;
}

async fn a_small_workload_does_not_wait_for_a_large_one() {
    let scripted = Scripted::new();
    let life = narrow(&scripted).await;
    life.wish("large", 300).await;
    life.is_queued("large", 99).await;
    life.wish("small", 1).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("small").await, [Outcome::Succeeded]);
    assert!(life.view("large").waiting > 0);
    life.end().await;
}
