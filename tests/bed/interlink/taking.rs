//! A UID belongs to the door that has used it: InterLink's callers may know the UIDs of HTCJobs.

use htc_operator::htcjob::types::Phase;

use super::{by_socket, kubelet, quick, start, until_answers};
use crate::harness::{Bed, host, on_bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_object_whose_uid_a_pod_has_says_so_and_takes_nothing_from_the_pod() {
    on_bed(async |bed: &mut Bed| {
        let job = bed.apply(host("mine", "echo mine")).await;
        start(bed).await;
        let mut pod = quick("thief", "sleep 1000");
        pod["metadata"]["uid"] = job.uid.as_str().into();
        let mut caller = kubelet(bed);
        caller.create(&pod).await.unwrap();
        caller.until_phase(&job.uid, "Running").await;
        bed.kill().await;

        bed.start().await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        let message = status.message.unwrap();
        assert!(message.contains("came through interlink"), "{message}");
        bed.delete(&job).await;
        bed.until_gone(&job).await;
        bed.kill().await;

        bed.spawn_as(&["interlink"]);
        until_answers(bed, &by_socket(bed)).await;
        caller.until_phase(&job.uid, "Running").await;
        caller.delete(&job.uid).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pod_takes_no_uid_of_an_object() {
    on_bed(async |bed: &mut Bed| {
        bed.start().await;
        let job = bed.apply(host("mine", "sleep 1000")).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.kill().await;

        bed.spawn_as(&["interlink"]);
        until_answers(bed, &by_socket(bed)).await;
        let mut pod = quick("thief", "true");
        pod["metadata"]["uid"] = job.uid.as_str().into();
        let mut caller = kubelet(bed);
        let refused = caller.create(&pod).await.unwrap_err();
        assert!(format!("{refused:?}").contains("no pod"), "{refused:?}");
        assert_eq!(caller.delete(&job.uid).await.code, 409);
        bed.kill().await;

        bed.start().await;
        until("its job to be followed again", async || match bed.status(&job).await.phase {
            Some(Phase::Running) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        bed.delete(&job).await;
        bed.until_gone(&job).await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}
