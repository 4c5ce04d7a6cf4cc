//! A deletion that cannot finish says why, and an admin can let go.

use htc_operator::htcjob::types::{HTCJobStatus, Phase};
use serde_json::json;

use crate::harness::{AWAY, Bed, DYING_SUBMIT, HERE, Job, host, on_bed, until, with_operator};

/// Whether a status says, wherever people look, that it waits for this.
pub fn waits_for(status: &HTCJobStatus, reason: &str) -> bool {
    let condition = status.conditions.iter().find(|c| c.type_ == "JobsRemoved");
    status.phase == Some(Phase::Deleting)
        && status.reason.as_deref() == Some(reason)
        && condition.is_some_and(|c| {
            c.status == "False" && c.reason == reason && status.message.as_deref() == Some(&c.message)
        })
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn while_the_pool_is_away_an_object_stays_and_says_so() {
    away(async |bed, job| {
        bed.pool_away(HERE);
        bed.until_gone(&job).await;
        assert!(bed.queued(&job).await.is_empty());
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn with_the_annotation_it_goes_at_once_and_its_jobs_when_the_pool_is_back() {
    away(async |bed, job| {
        bed.patch_metadata(&job, json!({ "annotations": { "htc.cern.ch/abandon-jobs": "true" } })).await;
        bed.until_gone(&job).await;
        until_event(bed, &job, "JobsAbandoned").await;
        assert!(bed.log().contains("jobs of it may be left in HTCondor's queue"));
        assert_eq!(bed.queued(&job).await.len(), 1);
        bed.pool_away(HERE);
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

/// A job runs, the pool goes away, and the object is deleted.
async fn away(then: impl AsyncFnOnce(&mut Bed, Job)) {
    on_bed(async |bed: &mut Bed| {
        bed.pool_away(HERE);
        bed.start().await;
        let job = bed.apply(host("away", "sleep 1000")).await;
        bed.until_queued(&job, 2, 1).await;
        bed.pool_away(AWAY);
        bed.delete(&job).await;
        bed.until_status(&job, "to say why it stays", |s| waits_for(s, "PoolUnavailable")).await;
        until_event(bed, &job, "PoolUnavailable").await;
        let writes = bed.metric("htc_status_writes_total{kind=\"ok\"}").await;
        let looks = async || bed.metric("htc_looks_total{kind=\"failed\"}").await;
        let before = looks().await;
        until("more looks", async || match looks().await - before {
            0..3 => Err("not yet".to_owned()),
            _ => Ok(()),
        })
        .await;
        assert_eq!(bed.metric("htc_status_writes_total{kind=\"ok\"}").await, writes, "nothing has changed");
        let events = bed.events(&job).await.unwrap();
        assert_eq!(events.iter().filter(|told| told.reason == "PoolUnavailable").count(), 1);
        then(bed, job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn what_a_tool_has_committed_when_its_object_is_let_go_is_removed_while_the_tool_lives() {
    on_bed(async |bed: &mut Bed| {
        let tool = bed.replace_tool("condor_submit", DYING_SUBMIT);
        bed.start().await;
        let job = bed.apply(host("half", "sleep 1000")).await;
        bed.until_queued(&job, 5, 1).await;
        bed.delete(&job).await;
        bed.until_status(&job, "to say why it stays", |s| waits_for(s, "SubmissionUncertain")).await;
        bed.patch_metadata(&job, json!({ "annotations": { "htc.cern.ch/abandon-jobs": "true" } })).await;
        bed.until_gone(&job).await;
        bed.until_queue_empty().await;
        tool.go_on();
        let next = bed.apply(host("next", "true")).await;
        bed.until_phase(&next, Phase::Succeeded).await;
        assert!(bed.queued(&job).await.is_empty());
        bed.assert_committed_once(&job, 0).await;
        assert!(!bed.data().join("jobs").join(&job.uid).exists());
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn on_an_object_that_is_not_deleted_the_annotation_means_nothing() {
    with_operator(async |bed| {
        let mut job = host("kept", &(bed.gate("go") + "echo done"));
        job.metadata.annotations = Some([("htc.cern.ch/abandon-jobs".into(), "true".into())].into());
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&job).await, "done\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

async fn until_event(bed: &Bed, job: &Job, reason: &str) {
    until(&format!("the event {reason}"), async || match bed.events(job).await? {
        there if there.iter().any(|told| told.reason == reason) => Ok(()),
        others => Err(format!("{others:?}")),
    })
    .await;
}
