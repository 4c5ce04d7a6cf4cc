//! A `condor_submit` may outlive the operator that started it: its lock holds recovery back until it
//! is dead.

use std::process::{Child, Command, Stdio};

use htc_core::workload::progress::Outcome;

use super::crashes::once;
use crate::harness::Plan;
use crate::life::Life;
use crate::pool::{Event, Fault, Scripted};

super::claims![
    what_a_tool_of_an_earlier_life_commits_later_is_adopted_and_not_submitted_again,
    what_a_tool_of_an_earlier_life_has_committed_is_left_alone_until_it_is_dead,
    what_a_tool_of_an_earlier_life_has_told_the_id_of_is_left_alone_until_it_is_dead,
];

/// Starts the engine in a process of its own that wishes one job.
fn operator(scripted: &Scripted) -> Child {
    let workloads = vec![("a".to_owned(), 1)];
    let plan = Plan {
        data: scripted.path().join("data"),
        workloads,
        again: false,
        gone: None,
        collect: false,
        evicted: false,
        once: false,
    };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["engine", &serde_json::to_string(&plan).unwrap()]).env_clear();
    command.envs(scripted.environment()).stdin(Stdio::null()).spawn().unwrap()
}

fn kill(mut operator: Child) {
    operator.kill().unwrap();
    operator.wait().unwrap();
}

async fn what_a_tool_of_an_earlier_life_commits_later_is_adopted_and_not_submitted_again() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::WaitBeforeCommit);
    let first = operator(&scripted);
    scripted.eventually("the tool has begun", |s| s.calls.iter().any(|c| c.tool == "condor_submit")).await;
    kill(first);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.is_ready().await;
    // Complete answers without the job prove nothing: the tool may still commit.
    scripted.calls_more("condor_q", 4).await;
    assert_eq!(scripted.calls("condor_submit").len(), 1);
    scripted.auto_run(0);
    scripted.let_go_on();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    life.end().await;
}

async fn what_a_tool_of_an_earlier_life_has_committed_is_left_alone_until_it_is_dead() {
    hang(false).await;
}

async fn what_a_tool_of_an_earlier_life_has_told_the_id_of_is_left_alone_until_it_is_dead() {
    hang(true).await;
}

async fn hang(print: bool) {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::CommitThenHang { print });
    let first = operator(&scripted);
    scripted.eventually("the tool hangs", |state| !state.hanging.is_empty()).await;
    kill(first);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.is_ready().await;
    scripted.calls_more("condor_q", 4).await;
    let events: Vec<Event> = scripted.journal().into_iter().map(|entry| entry.event).collect();
    assert_eq!(events, [Event::Committed], "as long as the tool lives");
    scripted.auto_run(0);
    assert_eq!(scripted.pass_deadlines(), 1);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0", "a/0/0/1"]);
    once(&scripted);
    life.end().await;
}
