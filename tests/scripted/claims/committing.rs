//! The engine commits each attempt once, whatever becomes of `condor_submit`.

use std::time::Instant;

use htc_core::workload::progress::Outcome;

use super::crashes::once;
use crate::life::{Life, PATIENCE};
use crate::pool::{Fault, Outage, Planned, Scripted};

super::claims![
    a_pool_that_takes_long_to_send_files_is_not_waited_for_without_end,
    a_wish_becomes_one_job_for_each_index_and_their_ends,
    a_commit_without_an_id_is_found_and_made_good_by_the_next_submission,
    a_tool_that_hangs_after_its_commit_is_made_good_after_its_death,
    a_tool_that_hangs_after_its_id_is_made_good_after_its_death,
    a_failure_before_the_commit_is_tried_again,
    an_outage_only_delays,
    jobs_whose_files_did_not_travel_are_submitted_again,
    exit_zero_and_held_may_be_a_schedd_that_needs_a_moment,
    the_poisoned_row_of_eight_fails_alone_with_the_sentence_of_the_tool,
    a_poisoned_row_stands_alone_soon_though_others_come_all_the_time,
    the_same_wish_twice_is_one_wish,
    at_no_moment_an_index_is_neither_waiting_nor_a_job,
];

/// Lets one workload of two copies run to its end with a fault of the first submission; gives the
/// committed keys.
async fn run_with(fault: Fault) -> Vec<String> {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    scripted.fault("condor_submit", fault);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 2).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
    scripted.empties().await;
    once(&scripted);
    life.end().await;
    scripted.committed()
}

const BOTH: [&str; 4] = ["a/0/0/0", "a/1/0/0", "a/0/0/1", "a/1/0/1"];

async fn a_pool_that_takes_long_to_send_files_is_not_waited_for_without_end() {
    assert_eq!(run_with(Fault::ExitZeroButHeld).await, BOTH);
}

async fn a_wish_becomes_one_job_for_each_index_and_their_ends() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 2).await;
    life.is_queued("a", 1).await;
    scripted.start_jobs();
    life.runs("a", 0).await;
    scripted.finish("a/0/0/0", crate::pool::Ending::code(0));
    scripted.finish("a/1/0/0", crate::pool::Ending::code(3));
    assert_eq!(life.ends("a").await, [Outcome::Succeeded, Outcome::ExitCode(3)]);
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0", "a/1/0/0"]);
    life.end().await;
}

async fn a_commit_without_an_id_is_found_and_made_good_by_the_next_submission() {
    let text = "ERROR: Failed to commit job submission into the queue.";
    assert_eq!(run_with(Fault::CommitThenFail(text.to_owned())).await, BOTH);
}

async fn a_tool_that_hangs_after_its_commit_is_made_good_after_its_death() {
    hang(false).await;
}

async fn a_tool_that_hangs_after_its_id_is_made_good_after_its_death() {
    hang(true).await;
}

async fn hang(print: bool) {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    scripted.fault("condor_submit", Fault::CommitThenHang { print });
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    scripted.eventually("the tool hangs", |state| !state.hanging.is_empty()).await;
    scripted.calls_more("condor_q", 3).await;
    assert_eq!(scripted.committed(), ["a/0/0/0"], "as long as the tool lives");
    assert_eq!(scripted.pass_deadlines(), 1);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert_eq!(scripted.committed(), ["a/0/0/0", "a/0/0/1"]);
    once(&scripted);
    life.end().await;
}

async fn a_failure_before_the_commit_is_tried_again() {
    for text in ["ERROR: Failed to connect to queue manager test@pool", "an answer that nobody knows"] {
        assert_eq!(run_with(Fault::Fail(text.to_owned())).await[..1], ["a/0/0/1"]);
    }
}

