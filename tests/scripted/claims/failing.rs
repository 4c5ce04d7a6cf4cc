//! Submissions that fail end no job by themselves, leave nothing behind, and hold up no other.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::future::join_all;
use htc_core::workload::progress::Outcome;
use htc_operator::engine::{Options, View};
use rusqlite::Connection;

use super::crashes::once;
use crate::harness::Plan;
use crate::life::{Life, PATIENCE, options, outcomes};
use crate::pool::{Fault, Outage, Planned, Scripted};
use crate::tools::job::{KEY, text};

super::claims![
    no_words_that_are_on_no_list_end_a_job,
    a_job_that_fails_alone_is_told_of_with_the_words_of_the_tool_and_holds_up_no_other,
    what_the_schedd_refuses_is_tried_again,
    a_refusal_is_remembered_across_a_restart,
    a_submission_that_came_to_nothing_leaves_no_description,
    descriptions_of_a_job_that_has_failed_are_removed,
    what_earlier_releases_have_left_is_removed_at_the_start,
    a_limit_of_the_schedd_s_submissions_is_learnt_once,
    a_batch_whose_files_do_not_arrive_in_time_goes_in_smaller_ones,
    files_that_do_not_arrive_end_no_job_and_are_told_of,
    a_tool_that_another_host_has_started_is_waited_for_though_its_lock_is_free,
    a_tool_that_an_earlier_release_has_started_is_waited_for_as_well,
];

const NO: &str = "ERROR: Failed to commit job submission into the queue.\nERROR: No memory, no job.";

fn patient(scripted: &Scripted, refused_after: Duration) -> Options {
    Options { refused_after, ..options(&scripted.path().join("data")) }
}

async fn no_words_that_are_on_no_list_end_a_job() {
    let fail = |text: &str| Fault::Fail(text.to_owned());
    let exit = |code| Fault::Exit { code, text: "error while loading shared libraries".to_owned() };
    let faults = [
        fail("what is this?"),
        fail("ERROR: Failed to create cluster"),
        fail("ERROR: Failed to create proc"),
        fail("ERROR: User alice is disabled\nUser is disabled"),
        fail("ERROR: Can't access executable file /opt/htc-sender"),
        fail("ERROR: write: No space left on device"),
        exit(125),
        exit(126),
        exit(127),
        exit(255),
        Fault::Signal(6),
        Fault::Signal(11),
        Fault::Signal(15),
    ];
    join_all(faults.into_iter().map(async |fault| {
        let scripted = Scripted::new();
        scripted.auto_run(0);
        scripted.plan(Planned::next("condor_submit", fault.clone()).times(3));
        let life = Life::on(&scripted).await;
        life.open_door();
        life.wish("a", 1).await;
        assert_eq!(life.ends("a").await, [Outcome::Succeeded], "{fault:?}");
        assert_eq!(scripted.committed(), ["a/0/0/3"], "{fault:?}");
        life.end().await;
    }))
    .await;
}

async fn a_job_that_fails_alone_is_told_of_with_the_words_of_the_tool_and_holds_up_no_other() {
    let scripted = Scripted::new();
    let (marker, text) = ("poison/0/0/".to_owned(), "what is this?".to_owned());
    scripted.plan(Planned::next("condor_submit", Fault::Refuse { marker, text }));
    let mut options = patient(&scripted, Duration::ZERO);
    options.max_jobs_in_queue = 3;
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life.wish("poison", 1).await;
    life.wish("other", 9).await;
    let told = life.until("poison", "its trouble is told", |view| view.trouble.is_some()).await;
    let obstacle = told.trouble.unwrap();
    assert_eq!(obstacle.reason, "SubmitFailed");
    assert!(obstacle.why.contains("what is this?"), "{}", obstacle.why);
    life.is_queued("other", 0).await;
    let other = life.view("other");
    assert!(other.waiting > 0 && other.trouble.is_none(), "{other:#?}");
    scripted.auto_run(0);
    assert_eq!(life.ends("other").await, [Outcome::Succeeded; 9]);
    assert_eq!(outcomes(&life.view("poison")).into_iter().flatten().next(), None);
    scripted.heal();
    assert_eq!(life.ends("poison").await, [Outcome::Succeeded]);
    assert!(life.view("poison").trouble.is_none());
    once(&scripted);
    life.end().await;
}

