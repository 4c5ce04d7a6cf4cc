//! Every fault does what it says.

use htc_operator::condor::cli::CallError;
use htc_operator::condor::failure::Failure;

use super::{ask, row, see, start, start_rows, submit};
use crate::pool::{Event, Fault, Outage, Planned, Scripted};

super::claims![
    a_commit_may_be_followed_by_a_failure_without_an_id,
    a_commit_may_be_followed_by_silence,
    a_tool_that_hangs_dies_at_its_deadline_and_did_nothing,
    a_failure_before_the_commit_leaves_nothing,
    a_refusal_is_for_descriptions_with_the_bad_value_only,
    a_failed_spool_leaves_all_jobs_held,
    exit_code_zero_may_leave_all_jobs_held,
    an_outage_hits_every_tool_until_it_is_over,
    half_an_answer_is_no_answer,
    a_query_that_lags_does_not_see_what_came_after_its_start,
    a_submission_can_be_stopped_before_its_commit_and_after_its_id,
    jobs_vanish_history_is_forgotten_and_ids_come_again,
    faults_are_counted_by_calls,
    a_tool_may_end_with_any_exit_code_and_by_any_signal,
    a_schedd_may_take_few_jobs_at_once_and_their_files_may_travel_slowly,
];

async fn spooling(scripted: &Scripted) -> usize {
    see(&scripted.pool()).await.iter().filter(|ad| ad.is_spooling()).count()
}

/// What a failure is about, as far as its words tell.
fn about(ended: &Result<(), CallError>) -> Failure {
    Failure::of(ended.as_ref().unwrap_err(), false)
}

async fn a_tool_may_end_with_any_exit_code_and_by_any_signal() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::Exit { code: 127, text: "no library".to_owned() });
    let error = submit(&scripted, &["u/0/0/0"]).await.1;
    assert!(matches!(error, Err(CallError::Start { .. })), "{error:?}");
    scripted.fault("condor_submit", Fault::Signal(11));
    let error = submit(&scripted, &["u/0/0/0"]).await.1;
    assert!(matches!(error, Err(CallError::Died { signal: 11, .. })), "{error:?}");
    assert!(scripted.jobs().is_empty());
}

async fn a_schedd_may_take_few_jobs_at_once_and_their_files_may_travel_slowly() {
    let scripted = Scripted::new();
    scripted.plan(Planned::next("condor_submit", Fault::AtOnce(1)));
    let ended = submit(&scripted, &["u/0/0/0", "u/1/0/0"]).await.1;
    assert_eq!(about(&ended), Failure::Batch, "{ended:?}");
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    scripted.heal();
    scripted.plan(Planned::next("condor_submit", Fault::SlowAbove(1)));
    let (first, ended) = tokio::join!(submit(&scripted, &["v/0/0/0", "v/1/0/0"]), async {
        scripted.eventually("a tool hangs", |state| !state.hanging.is_empty()).await;
        scripted.pass_deadlines()
    });
    assert_eq!((first.0.as_deref(), ended), (Some("2.0"), 1));
    submit(&scripted, &["w/0/0/0"]).await.1.unwrap();
}

async fn a_commit_may_be_followed_by_a_failure_without_an_id() {
    let scripted = Scripted::new();
    let text = "ERROR: Failed to commit job submission into the queue.";
    scripted.fault("condor_submit", Fault::CommitThenFail(text.to_owned()));
    let (first, ended) = submit(&scripted, &["u/0/0/0", "u/1/0/0"]).await;
    assert_eq!(first, None);
    assert_eq!(about(&ended), Failure::Pool);
    assert_eq!(scripted.committed(), ["u/0/0/0", "u/1/0/0"]);
    assert_eq!(spooling(&scripted).await, 2);
}

async fn a_commit_may_be_followed_by_silence() {
    for print in [true, false] {
        let scripted = Scripted::new();
        scripted.fault("condor_submit", Fault::CommitThenHang { print });
        let mut submission = start(&scripted, &["u/0/0/0"]);
        scripted.eventually("a tool hangs", |state| !state.hanging.is_empty()).await;
        if print {
            assert_eq!(submission.first_id().await.map(|id| id.to_string()).as_deref(), Some("1.0"));
        }
        assert_eq!(scripted.pass_deadlines(), 1);
        let error = submission.finish().await.unwrap_err();
        assert!(matches!(error, CallError::Deadline { .. }), "{error}");
        assert_eq!(spooling(&scripted).await, 1);
    }
}

async fn a_tool_that_hangs_dies_at_its_deadline_and_did_nothing() {
    let scripted = Scripted::new();
    let pool = scripted.pool();
    scripted.fault("condor_q", Fault::Hang);
    let question = ask(&pool);
    let end = async {
        scripted.eventually("a tool hangs", |state| !state.hanging.is_empty()).await;
        scripted.pass_deadlines()
    };
    let (answer, killed) = tokio::join!(question, end);
    assert!(matches!(answer, Err(CallError::Deadline { .. })), "{answer:?}");
    assert_eq!(killed, 1);
}

async fn a_failure_before_the_commit_leaves_nothing() {
    let scripted = Scripted::new();
    let text = "ERROR: Failed submission for job 1.1 - aborting entire submit";
    scripted.fault("condor_submit", Fault::Fail(text.to_owned()));
    let (first, ended) = submit(&scripted, &["u/0/0/0"]).await;
    assert_eq!((first, scripted.committed()), (None, vec![]));
    assert_eq!(about(&ended), Failure::Pool);
}

