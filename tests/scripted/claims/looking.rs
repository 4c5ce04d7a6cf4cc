//! A failed question is not a failed job, and one question serves all jobs.

use std::time::Duration;

use htc_core::workload::progress::{Outcome, Progress};

use super::crashes::once;
use crate::life::{Life, outcomes};
use crate::pool::{Event, Fault, Planned, Scripted};

super::claims![
    half_an_answer_ends_no_job,
    a_question_that_hangs_ends_no_job,
    an_answer_from_before_the_commit_proves_nothing,
    a_job_that_vanishes_is_lost_after_two_complete_answers_and_not_made_again,
    one_job_that_was_missing_once_is_not_lost,
    many_jobs_cost_as_many_calls_as_one,
    while_nothing_is_to_be_done_no_tool_is_started,
];

/// A workload of so many copies that all run.
async fn running(scripted: &Scripted, indices: u32) -> Life {
    let life = Life::on(scripted).await;
    life.open_door();
    life.wish("a", indices).await;
    for index in 0..indices {
        life.is_queued("a", index).await;
    }
    scripted.start_jobs();
    for index in 0..indices {
        life.runs("a", index).await;
    }
    life
}

async fn half_an_answer_ends_no_job() {
    let scripted = Scripted::new();
    let life = running(&scripted, 2).await;
    for code in [0, 1] {
        scripted.plan(Planned::next("condor_q", Fault::HalfOutput { code }).times(3));
        life.until("a", "the trouble is told", |view| view.trouble.is_some()).await;
        scripted.eventually("the pool is well again", |state| state.plan.is_empty()).await;
        life.until("a", "the trouble is over", |view| view.trouble.is_none()).await;
        for job in life.view("a").jobs {
            assert!(matches!(job.progress, Progress::Running { .. }), "{:?}", job.progress);
        }
    }
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
    assert_eq!(scripted.committed(), ["a/0/0/0", "a/1/0/0"]);
    life.end().await;
}

async fn a_question_that_hangs_ends_no_job() {
    let scripted = Scripted::new();
    let life = running(&scripted, 1).await;
    scripted.fault("condor_q", Fault::Hang);
    scripted.eventually("a question hangs", |state| !state.hanging.is_empty()).await;
    assert_eq!(scripted.pass_deadlines(), 1);
    let view = life.until("a", "the trouble is told", |view| view.trouble.is_some()).await;
    assert!(matches!(view.jobs[0].progress, Progress::Running { .. }));
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn an_answer_from_before_the_commit_proves_nothing() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    scripted.fault("condor_submit", Fault::WaitBeforeCommit);
    life.wish("a", 1).await;
    scripted.eventually("the tool has begun", |s| s.calls.iter().any(|c| c.tool == "condor_submit")).await;
    scripted.fault("condor_q", Fault::Lag);
    scripted.eventually("the slow question has begun", |state| state.plan.is_empty()).await;
    scripted.auto_run(0);
    scripted.let_go_on();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    life.end().await;
}

async fn a_job_that_vanishes_is_lost_after_two_complete_answers_and_not_made_again() {
    let scripted = Scripted::new();
    let life = running(&scripted, 2).await;
    // From the moment at which it is gone, all answers but one are incomplete.
    scripted.change(|state| {
        state.plan.push(Planned::next("condor_q", Fault::VanishJob("a/0/0/0".to_owned())));
        state.plan.push(Planned::next("condor_q", Fault::HalfOutput { code: 1 }).after(1).always());
    });
    scripted.eventually("it is gone", |state| state.queue.len() == 1).await;
    life.until("a", "the trouble is told", |view| view.trouble.is_some()).await;
    scripted.calls_more("condor_q", 2).await;
    assert_eq!(outcomes(&life.view("a")), [None, None], "after one complete answer");
    scripted.heal();
    life.until("a", "it is lost", |view| outcomes(view)[0] == Some(Outcome::LostTrack)).await;
    scripted.calls_more("condor_q", 3).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::LostTrack, Outcome::Succeeded]);
    assert_eq!(scripted.calls("condor_submit").len(), 1);
    life.end().await;
}

async fn one_job_that_was_missing_once_is_not_lost() {
    let scripted = Scripted::new();
    let life = running(&scripted, 1).await;
    let calls = scripted.calls("condor_q").len();
    let ad = scripted.change(|state| state.queue.pop()).unwrap();
    scripted.change(|state| {
        let fail = Fault::Fail("-- Failed to fetch ads".to_owned());
        state.plan.push(Planned::next("condor_q", fail).after(1).always());
    });
    scripted.eventually("it was missing", |state| state.calls.len() > calls + 2).await;
    scripted.change(|state| state.queue.push(ad));
    scripted.heal();
    life.until("a", "the trouble is over", |view| view.trouble.is_none()).await;
    scripted.calls_more("condor_q", 2).await;
    assert!(matches!(life.progress("a", 0), Some(Progress::Running { .. })));
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    once(&scripted);
    life.end().await;
}

async fn many_jobs_cost_as_many_calls_as_one() {
    let mut costs = Vec::new();
    for indices in [1, 60] {
        let scripted = Scripted::new();
        scripted.auto_run(0);
        let life = Life::on(&scripted).await;
        life.wish("a", indices).await;
        life.ends("a").await;
        life.open_door();
        scripted.empties().await;
        life.end().await;
        let questions = scripted.calls("condor_q");
        // Until an ad has confirmed who we are, clusters of ours are asked for by number, and jobs of others too.
        let mut asked: Vec<_> = questions.iter().map(|call| &call.arguments).collect();
        asked.retain(|arguments| !arguments.iter().any(|argument| argument == "-limit"));
        asked.dedup();
        assert!(asked.len() <= 3, "{asked:#?}");
        let calls = |tool| scripted.calls(tool).len();
        costs.push(["condor_submit", "condor_transfer_data", "condor_qedit", "condor_rm"].map(calls));
        assert_eq!(scripted.journal().iter().filter(|e| e.event == Event::Left).count(), indices as usize);
    }
    assert_eq!(costs[0], costs[1]);
}

async fn while_nothing_is_to_be_done_no_tool_is_started() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.wish("b", 1).await;
    life.ends("a").await;
    life.gone("b").await;
    life.is_gone("b").await;
    scripted.empties().await;
    // The looks that what has just happened asked for may still come; then there must be peace for
    // longer than any of them takes.
    let quiet = Duration::from_secs(2);
    let mut known = 0;
    for _ in 0..20 {
        let calls = scripted.state().calls.len();
        if calls == known {
            return life.end().await;
        }
        known = calls;
        tokio::time::sleep(quiet).await;
    }
    panic!("tools are started again and again: {:#?}", scripted.state().calls.last());
}
