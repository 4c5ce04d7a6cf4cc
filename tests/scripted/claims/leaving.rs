//! A workload that shall be gone: its jobs leave, and only then it is.

use htc_core::workload::progress::Outcome;
use htc_operator::engine::{Awaited, Options, Want, WishError};

use super::submit;
use crate::life::{DOOR, Life, options, uid, wish};
use crate::pool::{Event, Fault, Outage, Planned, Scripted};

super::claims![
    a_workload_whose_jobs_are_idle_leaves,
    a_workload_whose_jobs_run_leaves,
    a_workload_whose_jobs_are_held_leaves,
    a_workload_whose_jobs_have_ended_leaves_though_nobody_took_the_ends,
    a_workload_leaves_only_when_the_tool_that_submits_it_is_dead,
    what_a_dying_tool_commits_of_a_leaving_workload_is_removed,
    nothing_is_gone_while_the_pool_does_not_answer,
    what_was_deleted_is_not_run_again,
    one_workload_leaves_and_the_other_stays,
    a_job_of_a_workload_that_is_gone_is_removed,
    one_that_cannot_leave_says_what_it_waits_for,
    an_abandoned_workload_is_gone_at_once_and_its_jobs_when_the_pool_is_back,
    also_when_the_operator_was_started_again_meanwhile,
    what_a_tool_commits_of_an_abandoned_workload_is_removed,
    an_abandoned_workload_takes_no_room_in_the_queue,
];

async fn queued(scripted: &Scripted, indices: u32) -> Life {
    let life = Life::on(scripted).await;
    life.wish("a", indices).await;
    life.is_queued("a", indices - 1).await;
    life
}

/// Wishes it gone, waits until it is, and sees that nothing is left.
async fn leaves(scripted: &Scripted, life: Life) {
    life.gone("a").await;
    life.is_gone("a").await;
    assert!(scripted.jobs().is_empty());
    assert!(!scripted.path().join("data/jobs/a").exists());
    life.end().await;
}

async fn a_workload_whose_jobs_are_idle_leaves() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 3).await;
    leaves(&scripted, life).await;
}

async fn a_workload_whose_jobs_run_leaves() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 3).await;
    scripted.start_jobs();
    life.runs("a", 0).await;
    leaves(&scripted, life).await;
}

async fn a_workload_whose_jobs_are_held_leaves() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 1).await;
    scripted.start_jobs();
    scripted.hold("a/0/0/0", 12, 2, "a file was not there");
    leaves(&scripted, life).await;
}

async fn a_workload_whose_jobs_have_ended_leaves_though_nobody_took_the_ends() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 2).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
    leaves(&scripted, life).await;
}

async fn a_workload_leaves_only_when_the_tool_that_submits_it_is_dead() {
    for hang in [false, true] {
        let scripted = Scripted::new();
        let print = true;
        let fault = if hang { Fault::CommitThenHang { print } } else { Fault::WaitBeforeCommit };
        scripted.fault("condor_submit", fault);
        let life = Life::on(&scripted).await;
        life.wish("a", 2).await;
        let begun = |state: &crate::tools::state::State| match hang {
            true => !state.hanging.is_empty(),
            false => state.calls.iter().any(|call| call.tool == "condor_submit"),
        };
        scripted.eventually("the tool is at work", begun).await;
        life.gone("a").await;
        scripted.calls_more("condor_q", 4).await;
        assert_eq!(life.view("a").want, Want::Gone);
        scripted.let_go_on();
        scripted.pass_deadlines();
        life.is_gone("a").await;
        assert!(scripted.jobs().is_empty());
        assert!(!scripted.journal().iter().any(|entry| entry.event == Event::Started));
        assert_eq!(scripted.calls("condor_submit").len(), 1);
        life.end().await;
    }
}

async fn what_a_dying_tool_commits_of_a_leaving_workload_is_removed() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::CommitThenFail("ERROR: Failed to spool job files.".to_owned()));
    let life = Life::on(&scripted).await;
    life.wish("a", 2).await;
    scripted.eventually("it is committed", |state| state.commits == 1).await;
    leaves(&scripted, life).await;
    assert_eq!(scripted.committed().iter().filter(|key| key.ends_with("/0/0")).count(), 2);
}

async fn nothing_is_gone_while_the_pool_does_not_answer() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 1).await;
    scripted.plan(Planned::everywhere(Fault::Outage(Outage::ScheddKilled)));
    life.gone("a").await;
    scripted.calls_more("condor_q", 2).await;
    assert_eq!(life.view("a").want, Want::Gone);
    scripted.heal();
    // Tools that say "done" and have done nothing are found out by the next look.
    scripted.fault("condor_rm", Fault::NothingDone);
    scripted.fault("condor_qedit", Fault::NothingDone);
    scripted.plan(Planned::next("condor_q", Fault::HalfOutput { code: 0 }).times(2));
    leaves(&scripted, life).await;
}

async fn what_was_deleted_is_not_run_again() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 1).await;
    life.gone("a").await;
    assert!(matches!(life.try_wish(wish("a", 1)).await, Err(WishError::Deleted(_))));
    life.is_gone("a").await;
    life.end().await;
    let life = Life::on(&scripted).await;
    assert!(matches!(life.try_wish(wish("a", 1)).await, Err(WishError::Deleted(_))));
    assert_eq!(life.view("a").want, Want::Tombstone);
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    life.end().await;
}

