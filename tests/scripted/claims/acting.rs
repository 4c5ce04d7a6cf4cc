//! Removal and acknowledgement: who leaves the queue, and when.

use std::time::Duration;

use htc_operator::condor::{act, ad::State};

use super::{see, submit, whose};
use crate::pool::{Event, Fault, Outage, Planned, Scripted};

super::claims![
    a_removed_job_stays_until_it_is_acknowledged,
    a_job_acknowledged_before_its_removal_leaves_with_it,
    a_completed_job_keeps_its_exit_code_through_removal,
    a_constraint_on_spooling_jobs_spares_the_others,
    nothing_to_remove_is_told_from_an_outage,
    ten_days_end_the_wait_for_our_acknowledgement,
    a_deed_may_be_done_although_the_tool_fails,
    a_tool_may_say_done_and_have_done_nothing,
];

async fn one(scripted: &Scripted) -> String {
    submit(scripted, &["u/0/0/0"]).await.1.unwrap();
    let uid = "u".parse().unwrap();
    whose().of_workloads([&uid])
}

async fn a_removed_job_stays_until_it_is_acknowledged() {
    let (scripted, pool) = scripted();
    let constraint = one(&scripted).await;
    act::remove(&pool, &constraint).await.unwrap();
    assert!(matches!(&see(&pool).await[0].state, State::Removed { reason } if reason.contains("alice")));
    act::remove(&pool, &constraint).await.unwrap();
    assert!(scripted.history().is_empty());
    act::acknowledge(&pool, &constraint).await.unwrap();
    assert_eq!(see(&pool).await, []);
    assert_eq!(scripted.history().len(), 1);
}

fn scripted() -> (Scripted, htc_operator::condor::pool::Pool) {
    let scripted = Scripted::new();
    let pool = scripted.pool();
    (scripted, pool)
}

async fn a_job_acknowledged_before_its_removal_leaves_with_it() {
    let (scripted, pool) = scripted();
    let constraint = one(&scripted).await;
    act::acknowledge(&pool, &constraint).await.unwrap();
    assert!(see(&pool).await[0].acknowledged);
    act::remove(&pool, &constraint).await.unwrap();
    assert_eq!(see(&pool).await, []);
}

async fn a_completed_job_keeps_its_exit_code_through_removal() {
    let (scripted, pool) = scripted();
    let constraint = one(&scripted).await;
    scripted.run_jobs(7);
    act::acknowledge(&pool, &constraint).await.unwrap();
    assert_eq!(see(&pool).await.len(), 1);
    act::remove(&pool, &constraint).await.unwrap();
    let history = scripted.history();
    assert_eq!((&history[0]["JobStatus"], &history[0]["ExitCode"]), (&3.into(), &7.into()));
}

async fn a_constraint_on_spooling_jobs_spares_the_others() {
    let (scripted, pool) = scripted();
    one(&scripted).await;
    scripted.fault("condor_submit", Fault::ExitZeroButHeld);
    submit(&scripted, &["u/0/0/1"]).await.1.unwrap();
    let constraint =
        "member(HTCOperatorKey, {\"u/0/0/0\",\"u/0/0/1\"}) && JobStatus == 5 && HoldReasonCode == 16";
    act::remove(&pool, constraint).await.unwrap();
    let removed = scripted.journal().into_iter().filter(|entry| entry.event == Event::Removed);
    assert_eq!(removed.map(|entry| entry.key).collect::<Vec<_>>(), ["u/0/0/1"]);
}

async fn nothing_to_remove_is_told_from_an_outage() {
    let (scripted, pool) = scripted();
    act::remove(&pool, "HTCOperatorUid == \"x\"").await.unwrap();
    for outage in [Outage::Pool, Outage::ScheddOff, Outage::ScheddKilled] {
        scripted.plan(Planned::everywhere(Fault::Outage(outage)));
        assert!(act::remove(&pool, "HTCOperatorUid == \"x\"").await.is_err(), "{outage:?}");
        assert!(act::acknowledge(&pool, "HTCOperatorUid == \"x\"").await.is_err(), "{outage:?}");
        scripted.heal();
    }
}

async fn ten_days_end_the_wait_for_our_acknowledgement() {
    let (scripted, pool) = scripted();
    one(&scripted).await;
    scripted.run_jobs(0);
    scripted.tidy();
    assert_eq!(see(&pool).await.len(), 1);
    scripted.pass(Duration::from_secs(864_000));
    scripted.tidy();
    assert_eq!(see(&pool).await, []);
    assert_eq!(scripted.history().len(), 1);
}

async fn a_deed_may_be_done_although_the_tool_fails() {
    let (scripted, pool) = scripted();
    let constraint = one(&scripted).await;
    scripted.fault("condor_rm", Fault::CommitThenFail("SECMAN:2007:lost".to_owned()));
    act::remove(&pool, &constraint).await.unwrap_err();
    assert!(see(&pool).await[0].is_over());
}

async fn a_tool_may_say_done_and_have_done_nothing() {
    let (scripted, pool) = scripted();
    let constraint = one(&scripted).await;
    scripted.fault("condor_rm", Fault::NothingDone);
    scripted.fault("condor_qedit", Fault::NothingDone);
    act::remove(&pool, &constraint).await.unwrap();
    act::acknowledge(&pool, &constraint).await.unwrap();
    let ads = see(&pool).await;
    assert_eq!((&ads[0].state, ads[0].acknowledged), (&State::Idle, false));
}
