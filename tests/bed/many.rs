//! One HTCJob, many HTCondor jobs.

use htc_operator::htcjob::types::Phase;

use crate::harness::{host, image, until, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_hundred_copies_run_once_each_with_their_index() {
    with_operator(async |bed| {
        let mut job = host("hundred", "echo \"$1\" > mine");
        job.spec.queue = Some(100);
        let job = bed.apply(job).await;
        let status = bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!((status.succeeded, status.active, status.failed), (Some(100), Some(0), Some(0)));
        assert_eq!(status.completions.as_deref(), Some("100/100"));
        assert_eq!(status.completed_indexes.as_deref(), Some("0-99"));
        assert_eq!((status.jobid.len(), status.attempts), (100, Some(100)));
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 100).await;
        let folder = bed.data().join("jobs").join(&job.uid);
        for index in 0..100 {
            let mine = folder.join(format!("{index}.0.0/work/mine"));
            assert_eq!(std::fs::read_to_string(mine).unwrap(), format!("{index}\n"));
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_number_may_stand_in_the_script_section() {
    with_operator(async |bed| {
        let mut job = image("centos", "five", "echo \"$1\"");
        job.spec.script.queue = Some(5);
        let job = bed.apply(job).await;
        let status = bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(status.completed_indexes.as_deref(), Some("0-4"));
        assert_eq!(bed.logs(&job, Some(3)).await.unwrap(), b"3\n");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_window_holds_back_what_the_pool_shall_not_see_yet() {
    with_operator(async |bed| {
        bed.set("HTC_MAX_JOBS_IN_QUEUE", Some("3"));
        bed.set("HTC_MAX_JOBS_PER_SUBMISSION", Some("2"));
        bed.kill().await;
        bed.start().await;
        let mut job = host("window", &(bed.gate("go") + "echo done"));
        job.spec.queue = Some(5);
        let job = bed.apply(job).await;
        bed.until_queued(&job, 2, 3).await;
        let status = bed.status(&job).await;
        assert_eq!((status.active, bed.queued(&job).await.len()), (Some(5), 3));
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 5).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn thirty_copies_pass_through_three_windows_of_ten() {
    with_operator(async |bed| {
        bed.set("HTC_MAX_JOBS_IN_QUEUE", Some("10"));
        bed.kill().await;
        bed.start().await;
        let mut job = host("windows", "echo \"$1\"");
        job.spec.queue = Some(30);
        let job = bed.apply(job).await;
        until("all to end", async || {
            let inside = bed.queued(&job).await.len();
            assert!(inside <= 10, "{inside} in the queue");
            let status = bed.status(&job).await;
            if status.phase == Some(Phase::Succeeded) { Ok(()) } else { Err(format!("{status:#?}")) }
        })
        .await;
        assert!(bed.metric("htc_submissions_total{kind=\"ok\"}").await >= 3);
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 30).await;
    })
    .await;
}