async fn an_outage_only_delays() {
    for outage in [Outage::Pool, Outage::ScheddOff, Outage::ScheddKilled] {
        let scripted = Scripted::new();
        let life = Life::on(&scripted).await;
        life.open_door();
        life.wish("a", 1).await;
        life.is_queued("a", 0).await;
        scripted.plan(Planned::everywhere(Fault::Outage(outage)));
        life.wish("b", 1).await;
        life.until("a", "the trouble is told", |view| view.trouble.is_some()).await;
        scripted.calls_more("condor_q", 2).await;
        assert!(life.view("a").jobs[0].progress.job().is_some());
        scripted.heal();
        scripted.auto_run(0);
        assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
        assert_eq!(life.ends("b").await, [Outcome::Succeeded]);
        assert!(life.view("a").trouble.is_none());
        scripted.empties().await;
        once(&scripted);
        life.end().await;
    }
}

async fn jobs_whose_files_did_not_travel_are_submitted_again() {
    assert_eq!(run_with(Fault::SpoolFails).await, BOTH);
}

async fn exit_zero_and_held_may_be_a_schedd_that_needs_a_moment() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::ExitZeroButHeld);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    scripted.eventually("it is committed", |state| state.commits == 1).await;
    scripted.calls_more("condor_q", 4).await;
    scripted.stage_jobs();
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    life.end().await;
}

async fn the_poisoned_row_of_eight_fails_alone_with_the_sentence_of_the_tool() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let (marker, text) = (
        "a/5/0/".to_owned(),
        "ERROR: Failed to commit job submission into the queue.\nERROR: index 5 is poison".to_owned(),
    );
    scripted.plan(Planned::next("condor_submit", Fault::Refuse { marker, text }));
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 8).await;
    let mut expected = [Outcome::Succeeded; 8];
    expected[5] = Outcome::SubmitRefused;
    assert_eq!(life.ends("a").await, expected);
    let end = life.progress("a", 5).unwrap().end().cloned().unwrap();
    assert!(end.message.contains("index 5 is poison"), "{}", end.message);
    scripted.empties().await;
    once(&scripted);
    assert!(!scripted.committed().iter().any(|key| key.starts_with("a/5/")));
    life.end().await;
}

async fn a_poisoned_row_stands_alone_soon_though_others_come_all_the_time() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let (marker, text) = (
        "poison/0/0/".to_owned(),
        "ERROR: Failed to commit job submission into the queue.\nERROR: this is poison".to_owned(),
    );
    scripted.plan(Planned::next("condor_submit", Fault::Refuse { marker, text }));
    scripted.fault("condor_submit", Fault::WaitBeforeCommit);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("first", 1).await;
    scripted.calls_more("condor_submit", 1).await;
    // All of these wait for the first, and go together.
    life.wish("poison", 1).await;
    for n in 0..50 {
        life.wish(&format!("beside-{n}"), 1).await;
    }
    scripted.let_go_on();
    let (mut others, began) = (0, Instant::now());
    while life.progress("poison", 0).is_none_or(|progress| progress.end().is_none()) {
        life.wish(&format!("later-{others}"), 2).await;
        others += 1;
        assert!(began.elapsed() < PATIENCE, "after {others} others it does not stand alone");
        scripted.calls_more("condor_q", 1).await;
    }
    assert_eq!(life.ends("poison").await, [Outcome::SubmitRefused]);
    let refused = scripted.calls("condor_submit").len() as u64 - scripted.commits();
    // 51 in halves: 25, 12, 6, 3, 1.
    assert!(refused <= 7, "{refused} submissions were refused while {others} others came");
    for n in 0..50 {
        assert_eq!(life.ends(&format!("beside-{n}")).await, [Outcome::Succeeded]);
    }
    life.end().await;
}

async fn at_no_moment_an_index_is_neither_waiting_nor_a_job() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::SpoolFails);
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.wish("a", 9).await;
    let engine = life.engine.clone();
    let watch = tokio::spawn(async move {
        loop {
            let view = engine.view(&crate::life::uid("a")).unwrap();
            assert!(view.waiting + view.jobs.len() as u64 >= 9, "{view:#?}");
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 9]);
    assert!(!watch.is_finished(), "{:?}", watch.await);
    life.end().await;
}

async fn the_same_wish_twice_is_one_wish() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.wish("a", 2).await;
    life.wish("a", 2).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
    life.wish("a", 2).await;
    life.end().await;
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 2).await;
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0", "a/1/0/0"]);
    life.end().await;
}
