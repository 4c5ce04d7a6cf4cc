//! A job that is not in the queue has not ended for that: it ends when HTCondor's history shows it, or after
//! a long time, and what comes back goes on.

use std::time::Duration;

use htc_core::workload::progress::{Outcome, Progress};
use htc_core::workload::report::Phase;
use htc_operator::engine::{Awaited, Options, Outputs, Tracking, View, Want};
use serde_json::json;

use super::crashes::once;
use super::reporting::report;
use crate::life::{Life, options, outcomes, uid, wish};
use crate::pool::{Ad, Ending, Event, Fault, Planned, Scripted};

super::claims![
    an_empty_queue_ends_nothing_and_what_returns_goes_on,
    the_history_shows_how_a_missing_job_ended,
    a_gone_workload_is_not_buried_while_its_job_may_run,
    a_gone_workload_whose_job_the_history_shows_is_buried,
    a_lost_job_that_returns_is_left_alone_and_its_outputs_come_home,
    a_lost_job_that_may_start_only_once_is_removed_when_it_returns,
    outputs_of_a_job_that_was_lost_after_its_last_report_come_home_when_it_is_back_in_any_life,
    what_was_lost_in_an_earlier_life_is_not_missing_in_this_one,
];

/// A life in which a missing job is not lost for a day.
async fn patient(scripted: &Scripted) -> Life {
    let options =
        Options { lost_after: Duration::from_secs(86_400), ..options(&scripted.path().join("data")) };
    Life::begin(options, scripted.pool()).await
}

async fn running(scripted: &Scripted, life: &Life, indices: u32) {
    life.open_door();
    life.wish("a", indices).await;
    for index in 0..indices {
        life.is_queued("a", index).await;
    }
    scripted.start_jobs();
    for index in 0..indices {
        life.runs("a", index).await;
    }
}

fn empty(scripted: &Scripted) {
    scripted.plan(Planned::next("condor_q", Fault::NothingDone).always());
}

fn are_missing(view: &View) -> bool {
    view.jobs.iter().all(|job| job.tracking == Tracking::Missing)
}

async fn an_empty_queue_ends_nothing_and_what_returns_goes_on() {
    let scripted = Scripted::new();
    let life = patient(&scripted).await;
    running(&scripted, &life, 3).await;
    empty(&scripted);
    let view = life.until("a", "they are missing", are_missing).await;
    life.until("a", "it is an alarm", |view| view.vanished.is_some()).await;
    assert_eq!((life.metric("htc_jobs_missing"), life.metric("htc_queue_vanished")), (3, 1));
    assert!(view.jobs.iter().all(|job| matches!(job.progress, Progress::Running { .. })));
    scripted.calls_more("condor_q", 20).await;
    scripted
        .eventually("the history was asked", |s| s.calls.iter().any(|c| c.tool == "condor_history"))
        .await;
    assert_eq!(outcomes(&life.view("a")), [None; 3]);
    scripted.heal();
    life.until("a", "they are back", |view| view.jobs.iter().all(|job| job.tracking == Tracking::Good)).await;
    life.until("a", "the alarm is over", |view| view.vanished.is_none()).await;
    assert_eq!((life.metric("htc_jobs_missing"), life.metric("htc_queue_vanished")), (0, 0));
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 3]);
    scripted.empties().await;
    once(&scripted);
    life.end().await;
}

async fn the_history_shows_how_a_missing_job_ended() {
    let scripted = Scripted::new();
    let life = patient(&scripted).await;
    running(&scripted, &life, 3).await;
    // An admin takes them out by force: one had ended by itself, and of one not even history is left.
    scripted.change(|state| {
        let mut jobs: Vec<Ad> = std::mem::take(&mut state.queue);
        let now = state.now();
        let ended = json!({ "JobStatus": 4, "ExitCode": 3, "ExitBySignal": false, "CompletionDate": now });
        let removed = json!({ "JobStatus": 3, "RemoveReason": "via condor_rm -forcex (by user root)" });
        crate::tools::job::set(&mut jobs[0], ended);
        crate::tools::job::set(&mut jobs[1], removed);
        jobs.truncate(2);
        state.history.extend(jobs);
    });
    let expected = [Some(Outcome::ExitCode(3)), Some(Outcome::Removed), None];
    life.until("a", "the history has told", |view| outcomes(view) == expected).await;
    assert_eq!(life.view("a").jobs[2].tracking, Tracking::Missing);
    assert_eq!(scripted.commits(), 1);
    life.end().await;
}

