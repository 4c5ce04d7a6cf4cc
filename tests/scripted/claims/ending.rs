//! How jobs end, and what is no end.

use htc_core::workload::progress::{Outcome, Progress};
use htc_core::workload::report::{Phase, Report};

use super::submit;
use crate::harness::running;
use crate::life::{Life, wish};
use crate::pool::{Ending, Event, Fault, Planned, Scripted};

super::claims![
    a_job_without_a_result_is_judged_by_its_ad_after_a_while,
    a_job_that_an_admin_removes_ends_as_removed_with_the_reason,
    a_held_job_is_held_until_somebody_acts,
    an_evicted_job_is_started_again_and_ends_once,
    an_evicted_job_that_may_start_only_once_ends_and_leaves,
    a_job_that_may_start_only_once_and_is_on_hold_before_it_started_waits,
    an_eviction_after_the_last_word_ends_as_the_job_said_without_its_files,
    a_second_copy_of_a_job_is_removed,
    a_job_that_starts_again_after_its_end_was_published_is_removed,
    files_that_did_not_come_are_fetched_again_before_the_job_may_leave,
    a_job_stays_in_the_queue_until_its_end_is_published,
];

async fn queued(scripted: &Scripted) -> Life {
    let life = Life::on(scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    life
}

async fn a_job_without_a_result_is_judged_by_its_ad_after_a_while() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    life.open_door();
    scripted.start_jobs();
    scripted.plan(Planned::next("condor_transfer_data", Fault::NothingDone).always());
    scripted.finish("a/0/0/0", Ending::signal(9));
    assert_eq!(life.ends("a").await, [Outcome::Signal(9)]);
    // Its files may still come: it must not leave without them.
    scripted.calls_more("condor_transfer_data", 1).await;
    assert_eq!(scripted.jobs().len(), 1);
    scripted.heal();
    scripted.empties().await;
    life.end().await;
}

async fn a_job_that_an_admin_removes_ends_as_removed_with_the_reason() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    life.open_door();
    scripted.start_jobs();
    scripted.remove("a/0/0/0");
    assert_eq!(life.ends("a").await, [Outcome::Removed]);
    let end = life.progress("a", 0).unwrap().end().cloned().unwrap();
    assert!(end.message.contains("by user root"), "{}", end.message);
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    assert!(scripted.calls("condor_transfer_data").is_empty());
    life.end().await;
}

async fn a_held_job_is_held_until_somebody_acts() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    life.open_door();
    scripted.start_jobs();
    scripted.hold("a/0/0/0", 34, 102, "memory usage exceeded request_memory");
    let held = |progress: &Progress| match progress {
        Progress::Held { code, subcode, reason, .. } => Some((*code, *subcode, reason.clone())),
        _ => None,
    };
    let view = life.until("a", "it is held", |view| held(&view.jobs[0].progress).is_some()).await;
    let told = held(&view.jobs[0].progress).unwrap();
    assert_eq!(told, (34, 102, "memory usage exceeded request_memory".to_owned()));
    scripted.make_idle("a/0/0/0");
    life.is_queued("a", 0).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn an_evicted_job_is_started_again_and_ends_once() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    life.open_door();
    scripted.start_jobs();
    life.runs("a", 0).await;
    scripted.make_idle("a/0/0/0");
    life.is_queued("a", 0).await;
    scripted.start_jobs();
    let second = |progress: &Progress| matches!(progress, Progress::Running { start: 2, .. });
    life.until("a", "it runs again", |view| second(&view.jobs[0].progress)).await;
    scripted.finish_jobs(Ending::code(4));
    assert_eq!(life.ends("a").await, [Outcome::ExitCode(4)]);
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    life.end().await;
}

/// One job that may start only once, in the queue.
async fn queued_once(scripted: &Scripted) -> Life {
    let life = Life::on(scripted).await;
    let mut pod = wish("a", 1);
    pod.workload.restart_after_eviction = false;
    life.try_wish(pod).await.unwrap();
    life.is_queued("a", 0).await;
    life
}