async fn what_the_schedd_refuses_is_tried_again() {
    let scripted = Scripted::new();
    let (marker, text) = ("a/0/0/".to_owned(), NO.to_owned());
    scripted.plan(Planned::next("condor_submit", Fault::Refuse { marker, text }));
    let life = Life::begin(patient(&scripted, Duration::from_secs(3_600)), scripted.pool()).await;
    life.open_door();
    life.wish("a", 1).await;
    let is_told =
        |view: &View| view.trouble.as_ref().is_some_and(|obstacle| obstacle.why.contains("No memory"));
    life.until("a", "it is told", is_told).await;
    scripted.calls_more("condor_submit", 2).await;
    assert!(life.view("a").jobs.iter().all(|job| job.progress.end().is_none()));
    life.end().await;
}

async fn a_refusal_is_remembered_across_a_restart() {
    let scripted = Scripted::new();
    let (marker, text) = ("a/0/0/".to_owned(), NO.to_owned());
    scripted.plan(Planned::next("condor_submit", Fault::Refuse { marker, text }));
    let hour = Duration::from_secs(3_600);
    let life = Life::begin(patient(&scripted, hour), scripted.pool()).await;
    life.wish("a", 1).await;
    scripted.calls_more("condor_submit", 2).await;
    life.end().await;
    let store = Connection::open(scripted.path().join("data/htcjobs.db")).unwrap();
    assert_eq!(store.execute("UPDATE refused SET since = since - 3600", []).unwrap(), 1);
    let life = Life::begin(patient(&scripted, hour), scripted.pool()).await;
    life.open_door();
    assert_eq!(life.ends("a").await, [Outcome::SubmitRefused]);
    let end = life.progress("a", 0).unwrap().end().cloned().unwrap();
    assert!(end.message.contains("No memory, no job."), "{}", end.message);
    let left: i64 = store.query_row("SELECT count(*) FROM refused", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    life.end().await;
}

/// All descriptions of jobs in the data folder.
fn descriptions(scripted: &Scripted) -> Vec<PathBuf> {
    let inside = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let workloads = inside(&scripted.path().join("data/jobs"));
    let jobs = workloads.flat_map(|workload| inside(&workload).collect::<Vec<_>>());
    jobs.map(|job| job.join("job.json")).filter(|file| file.exists()).collect()
}

async fn until_no_description_is_left(scripted: &Scripted) {
    let until = Instant::now() + PATIENCE;
    while !descriptions(scripted).is_empty() {
        assert!(Instant::now() < until, "left: {:#?}", descriptions(scripted));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_submission_that_came_to_nothing_leaves_no_description() {
    for fault in [Fault::Outage(Outage::ScheddOff), Fault::Fail("what is this?".to_owned())] {
        let scripted = Scripted::new();
        scripted.plan(Planned::next("condor_submit", fault).times(3));
        let life = Life::on(&scripted).await;
        life.open_door();
        life.wish("a", 4).await;
        scripted.calls_more("condor_submit", 3).await;
        scripted.auto_run(0);
        assert_eq!(life.ends("a").await, [Outcome::Succeeded; 4]);
        until_no_description_is_left(&scripted).await;
        let folders = || std::fs::read_dir(scripted.path().join("data/jobs/a")).unwrap().count();
        let until = Instant::now() + PATIENCE;
        while folders() > 4 {
            assert!(Instant::now() < until, "{} folders of 4 copies", folders());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        life.end().await;
    }
}

async fn descriptions_of_a_job_that_has_failed_are_removed() {
    let scripted = Scripted::new();
    scripted.plan(Planned::next("condor_submit", Fault::Fail(NO.to_owned())).always());
    let life = Life::on(&scripted).await;
    life.wish("a", 1).await;
    assert_eq!(life.ends("a").await, [Outcome::SubmitRefused]);
    until_no_description_is_left(&scripted).await;
    life.end().await;
}

async fn what_earlier_releases_have_left_is_removed_at_the_start() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    until_no_description_is_left(&scripted).await;
    life.end().await;
    let workload = scripted.path().join("data/jobs/a");
    for (folder, file) in
        [("0.0.7", "job.json"), ("0.0.8", "job.json"), ("0.0.8", "log.main"), ("0.0.0", "job.json")]
    {
        std::fs::create_dir_all(workload.join(folder)).unwrap();
        std::fs::write(workload.join(folder).join(file), "{}").unwrap();
    }
    let life = Life::on(&scripted).await;
    assert!(descriptions(&scripted).is_empty(), "{:?}", descriptions(&scripted));
    assert!(!workload.join("0.0.7").exists());
    assert!(workload.join("0.0.8/log.main").exists() && workload.join("0.0.0").exists());
    life.end().await;
}

async fn a_limit_of_the_schedd_s_submissions_is_learnt_once() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    scripted.plan(Planned::next("condor_submit", Fault::AtOnce(10)));
    let mut options = patient(&scripted, Duration::ZERO);
    options.max_jobs_per_submission = 40;
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life.wish("a", 100).await;
    assert_eq!(life.ends("a").await, vec![Outcome::Succeeded; 100]);
    let refused = scripted.calls("condor_submit").len() as u64 - scripted.commits();
    assert_eq!(refused, 2, "40, then 20");
    assert!(scripted.commits() >= 10);
    once(&scripted);
    life.end().await;
}

async fn a_batch_whose_files_do_not_arrive_in_time_goes_in_smaller_ones() {
    let scripted = Scripted::new();
    scripted.plan(Planned::next("condor_submit", Fault::SlowAbove(2)));
    let mut options = patient(&scripted, Duration::ZERO);
    options.max_jobs_per_submission = 8;
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life.wish("a", 8).await;
    let until = Instant::now() + PATIENCE;
    while life.view("a").waiting > 0 || outcomes(&life.view("a")).iter().any(Option::is_none) {
        assert!(Instant::now() < until, "{:#?}", life.view("a"));
        if scripted.pass_deadlines() > 0 {
            // Sooner than the patience with a schedd that is slow.
            let spooling = |ad: &&crate::pool::Ad| crate::tools::job::int(ad, "HoldReasonCode") == Some(16);
            let keys: Vec<String> =
                scripted.jobs().iter().filter(spooling).map(|ad| text(ad, KEY).to_owned()).collect();
            keys.iter().for_each(|key| scripted.remove(key));
        }
        scripted.run_jobs(0);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 8]);
    once(&scripted);
    life.end().await;
}

async fn files_that_do_not_arrive_end_no_job_and_are_told_of() {
    let scripted = Scripted::new();
    scripted.plan(Planned::next("condor_submit", Fault::ExitZeroButHeld).times(4));
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    for submission in 0..4 {
        let key = format!("a/0/0/{submission}");
        let is_there = |state: &crate::tools::state::State| state.queue.iter().any(|ad| text(ad, KEY) == key);
        scripted.eventually(&format!("{key} is committed"), is_there).await;
        // Sooner than the patience with a schedd that is slow.
        scripted.remove(&key);
    }
    let told = life.until("a", "it is told", |view| view.trouble.is_some()).await.trouble.unwrap();
    assert!(told.reason == "SubmitFailed" && told.why.contains("did not reach the pool"), "{told:?}");
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert!(life.view("a").trouble.is_none());
    once(&scripted);
    life.end().await;
}

async fn a_tool_that_another_host_has_started_is_waited_for_though_its_lock_is_free() {
    started_elsewhere("UPDATE intents SET boot = 'another'").await;
}

async fn a_tool_that_an_earlier_release_has_started_is_waited_for_as_well() {
    started_elsewhere("UPDATE intents SET boot = NULL, host = NULL, deadline = NULL").await;
}

/// The tool is at work, and the lock cannot be seen from here.
async fn started_elsewhere(change: &str) {
    let scripted = Scripted::new();
    scripted.fault("condor_submit", Fault::WaitBeforeCommit);
    let workloads = vec![("a".to_owned(), 1)];
    let data = scripted.path().join("data");
    let plan = Plan {
        data: data.clone(),
        workloads,
        again: false,
        gone: None,
        collect: false,
        evicted: false,
        once: false,
    };
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["engine", &serde_json::to_string(&plan).unwrap()]).env_clear();
    let mut first = command.envs(scripted.environment()).stdin(Stdio::null()).spawn().unwrap();
    scripted.eventually("the tool has begun", |s| s.calls.iter().any(|c| c.tool == "condor_submit")).await;
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(Connection::open(data.join("htcjobs.db")).unwrap().execute(change, []).unwrap(), 1);
    std::fs::remove_file(data.join("intents/1/lock")).unwrap();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.is_ready().await;
    scripted.calls_more("condor_q", 4).await;
    assert_eq!(scripted.calls("condor_submit").len(), 1);
    scripted.auto_run(0);
    scripted.let_go_on();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    life.end().await;
}
