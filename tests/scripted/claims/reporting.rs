//! What jobs say of themselves: seen at once, and never alone an end.

use std::time::Duration;

use htc_core::chirp;
use htc_core::events::job_key;
use htc_core::workload::progress::{Outcome, Progress};
use htc_core::workload::report::{Phase, Report};
use htc_operator::engine::Taken;
use serde_json::json;

use super::forgetting::age_store;
use crate::harness::running;
use crate::life::{Life, options, outcomes};
use crate::pool::{Ending, Fault, Planned, Scripted};

super::claims![
    a_report_is_news_once,
    a_report_of_a_job_is_unknown_only_after_the_pool_was_asked,
    a_job_that_reports_runs_before_the_next_look,
    a_report_of_an_older_start_changes_nothing,
    a_last_report_alone_is_no_end,
    a_last_report_and_the_ad_are_an_end_at_once,
    a_last_report_of_an_older_start_says_nothing_of_the_end,
    a_job_that_was_asked_to_stop_has_not_ended,
    reports_outlive_the_operator,
    a_report_in_the_ad_is_taken_like_any_other,
    a_last_report_in_the_ad_ends_the_job_without_its_files,
    what_the_job_has_not_signed_is_counted_and_says_nothing,
];

pub(super) fn report(start: u32, seq: u64, phase: Phase) -> Report {
    let retcode = (phase == Phase::Done).then_some(0);
    Report { seq, phase, retcode, ..running("a/0/0/0".parse().unwrap(), start) }
}

async fn queued(scripted: &Scripted, poll: Duration) -> Life {
    let mut options = options(&scripted.path().join("data"));
    options.poll = poll;
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    life
}

const OFTEN: Duration = Duration::from_millis(100);
/// So seldom that no look comes of itself while the test runs.
const SELDOM: Duration = Duration::from_secs(3_600);

async fn a_report_is_news_once() {
    let scripted = Scripted::new();
    let life = queued(&scripted, OFTEN).await;
    for (report, taken) in [
        (report(1, 1, Phase::Preparing), Taken::New),
        (report(1, 2, Phase::Running), Taken::New),
        (report(1, 2, Phase::Running), Taken::Duplicate),
        (report(1, 1, Phase::Preparing), Taken::Duplicate),
        (report(2, 1, Phase::Running), Taken::New),
        (Report { key: "a/0/0/1".parse().unwrap(), ..report(1, 1, Phase::Running) }, Taken::Unknown),
    ] {
        assert_eq!(life.engine.report(report.clone()).await.unwrap(), taken, "{report:?}");
    }
    life.end().await;
}

async fn a_report_of_a_job_is_unknown_only_after_the_pool_was_asked() {
    let scripted = Scripted::new();
    let report = report(1, 1, Phase::Running);
    let life = Life::on(&scripted).await;
    life.is_ready().await;
    // In a new store the workload may still be wished again.
    assert_eq!(life.engine.report(report.clone()).await.unwrap(), Taken::NotReady);
    life.end().await;
    age_store(&scripted);
    scripted.plan(Planned::next("condor_q", Fault::Fail("no".to_owned())).always());
    let life = Life::on(&scripted).await;
    scripted.calls_more("condor_q", 2).await;
    assert_eq!(life.engine.report(report.clone()).await.unwrap(), Taken::NotReady);
    scripted.heal();
    life.is_ready().await;
    assert_eq!(life.engine.report(report).await.unwrap(), Taken::Unknown);
    life.end().await;
}

async fn a_job_that_reports_runs_before_the_next_look() {
    let scripted = Scripted::new();
    let life = queued(&scripted, SELDOM).await;
    scripted.start_jobs();
    life.engine.report(report(1, 1, Phase::Running)).await.unwrap();
    let progress = life.progress("a", 0);
    assert!(matches!(progress, Some(Progress::Running { start: 1, .. })), "{progress:?}");
    assert_eq!(life.view("a").jobs[0].report.as_ref().map(|report| report.seq), Some(1));
    life.end().await;
}

async fn a_report_of_an_older_start_changes_nothing() {
    let scripted = Scripted::new();
    let life = queued(&scripted, SELDOM).await;
    life.engine.report(report(2, 1, Phase::Running)).await.unwrap();
    let late = life.engine.report(report(1, 9, Phase::Done)).await.unwrap();
    assert_eq!(late, Taken::Duplicate);
    let progress = life.progress("a", 0);
    assert!(matches!(progress, Some(Progress::Running { start: 2, .. })), "{progress:?}");
    life.end().await;
}

async fn a_last_report_alone_is_no_end() {
    let scripted = Scripted::new();
    let life = queued(&scripted, OFTEN).await;
    scripted.start_jobs();
    life.engine.report(report(1, 1, Phase::Done)).await.unwrap();
    scripted.calls_more("condor_q", 4).await;
    assert_eq!(outcomes(&life.view("a")), [None]);
    // The exit code of the ad is the fact.
    scripted.finish("a/0/0/0", Ending::code(3));
    assert_eq!(life.ends("a").await, [Outcome::ExitCode(3)]);
    scripted.empties().await;
    life.end().await;
}

