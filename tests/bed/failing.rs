//! Jobs that fail say so, with a reason and a sentence.

use htc_operator::htcjob::types::Phase;

use crate::harness::{host, image, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_that_exits_1_fails_with_its_exit_code() {
    with_operator(async |bed| {
        let job = bed.apply(host("one", "echo before; exit 1")).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert_eq!((status.failed, status.succeeded, status.active), (Some(1), Some(0), Some(0)));
        assert_eq!(status.failed_indexes.as_deref(), Some("0"));
        assert_eq!(status.reason.as_deref(), Some("Error"));
        assert!(status.message.as_ref().unwrap().contains("exit code 1"), "{:?}", status.message);
        let failed = status.conditions.iter().find(|c| c.type_ == "Failed").unwrap();
        assert_eq!((failed.status.as_str(), failed.reason.as_str()), ("True", "Error"));
        assert_eq!(bed.log_of(&job).await, "before\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn some_of_many_may_fail_and_the_status_says_which() {
    with_operator(async |bed| {
        let mut job = host("some", "exit $(( $1 % 3 == 1 ? 7 : 0 ))");
        job.spec.queue = Some(6);
        let job = bed.apply(job).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert_eq!((status.failed, status.succeeded, status.active), (Some(2), Some(4), Some(0)));
        assert_eq!(status.failed_indexes.as_deref(), Some("1,4"));
        assert_eq!(status.completed_indexes.as_deref(), Some("0,2-3,5"));
        assert!(status.message.as_ref().unwrap().starts_with("index 1: "), "{:?}", status.message);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_command_that_is_not_there_is_named() {
    with_operator(async |bed| {
        let (mut outside, mut inside) = (host("outside", "true"), image("centos", "inside", "true"));
        outside.spec.script.command = "no-such-command -x".into();
        inside.spec.script.command = "no-such-command -x".into();
        for job in [bed.apply(outside).await, bed.apply(inside).await] {
            let status = bed.until_phase(&job, Phase::Failed).await;
            assert_eq!(status.reason.as_deref(), Some("ContainerCannotRun"), "{status:#?}");
            assert!(status.message.as_ref().unwrap().contains("no-such-command"), "{:?}", status.message);
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_image_that_does_not_exist_is_named() {
    with_operator(async |bed| {
        let job = bed.apply(image("no-such-image", "pull", "true")).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert_eq!(status.failed, Some(1));
        assert_eq!(status.reason.as_deref(), Some("ContainerCannotRun"));
        assert!(status.message.as_ref().unwrap().contains("no-such-image"), "{:?}", status.message);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_that_is_killed_says_so() {
    with_operator(async |bed| {
        let outside = bed.apply(host("outside", "kill -KILL $$")).await;
        // In an image apptainer tells of a signal only by the exit code.
        let inside = bed.apply(image("centos", "inside", "kill -KILL $$")).await;
        for (job, words) in [(outside, "signal 9"), (inside, "exit code 137")] {
            let status = bed.until_phase(&job, Phase::Failed).await;
            assert_eq!(status.reason.as_deref(), Some("Error"));
            assert!(status.message.as_ref().unwrap().contains(words), "{:?}", status.message);
        }
    })
    .await;
}