async fn one_workload_leaves_and_the_other_stays() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 2).await;
    life.wish("b", 2).await;
    life.is_queued("b", 1).await;
    life.gone("a").await;
    life.is_gone("a").await;
    let left: Vec<String> = scripted.jobs().iter().map(|ad| ad["HTCOperatorUid"].to_string()).collect();
    assert_eq!(left, ["\"b\"", "\"b\""]);
    life.end().await;
}

async fn a_job_of_a_workload_that_is_gone_is_removed() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 1).await;
    life.gone("a").await;
    life.is_gone("a").await;
    submit(&scripted, &["a/0/0/3"]).await.1.unwrap();
    // Something that makes the engine look.
    life.wish("b", 1).await;
    scripted
        .eventually("the late job is gone", |s| s.queue.iter().all(|ad| ad["HTCOperatorUid"] == "b"))
        .await;
    life.end().await;
}

/// Lets go of a workload; nothing is waited for.
async fn abandon(life: &Life, name: &str) {
    life.engine.abandon(&uid(name), DOOR).await.unwrap();
    assert_eq!(life.view(name).want, Want::Tombstone);
    assert!(life.view(name).jobs.is_empty());
}

/// A workload of two copies, while the tool that submits it hangs.
async fn hanging(scripted: &Scripted, options: Options) -> Life {
    scripted.fault("condor_submit", Fault::CommitThenHang { print: true });
    let life = Life::begin(options, scripted.pool()).await;
    life.wish("a", 2).await;
    scripted.eventually("the tool hangs", |state| !state.hanging.is_empty()).await;
    life.until("a", "the ids are known", |view| view.jobs.iter().all(|job| job.progress.job().is_some()))
        .await;
    life
}

async fn one_that_cannot_leave_says_what_it_waits_for() {
    let scripted = Scripted::new();
    let life = hanging(&scripted, options(&scripted.path().join("data"))).await;
    assert_eq!(life.engine.awaited(&uid("a")), None, "it shall run");
    life.gone("a").await;
    let awaited = |wanted: fn(&Awaited) -> bool| {
        let engine = life.engine.clone();
        move |_: &htc_operator::engine::View| engine.awaited(&uid("a")).as_ref().is_some_and(wanted)
    };
    life.until("a", "the submission", awaited(|a| matches!(a, Awaited::Submission { .. }))).await;
    scripted.plan(Planned::everywhere(Fault::Outage(Outage::ScheddKilled)));
    life.until(
        "a",
        "the pool",
        awaited(|a| matches!(a, Awaited::Pool { why, .. } if why.contains("SECMAN"))),
    )
    .await;
    scripted.heal();
    // The tools say that they have removed it.
    scripted.plan(Planned::next("condor_rm", Fault::NothingDone).always());
    scripted.pass_deadlines();
    life.until("a", "its jobs", awaited(|a| matches!(a, Awaited::Removal { jobs: 2 }))).await;
    scripted.heal();
    life.is_gone("a").await;
    assert_eq!(life.engine.awaited(&uid("a")), None);
    life.end().await;
}

async fn an_abandoned_workload_is_gone_at_once_and_its_jobs_when_the_pool_is_back() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 3).await;
    scripted.start_jobs();
    scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    life.gone("a").await;
    abandon(&life, "a").await;
    assert!(!scripted.path().join("data/jobs/a").exists());
    scripted.calls_more("condor_q", 1).await;
    assert_eq!(scripted.jobs().len(), 3);
    scripted.heal();
    scripted.empties().await;
    life.end().await;
}

async fn also_when_the_operator_was_started_again_meanwhile() {
    let scripted = Scripted::new();
    let life = queued(&scripted, 3).await;
    scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    abandon(&life, "a").await;
    life.end().await;
    scripted.heal();
    let life = Life::on(&scripted).await;
    scripted.empties().await;
    assert_eq!(life.view("a").want, Want::Tombstone);
    life.end().await;
}

async fn what_a_tool_commits_of_an_abandoned_workload_is_removed() {
    for wait in [Fault::WaitBeforeCommit, Fault::WaitAfterId] {
        let scripted = Scripted::new();
        scripted.fault("condor_submit", wait);
        let life = Life::on(&scripted).await;
        life.wish("a", 2).await;
        scripted.eventually("it has begun", |s| s.calls.iter().any(|c| c.tool == "condor_submit")).await;
        abandon(&life, "a").await;
        scripted.calls_more("condor_q", 2).await;
        scripted.let_go_on();
        scripted.eventually("it is committed", |state| state.commits == 1).await;
        scripted.empties().await;
        assert!(!scripted.journal().iter().any(|entry| entry.event == Event::Started));
        assert!(life.view("a").jobs.is_empty());
        life.end().await;
    }
}

async fn an_abandoned_workload_takes_no_room_in_the_queue() {
    let scripted = Scripted::new();
    let data = scripted.path().join("data");
    let life = hanging(&scripted, Options { max_jobs_in_queue: 2, ..options(&data) }).await;
    abandon(&life, "a").await;
    scripted.pass_deadlines();
    life.wish("b", 2).await;
    life.is_queued("b", 1).await;
    // The look that shows them may be the one that has the others removed.
    scripted.eventually("only these two are left", |state| state.queue.len() == 2).await;
    let intents = || std::fs::read_dir(data.join("intents")).unwrap().count();
    scripted.eventually("both submissions are settled", |_| intents() == 0).await;
    life.end().await;
}