async fn a_last_report_and_the_ad_are_an_end_at_once() {
    let scripted = Scripted::new();
    let life = queued(&scripted, SELDOM).await;
    // No file comes home: the end does not wait for them.
    scripted.plan(Planned::next("condor_transfer_data", Fault::NothingDone).always());
    scripted.run_jobs(0);
    life.engine.report(report(1, 1, Phase::Done)).await.unwrap();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert_eq!(scripted.jobs().len(), 1);
    life.end().await;
}

async fn a_last_report_of_an_older_start_says_nothing_of_the_end() {
    let scripted = Scripted::new();
    let life = queued(&scripted, OFTEN).await;
    scripted.start_jobs();
    life.engine.report(report(1, 1, Phase::Done)).await.unwrap();
    scripted.make_idle("a/0/0/0");
    scripted.start_jobs();
    scripted.plan(Planned::next("condor_transfer_data", Fault::NothingDone).always());
    scripted.finish("a/0/0/0", Ending::code(0));
    scripted.calls_more("condor_q", 4).await;
    assert_eq!(outcomes(&life.view("a")), [None], "the result of the second start is not here yet");
    scripted.heal();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn a_job_that_was_asked_to_stop_has_not_ended() {
    let scripted = Scripted::new();
    let life = queued(&scripted, OFTEN).await;
    scripted.start_jobs();
    life.runs("a", 0).await;
    life.engine.report(report(1, 1, Phase::Stopping)).await.unwrap();
    scripted.make_idle("a/0/0/0");
    life.is_queued("a", 0).await;
    assert_eq!(outcomes(&life.view("a")), [None]);
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn reports_outlive_the_operator() {
    let scripted = Scripted::new();
    let life = queued(&scripted, OFTEN).await;
    scripted.start_jobs();
    life.engine.report(report(1, 7, Phase::Running)).await.unwrap();
    life.end().await;
    let life = Life::on(&scripted).await;
    assert_eq!(life.view("a").jobs[0].report.as_ref().map(|report| report.seq), Some(7));
    assert_eq!(life.engine.report(report(1, 6, Phase::Running)).await.unwrap(), Taken::Duplicate);
    life.end().await;
}

/// Puts a report into the ad of its job, as the starter does; signed with the key of this job.
fn put(scripted: &Scripted, report: &Report, signer: &str) {
    let key = job_key(&[0; 32], &signer.parse().unwrap());
    let value = chirp::encode("k1", &key, report).unwrap();
    scripted.set(&report.key.to_string(), json!({ chirp::ATTRIBUTE: value }));
}

async fn chirped(life: &Life, kind: &str, count: u64) {
    let name = format!("htc_chirps_total{{kind=\"{kind}\"}}");
    life.until("a", &format!("{count} chirps are {kind}"), |_| life.metric(&name) == count).await;
}

async fn a_report_in_the_ad_is_taken_like_any_other() {
    let scripted = Scripted::new();
    let life = queued(&scripted, OFTEN).await;
    scripted.start_jobs();
    put(&scripted, &report(1, 5, Phase::Running), "a/0/0/0");
    chirped(&life, "new", 1).await;
    let kept = life.view("a").jobs[0].report.clone().unwrap();
    assert_eq!((kept.order(), kept.name.as_str(), kept.namespace.as_str()), ((1, 5), "a", "default"));
    assert_eq!(kept.jobid.as_deref(), Some("1.0"));
    // The same text is looked at once, and an older one is no news.
    scripted.calls_more("condor_q", 3).await;
    put(&scripted, &report(1, 4, Phase::Running), "a/0/0/0");
    chirped(&life, "duplicate", 1).await;
    assert_eq!(life.view("a").jobs[0].report.as_ref().unwrap().seq, 5);
    assert_eq!(life.metric("htc_chirps_total{kind=\"new\"}"), 1);
    let late = life.engine.report(report(1, 5, Phase::Running)).await.unwrap();
    assert_eq!(late, Taken::Duplicate);
    life.end().await;
}

async fn a_last_report_in_the_ad_ends_the_job_without_its_files() {
    let scripted = Scripted::new();
    let life = queued(&scripted, OFTEN).await;
    scripted.plan(Planned::next("condor_transfer_data", Fault::NothingDone).always());
    scripted.start_jobs();
    put(&scripted, &report(1, 2, Phase::Done), "a/0/0/0");
    chirped(&life, "new", 1).await;
    assert_eq!(outcomes(&life.view("a")), [None], "the ad does not say so yet");
    scripted.finish("a/0/0/0", Ending::code(0));
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn what_the_job_has_not_signed_is_counted_and_says_nothing() {
    let scripted = Scripted::new();
    let life = queued(&scripted, OFTEN).await;
    scripted.start_jobs();
    put(&scripted, &report(7, 7, Phase::Done), "a/0/0/1");
    chirped(&life, "bad_signature", 1).await;
    scripted.set("a/0/0/0", json!({ chirp::ATTRIBUTE: "v1,k1,AAAA,AAAA" }));
    chirped(&life, "bad_signature", 2).await;
    scripted.calls_more("condor_q", 3).await;
    assert_eq!(life.metric("htc_chirps_total{kind=\"bad_signature\"}"), 2);
    assert!(life.view("a").jobs[0].report.is_none());
    // A true one is still heard.
    put(&scripted, &report(1, 1, Phase::Running), "a/0/0/0");
    chirped(&life, "new", 1).await;
    life.end().await;
}