async fn a_gone_workload_is_not_buried_while_its_job_may_run() {
    let scripted = Scripted::new();
    let life = patient(&scripted).await;
    running(&scripted, &life, 1).await;
    empty(&scripted);
    life.until("a", "it is missing", are_missing).await;
    life.gone("a").await;
    scripted.calls_more("condor_q", 10).await;
    assert_eq!(life.view("a").want, Want::Gone);
    assert_eq!(life.engine.awaited(&uid("a")), Some(Awaited::Missing { jobs: 1 }));
    scripted.heal();
    life.is_gone("a").await;
    assert_eq!(scripted.jobs(), Vec::<Ad>::new());
    life.end().await;
}

async fn a_gone_workload_whose_job_the_history_shows_is_buried() {
    let scripted = Scripted::new();
    let life = patient(&scripted).await;
    running(&scripted, &life, 1).await;
    scripted.change(|state| {
        let mut ad = state.queue.remove(0);
        crate::tools::job::set(&mut ad, json!({ "JobStatus": 3, "RemoveReason": "by force" }));
        state.history.push(ad);
    });
    life.gone("a").await;
    life.is_gone("a").await;
    life.end().await;
}

/// A workload whose job is lost, in the eyes of its door too, and then back.
async fn lost_and_back(scripted: &Scripted, restart_after_eviction: bool) -> Life {
    let life = Life::on(scripted).await;
    life.open_door();
    let mut wish = wish("a", 1);
    wish.workload.restart_after_eviction = restart_after_eviction;
    life.try_wish(wish).await.unwrap();
    life.is_queued("a", 0).await;
    scripted.start_jobs();
    life.runs("a", 0).await;
    empty(scripted);
    assert_eq!(life.ends("a").await, [Outcome::LostTrack]);
    life.until("a", "it is published", |view| view.jobs[0].published).await;
    scripted.heal();
    life
}

async fn a_lost_job_that_returns_is_left_alone_and_its_outputs_come_home() {
    let scripted = Scripted::new();
    let life = lost_and_back(&scripted, true).await;
    scripted.calls_more("condor_q", 3).await;
    assert_eq!(scripted.jobs()[0]["JobStatus"], 2);
    scripted.auto_run(0);
    scripted.empties().await;
    assert!(scripted.path().join("data/jobs/a/0.0.0/work/out.txt").exists());
    assert_eq!(outcomes(&life.view("a")), [Some(Outcome::LostTrack)], "what was told stays");
    life.end().await;
}

async fn a_lost_job_that_may_start_only_once_is_removed_when_it_returns() {
    let scripted = Scripted::new();
    let life = lost_and_back(&scripted, false).await;
    scripted.empties().await;
    assert!(scripted.journal().iter().any(|entry| entry.event == Event::Removed));
    life.end().await;
}

/// A workload whose job has said its last word and is lost, in the eyes of its door too, while its outputs are in the pool.
async fn lost_after_its_last_report(scripted: &Scripted) -> Life {
    let life = Life::on(scripted).await;
    running(scripted, &life, 1).await;
    empty(scripted);
    life.engine.report(report(1, 1, Phase::Done)).await.unwrap();
    scripted.finish_jobs(Ending::code(0));
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    let view = life.until("a", "it is published", |view| view.jobs[0].published).await;
    assert!(view.jobs[0].outputs_lost);
    life
}

async fn outputs_of_a_job_that_was_lost_after_its_last_report_come_home_when_it_is_back_in_any_life() {
    for restarts in [false, true] {
        let scripted = Scripted::new();
        let mut life = lost_after_its_last_report(&scripted).await;
        if restarts {
            life.end().await;
            life = Life::on(&scripted).await;
            life.open_door();
        }
        scripted.heal();
        life.engine.look();
        life.until("a", "it is home", |view| matches!(view.outputs, Outputs::Home(_))).await;
        scripted.empties().await;
        life.end().await;
    }
}

async fn what_was_lost_in_an_earlier_life_is_not_missing_in_this_one() {
    let scripted = Scripted::new();
    lost_after_its_last_report(&scripted).await.end().await;
    let life = patient(&scripted).await;
    life.is_ready().await;
    scripted.calls_more("condor_q", 2).await;
    assert_eq!(life.view("a").jobs[0].tracking, Tracking::Good);
    assert_eq!(life.metric("htc_jobs_missing"), 0);
    life.end().await;
}
