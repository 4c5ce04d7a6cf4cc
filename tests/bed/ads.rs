//! What jobs, and those who may edit them, put into their ads: it harms no other job.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use htc_operator::htcjob::types::{HTCJobStatus, Phase};
use tokio::process::Command;

use crate::harness::{Bed, Job, host, until, with_operator};

/// Waits until the condition `Tracked` has this reason.
async fn until_tracked(bed: &Bed, job: &Job, reason: &str) {
    let told = |status: &HTCJobStatus| {
        status.conditions.iter().any(|condition| condition.type_ == "Tracked" && condition.reason == reason)
    };
    bed.until_status(job, reason, told).await;
}

/// It can be deleted, and then nothing of it is in the queue.
async fn leaves_nothing(bed: &Bed, job: &Job) {
    bed.delete(job).await;
    bed.until_gone(job).await;
    assert!(bed.queued(job).await.is_empty());
}

/// Another HTCJob comes to its end.
async fn another_ends(bed: &Bed, name: &str) {
    let other = bed.apply(host(name, "echo fine")).await;
    bed.until_phase(&other, Phase::Succeeded).await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_job_that_spoils_its_own_ad_spoils_no_other_and_can_be_deleted() {
    with_operator(async |bed| {
        let deep = format!("{}1{}", "{".repeat(130), "}".repeat(130));
        let job = bed.apply(host("deep", "sleep 1000")).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.edit(&job, "ChirpHTCReport", &deep).await;
        until_tracked(bed, &job, "AdPartlyUnreadable").await;
        another_ends(bed, "first").await;
        bed.edit(&job, "EnteredCurrentStatus", "error").await;
        another_ends(bed, "second").await;
        bed.edit(&job, "HTCOperatorKey", "{7}").await;
        until_tracked(bed, &job, "AdUnreadable").await;
        another_ends(bed, "third").await;
        leaves_nothing(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_job_whose_status_is_nonsense_can_be_deleted() {
    with_operator(async |bed| {
        let job = bed.apply(host("nonsense", "sleep 1000")).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.act("condor_hold", &job).await;
        bed.until_phase(&job, Phase::Held).await;
        bed.edit(&job, "JobStatus", "\"x\"").await;
        until_tracked(bed, &job, "AdUnreadable").await;
        leaves_nothing(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_file_name_that_is_no_text_in_a_hold_reason_is_shown_and_harms_nothing() {
    with_operator(async |bed| {
        let job = bed.apply(host("bytes", "sleep 1000")).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.act("condor_hold", &job).await;
        let constraint = format!("HTCOperatorUid == \"{}\"", job.uid);
        until("condor_qedit", async || {
            let mut edit = Command::new("condor_qedit");
            edit.args(["-constraint", &constraint, "HoldReason"])
                .arg(OsStr::from_bytes(b"\"no file f\xff\""));
            let output = edit.output().await.map_err(|why| why.to_string())?;
            output.status.success().then_some(()).ok_or_else(|| format!("{output:?}"))
        })
        .await;
        let shown =
            |s: &HTCJobStatus| s.message.as_ref().is_some_and(|text| text.contains("no file f\u{fffd}"));
        bed.until_status(&job, "the reason", shown).await;
        another_ends(bed, "other").await;
        bed.delete(&job).await;
        bed.until_gone(&job).await;
    })
    .await;
}