async fn a_refusal_is_for_descriptions_with_the_bad_value_only() {
    let scripted = Scripted::new();
    let (marker, text) =
        ("poison".to_owned(), "ERROR: request_memory=poison is invalid, must eval to an integer.".to_owned());
    scripted.plan(Planned::next("condor_submit", Fault::Refuse { marker, text }));
    let with_memory = |key: &str, value: &str| {
        let mut row = row(&scripted, key);
        row.terms.options = vec![("request_memory".to_owned(), value.to_owned())];
        row
    };
    let (good, bad) = (with_memory("u/0/0/0", "1GB"), with_memory("u/1/0/0", "poison"));
    for rows in [vec![good.clone(), bad.clone()], vec![bad.clone()]] {
        let error = start_rows(&scripted, &rows).finish().await;
        assert_eq!(about(&error), Failure::Refused, "{error:?}");
    }
    start_rows(&scripted, &[good]).finish().await.unwrap();
    assert_eq!(scripted.committed(), ["u/0/0/0"]);
}

async fn a_failed_spool_leaves_all_jobs_held() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::SpoolFails);
    let (first, ended) = submit(&scripted, &["u/0/0/0", "u/1/0/0"]).await;
    assert_eq!(first.as_deref(), Some("1.0"));
    assert_eq!(about(&ended), Failure::Spool, "{ended:?}");
    assert_eq!(spooling(&scripted).await, 2);
}

async fn exit_code_zero_may_leave_all_jobs_held() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::ExitZeroButHeld);
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    assert_eq!(spooling(&scripted).await, 1);
    assert_eq!(scripted.start_jobs(), 0);
    scripted.stage_jobs();
    assert_eq!((spooling(&scripted).await, scripted.start_jobs()), (0, 1));
}

async fn an_outage_hits_every_tool_until_it_is_over() {
    for outage in [Outage::Pool, Outage::ScheddOff, Outage::ScheddKilled] {
        let scripted = Scripted::new();
        scripted.plan(Planned::everywhere(Fault::Outage(outage)));
        ask(&scripted.pool()).await.unwrap_err();
        let (first, ended) = submit(&scripted, &["u/0/0/0"]).await;
        assert_eq!(first, None);
        assert_eq!(about(&ended), Failure::Pool, "{outage:?}");
        scripted.heal();
        assert_eq!(see(&scripted.pool()).await, []);
    }
}

async fn half_an_answer_is_no_answer() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    for code in [0, 1] {
        scripted.fault("condor_q", Fault::HalfOutput { code });
        let error = ask(&scripted.pool()).await.unwrap_err();
        assert_eq!(matches!(error, CallError::Unreadable { .. }), code == 0, "{error}");
    }
    assert_eq!(see(&scripted.pool()).await.len(), 1);
}

async fn a_query_that_lags_does_not_see_what_came_after_its_start() {
    let scripted = Scripted::new();
    let pool = scripted.pool();
    scripted.fault("condor_q", Fault::Lag);
    let submission = async {
        scripted.eventually("a query has begun", |state| !state.calls.is_empty()).await;
        submit(&scripted, &["u/0/0/0"]).await.1
    };
    let (answer, submitted) = tokio::join!(ask(&pool), submission);
    submitted.unwrap();
    assert_eq!(answer.unwrap(), []);
    assert_eq!(see(&pool).await.len(), 1);
}

async fn a_submission_can_be_stopped_before_its_commit_and_after_its_id() {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::WaitBeforeCommit);
    let submission = start(&scripted, &["u/0/0/0"]);
    scripted.eventually("the tool has begun", |state| !state.calls.is_empty()).await;
    assert_eq!(see(&scripted.pool()).await, []);
    scripted.let_go_on();
    submission.finish().await.unwrap();

    scripted.fault("condor_submit", Fault::WaitAfterId);
    let mut submission = start(&scripted, &["u/1/0/0"]);
    assert!(submission.first_id().await.is_some());
    assert_eq!(spooling(&scripted).await, 1);
    scripted.let_go_on();
    submission.finish().await.unwrap();
    assert_eq!(spooling(&scripted).await, 0);
}

async fn jobs_vanish_history_is_forgotten_and_ids_come_again() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    scripted.fault("condor_q", Fault::VanishJob("u/0/0/0".to_owned()));
    assert_eq!(see(&scripted.pool()).await, []);
    assert_eq!(scripted.journal().last().map(|entry| entry.event), Some(Event::Vanished));
    scripted.change(|state| state.history.push(serde_json::Map::new()));
    scripted.fault("condor_submit", Fault::ForgetHistory);
    scripted.fault("condor_submit", Fault::ReuseIds);
    assert_eq!(submit(&scripted, &["v/0/0/0"]).await.0.as_deref(), Some("1.0"));
    assert!(scripted.history().is_empty());
}

async fn faults_are_counted_by_calls() {
    let scripted = Scripted::new();
    let (pool, no) = (scripted.pool(), || Fault::Fail("no".to_owned()));
    scripted.plan(Planned::next("condor_q", no()).after(1).times(2));
    scripted.plan(Planned::next("condor_q", no()).after(4).always());
    let mut answers: Vec<bool> = Vec::new();
    for _ in 0..6 {
        answers.push(ask(&pool).await.is_ok());
    }
    assert_eq!(answers, [true, false, false, true, false, false]);
}
