//! A worker that can start nothing of a user's ends no job: its index goes to another one.

use std::time::Duration;

use htc_core::result;
use htc_core::workload::container::Image;
use htc_core::workload::progress::Outcome;
use htc_core::workload::report::{CANNOT_RUN, Phase, Report};
use htc_operator::engine::{Options, View};
use serde_json::Value;

use crate::harness::running;
use crate::life::{Life, options, wish};
use crate::pool::{Ad, Ending, Fault, Planned, Scripted};
use crate::tools::job::{KEY, id, int, text};

super::claims![
    an_index_goes_on_until_a_worker_can_run_it,
    the_sixth_worker_that_cannot_is_the_end_and_all_are_named,
    where_no_other_machine_is_left_it_waits_and_is_tried_there_again,
    a_report_that_came_before_is_enough,
    what_the_job_has_not_signed_ends_it_as_before,
    what_goes_elsewhere_and_is_deleted_leaves_nothing,
    workers_of_jobs_with_an_image_must_meet_what_the_site_asks,
];

const NO_TOOL: Option<&str> = Some("this worker has neither apptainer nor singularity");

async fn an_index_goes_on_until_a_worker_can_run_it() {
    for once in [false, true] {
        let scripted = Scripted::new();
        scripted.machines(&[("w1", NO_TOOL), ("w2.example", NO_TOOL), ("w3", None)]);
        scripted.auto_run(0);
        let life = Life::on(&scripted).await;
        life.open_door();
        let mut wish = wish("a", 2);
        wish.workload.restart_after_eviction = !once;
        life.try_wish(wish).await.unwrap();
        assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
        let view = life.view("a");
        assert!(view.worker_faults.is_empty() && view.jobs.iter().all(|job| job.starts == 1), "{view:#?}");
        scripted.empties().await;
        let mut committed = scripted.committed();
        committed.sort();
        assert_eq!(committed, ["a/0/0/0", "a/0/0/1", "a/0/0/2", "a/1/0/0", "a/1/0/1", "a/1/0/2"]);
        assert_eq!(scripted.commits(), 3, "copies that failed together go together again");
        assert_eq!(life.metric("htc_worker_failures_total"), 4);
        assert_eq!(life.metric("htc_jobs_copies_total"), 0);
        life.end().await;
    }
}

async fn the_sixth_worker_that_cannot_is_the_end_and_all_are_named() {
    let scripted = Scripted::new();
    let names = ["w1", "w2", "w3", "w4", "w5", "w6", "w7"];
    scripted.machines(&names.map(|name| (name, NO_TOOL)));
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    assert_eq!(life.ends("a").await, [Outcome::CannotRun]);
    let message = life.progress("a", 0).unwrap().end().unwrap().message.clone();
    assert!(message.contains("neither apptainer nor singularity"), "{message}");
    assert!(message.ends_with("machines: w1, w2, w3, w4, w5, w6)"), "{message}");
    scripted.empties().await;
    assert_eq!(scripted.committed().len(), 6);
    assert_eq!(life.metric("htc_worker_failures_total"), 5);
    life.end().await;
}

/// Waits until this submission waits in the queue for a machine.
async fn waits(scripted: &Scripted, key: &str) {
    let is_it = |ad: &Ad| text(ad, KEY) == key && int(ad, "JobStatus") == Some(1);
    scripted.eventually(&format!("{key} waits"), |state| state.queue.iter().any(is_it)).await;
}

