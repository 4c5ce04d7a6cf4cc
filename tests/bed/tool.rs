//! A `condor_submit` that lives too short or too long: one that dies between the commit and its
//! files leaves a job in the queue that never ran and never will; one that outlives its operator
//! may commit long after the next life has begun; one that fails in a way that nobody knows.

use htc_operator::htcjob::types::Phase;

use crate::harness::{Bed, DYING_SUBMIT, FAILING_SUBMIT, SLOW_SUBMIT, host, on_bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_job_whose_files_never_came_is_removed_and_submitted_anew() {
    half_submitted(None).await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn also_when_the_operator_aborts_right_after_its_removal() {
    half_submitted(Some("unstaged-removed")).await;
}

async fn half_submitted(crash_point: Option<&str>) {
    on_bed(async |bed: &mut Bed| {
        let tool = bed.replace_tool("condor_submit", DYING_SUBMIT);
        bed.set("HTC_CRASH_POINT", crash_point);
        bed.start().await;
        let mut job = host("half", "echo \"$1\"");
        job.spec.queue = Some(2);
        let job = bed.apply(job).await;
        bed.until_queued(&job, 5, 2).await;
        tool.go_on();
        if crash_point.is_some() {
            bed.crashed().await;
            bed.set("HTC_CRASH_POINT", None);
            bed.start().await;
        }
        bed.until_phase(&job, Phase::Succeeded).await;
        if crash_point.is_none() {
            until("the metric", async || match bed.metric("htc_jobs_unstaged_total").await {
                0 => Err("0".to_owned()),
                _ => Ok(()),
            })
            .await;
        }
        assert_eq!(bed.logs(&job, Some(1)).await.unwrap(), b"1\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 2).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_tool_that_outlives_the_operator_is_waited_for() {
    on_bed(async |bed: &mut Bed| {
        let tool = bed.replace_tool("condor_submit", SLOW_SUBMIT);
        bed.start().await;
        let job = bed.apply(host("slow", "true")).await;
        tool.until_called().await;
        bed.kill().await;
        bed.start().await;
        bed.until_looks(6).await;
        assert!(bed.queued(&job).await.is_empty(), "submitted again while the first tool lives");
        tool.go_on();
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_tool_that_fails_in_a_way_that_nobody_knows_only_delays() {
    on_bed(async |bed: &mut Bed| {
        bed.replace_tool("condor_submit", FAILING_SUBMIT);
        bed.start().await;
        let job = bed.apply(host("delayed", "true")).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(bed.metric("htc_submissions_total{kind=\"unknown\"}").await, 2);
        assert_eq!(bed.metric("htc_submissions_total{kind=\"ours\"}").await, 1);
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
        let left = std::fs::read_dir(bed.folder.join("data/jobs")).unwrap().flatten();
        let left = left.flat_map(|workload| std::fs::read_dir(workload.path()).unwrap()).flatten();
        assert!(left.map(|folder| folder.path().join("job.json")).all(|file| !file.exists()));
    })
    .await;
}