async fn an_evicted_job_that_may_start_only_once_ends_and_leaves() {
    for hold in [false, true] {
        let scripted = Scripted::new();
        let life = queued_once(&scripted).await;
        scripted.start_jobs();
        life.runs("a", 0).await;
        match hold {
            true => scripted.hold("a/0/0/0", 34, 102, "too much"),
            false => scripted.make_idle("a/0/0/0"),
        }
        let outcome = if hold { Outcome::OutOfMemory } else { Outcome::Evicted };
        assert_eq!(life.ends("a").await, [outcome]);
        // Until its end is told it stays as it is: should the store be lost it tells the same again.
        scripted.calls_more("condor_q", 2).await;
        assert!(scripted.calls("condor_qedit").is_empty() && scripted.calls("condor_rm").is_empty());
        life.open_door();
        scripted.empties().await;
        assert!(scripted.calls("condor_transfer_data").is_empty());
        assert_eq!(life.ends("a").await, [outcome]);
        assert_eq!(life.metric("htc_jobs_copies_total"), 0);
        life.end().await;
    }
}

async fn a_job_that_may_start_only_once_and_is_on_hold_before_it_started_waits() {
    let scripted = Scripted::new();
    let life = queued_once(&scripted).await;
    life.open_door();
    scripted.hold("a/0/0/0", 13, 2, "no such file");
    let held = |progress: &Progress| matches!(progress, Progress::Held { .. });
    life.until("a", "it is held", |view| held(&view.jobs[0].progress)).await;
    scripted.make_idle("a/0/0/0");
    life.is_queued("a", 0).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.empties().await;
    life.end().await;
}

async fn an_eviction_after_the_last_word_ends_as_the_job_said_without_its_files() {
    let scripted = Scripted::new();
    let life = queued_once(&scripted).await;
    life.open_door();
    scripted.start_jobs();
    life.runs("a", 0).await;
    let key = "a/0/0/0".parse().unwrap();
    let last = Report { phase: Phase::Done, retcode: Some(3), seq: 2, ..running(key, 1) };
    life.engine.report(last).await.unwrap();
    scripted.make_idle("a/0/0/0");
    assert_eq!(life.ends("a").await, [Outcome::ExitCode(3)]);
    scripted.empties().await;
    assert!(scripted.calls("condor_transfer_data").is_empty());
    life.end().await;
}

async fn a_second_copy_of_a_job_is_removed() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    life.open_door();
    submit(&scripted, &["a/0/0/7"]).await.1.unwrap();
    let removed = |event: Event, key: &str| {
        scripted.journal().iter().any(|entry| entry.event == event && entry.key == key)
    };
    scripted.eventually("the copy is gone", |state| state.queue.len() == 1).await;
    assert!(removed(Event::Removed, "a/0/0/7") && !removed(Event::Removed, "a/0/0/0"));
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn a_job_that_starts_again_after_its_end_was_published_is_removed() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    for tool in ["condor_qedit", "condor_rm"] {
        scripted.plan(Planned::next(tool, Fault::NothingDone).always());
    }
    scripted.run_jobs(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.open_door();
    scripted.calls_more("condor_qedit", 1).await;
    scripted.make_idle("a/0/0/0");
    scripted.heal();
    scripted.empties().await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert!(scripted.journal().iter().any(|entry| entry.event == Event::Removed));
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    life.end().await;
}

async fn files_that_did_not_come_are_fetched_again_before_the_job_may_leave() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    scripted.auto_run(0);
    let text = "DCSchedd::receiveJobSandbox:7003:File transfer failed.";
    scripted.fault("condor_transfer_data", Fault::NothingDone);
    scripted.plan(Planned::next("condor_transfer_data", Fault::HalfOutput { code: 1 }).after(1));
    scripted.plan(Planned::next("condor_transfer_data", Fault::Fail(text.to_owned())).after(2));
    life.wish("a", 4).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 4]);
    scripted.empties().await;
    for index in 0..4 {
        let file = scripted.path().join(format!("data/jobs/a/{index}.0.0/work/out.txt"));
        assert_eq!(std::fs::read_to_string(file).unwrap(), format!("a/{index}/0/0"));
    }
    life.end().await;
}

async fn a_job_stays_in_the_queue_until_its_end_is_published() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.eventually("its files are home", |s| s.queue[0].contains_key("StageOutFinish")).await;
    scripted.calls_more("condor_q", 3).await;
    assert_eq!((scripted.jobs().len(), scripted.calls("condor_qedit").len()), (1, 0));
    life.open_door();
    scripted.empties().await;
    life.end().await;
}