/// The index waits in the queue for another machine than `w1`, after its first submission.
async fn stranded(scripted: &Scripted) -> Life {
    scripted.machines(&[("w1", NO_TOOL)]);
    scripted.auto_run(0);
    let life = Life::on(scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    waits(scripted, "a/0/0/1").await;
    life
}

fn faults(view: &View) -> Option<(u32, String)> {
    view.worker_faults.get(&0).map(|faults| (faults.times, faults.machines.join(",")))
}

async fn where_no_other_machine_is_left_it_waits_and_is_tried_there_again() {
    let scripted = Scripted::new();
    let life = stranded(&scripted).await;
    scripted.calls_more("condor_q", 3).await;
    life.is_queued("a", 0).await;
    assert_eq!(faults(&life.view("a")), Some((1, "w1".to_owned())));
    life.end().await;
    // Another life knows it too.
    let life = Life::on(&scripted).await;
    life.open_door();
    assert_eq!(faults(&life.view("a")), Some((1, "w1".to_owned())));
    scripted.pass(Duration::from_secs(2 * 3_600));
    waits(&scripted, "a/0/0/2").await;
    assert_eq!(faults(&life.view("a")), Some((2, "w1".to_owned())));
    scripted.machines(&[("w1", None)]);
    scripted.pass(Duration::from_secs(4 * 3_600));
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert_eq!(scripted.committed(), ["a/0/0/0", "a/0/0/1", "a/0/0/2"]);
    life.end().await;
}

/// The last report of the first job, of a worker that could start nothing of it.
fn told() -> Report {
    let (retcode, worker_fault) = (Some(CANNOT_RUN), NO_TOOL.map(str::to_owned));
    let key = "a/0/0/0".parse().unwrap();
    Report { phase: Phase::Done, retcode, worker_fault, seq: 2, ..running(key, 1) }
}

async fn a_report_that_came_before_is_enough() {
    let scripted = Scripted::new();
    scripted.machines(&[("w1", NO_TOOL), ("w2", None)]);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    scripted.start_jobs();
    life.engine.report(told()).await.unwrap();
    // Until the ad says so too, nothing follows.
    scripted.calls_more("condor_q", 2).await;
    assert_eq!((faults(&life.view("a")), scripted.committed().len()), (None, 1));
    scripted.finish("a/0/0/0", Ending::code(0));
    waits(&scripted, "a/0/0/1").await;
    assert!(scripted.calls("condor_transfer_data").is_empty());
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn what_the_job_has_not_signed_ends_it_as_before() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    scripted.plan(Planned::next("condor_transfer_data", Fault::Fail("not yet".into())).always());
    scripted.start_jobs();
    scripted.finish("a/0/0/0", Ending::code(CANNOT_RUN));
    let folder = scripted.job("a/0/0/0").map(|ad| scripted.state().spool.join(id(&ad))).unwrap();
    std::fs::write(folder.join("result.json"), result::write(&told(), None)).unwrap();
    scripted.heal();
    assert_eq!(life.ends("a").await, [Outcome::ExitCode(CANNOT_RUN)]);
    scripted.empties().await;
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    life.end().await;
}

async fn what_goes_elsewhere_and_is_deleted_leaves_nothing() {
    let scripted = Scripted::new();
    let life = stranded(&scripted).await;
    life.gone("a").await;
    scripted.empties().await;
    life.is_gone("a").await;
    assert_eq!(scripted.committed().len(), 2);
    life.end().await;
}

async fn workers_of_jobs_with_an_image_must_meet_what_the_site_asks() {
    let scripted = Scripted::new();
    let worker_requirements = Some("HasSingularity =?= True".to_owned());
    let asks = Options { worker_requirements, ..options(&scripted.path().join("data")) };
    let life = Life::begin(asks, scripted.pool()).await;
    life.wish("host", 1).await;
    let mut in_image = wish("image", 1);
    in_image.workload.containers[0].image = Image::Apptainer("docker://x".to_owned());
    life.try_wish(in_image).await.unwrap();
    life.is_queued("host", 0).await;
    life.is_queued("image", 0).await;
    let requirements = |key: &str| {
        let ad = scripted.job(key).unwrap();
        ad.get("Requirements")
            .and_then(Value::as_str)
            .map_or_else(String::new, |_| text(&ad, "Requirements").to_owned())
    };
    assert_eq!(requirements("host/0/0/0"), "");
    assert!(
        requirements("image/0/0/0").contains("(HasSingularity =?= True)"),
        "{}",
        requirements("image/0/0/0")
    );
    life.end().await;
}
