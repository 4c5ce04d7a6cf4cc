//! The operator aborts at each of its crash points, on the real schedd, and starts again.

use htc_operator::config::crash::POINTS;
use htc_operator::htcjob::types::Phase;

use crate::harness::{Bed, host, on_bed, until};

/// One test for each crash point, so that each has its name and they run side by side.
macro_rules! crash_points {
    ($kind:ident: $($test:ident = $point:literal),* $(,)?) => {
        mod $kind {
            pub const COVERED: &[&str] = &[$($point),*];
            $(
                #[tokio::test]
                #[ignore = "needs the test bed: make test"]
                async fn $test() {
                    super::$kind($point).await;
                }
            )*
        }
    };
}

crash_points! { while_jobs_run:
    after_the_finalizer = "finalizer-set",
    after_the_wish = "wish-durable",
    after_the_intent = "intent-durable",
    after_the_files_of_a_submission = "submit-files-written",
    after_the_start_of_the_tool = "submit-tool-started",
    after_reading_the_id = "submit-id-read",
    after_keeping_the_id = "submit-id-durable",
    after_the_end_of_the_tool = "submit-tool-ended",
    before_settling = "settle-before-durable:3",
    after_settling = "settle-durable:3",
    after_a_report = "report-durable",
    after_knowing_the_queue = "origin-durable",
    after_an_end = "end-durable",
    after_forgetting_what_is_spent = "spent-forgotten",
    after_fetching_outputs = "outputs-fetched",
    after_noting_outputs = "outputs-durable",
    after_writing_a_status = "status-written",
    after_noting_what_is_published = "published-durable",
    after_acknowledging = "acknowledged",
    before_the_third_commit = "store-before-commit:3",
    before_the_sixth_commit = "store-before-commit:6",
    after_the_third_commit = "store-after-commit:3",
    after_the_sixth_commit = "store-after-commit:6",
}

crash_points! { while_a_job_is_deleted:
    after_acknowledging = "workload-acknowledged",
    after_removing = "removed",
    after_burying = "gone-durable",
    after_letting_the_object_go = "finalizer-removed",
}

crash_points! { while_there_is_a_copy:
    after_removing = "copies-removed",
}

/// `tool.rs` has the first: it needs a tool that dies between commit and files; `inherited.rs` the second.
/// The others are aborted at on scripted tools: the janitor's, for nothing here is days old, that of a
/// pod that lost its machine, since an HTCJob starts again, and that of a worker at fault, since here is but one.
const ELSEWHERE: &[&str] = &[
    "unstaged-removed",
    "inherited-durable",
    "outputs-removed",
    "outputs-collected",
    "spent-acknowledged",
    "worker-fault-durable",
];

#[test]
fn every_crash_point_has_a_test() {
    use {while_a_job_is_deleted as deleted, while_jobs_run as run, while_there_is_a_copy as copy};

    let all = [run::COVERED, deleted::COVERED, copy::COVERED, ELSEWHERE].concat();
    let covered: Vec<&str> = all.iter().map(|point| point.split(':').next().unwrap()).collect();
    let missing: Vec<_> = POINTS.iter().filter(|point| !covered.contains(point)).collect();
    assert!(missing.is_empty(), "no test aborts at {missing:?}");
}

async fn while_jobs_run(point: &str) {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_CRASH_POINT", Some(point));
        bed.spawn();
        let mut job = host("crash", "echo \"$1\"");
        job.spec.queue = Some(2);
        let job = bed.apply(job).await;
        bed.crashed().await;

        bed.set("HTC_CRASH_POINT", None);
        bed.start().await;
        let status = bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!((status.completed_indexes.as_deref(), status.active), (Some("0-1"), Some(0)));
        assert_eq!(bed.logs(&job, Some(1)).await.unwrap(), b"1\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 2).await;
    })
    .await;
}

async fn while_a_job_is_deleted(point: &str) {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_CRASH_POINT", Some(point));
        bed.start().await;
        let job = bed.apply(host("deleted", "sleep 1000")).await;
        bed.until_queued(&job, 2, 1).await;
        bed.delete(&job).await;
        bed.crashed().await;

        bed.set("HTC_CRASH_POINT", None);
        bed.start().await;
        bed.until_gone(&job).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
        assert!(!bed.data().join("jobs").join(&job.uid).exists());
    })
    .await;
}

async fn while_there_is_a_copy(point: &str) {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_CRASH_POINT", Some(point));
        bed.start().await;
        let job = bed.apply(host("copied", &(bed.gate("go") + "echo first"))).await;
        bed.until_queued(&job, 2, 1).await;
        bed.submit_by_hand(&job, &format!("{}/0/0/9", job.uid)).await;
        bed.crashed().await;

        bed.set("HTC_CRASH_POINT", None);
        bed.start().await;
        until("the copy to go", async || match bed.queued(&job).await {
            one if one.len() == 1 => Ok(()),
            more => Err(format!("{more:?}")),
        })
        .await;
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&job).await, "first\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}
