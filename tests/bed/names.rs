//! Names are not identities.

use htc_operator::htcjob::types::Phase;

use crate::harness::{host, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_same_name_in_two_namespaces_is_two_jobs() {
    with_operator(async |bed| {
        let first = bed.apply(host("same", "echo first")).await;
        let second = bed.apply_in(&bed.other_namespace, host("same", "echo second")).await;
        for (job, text) in [(&first, "first\n"), (&second, "second\n")] {
            bed.until_phase(job, Phase::Succeeded).await;
            assert_eq!(bed.log_of(job).await, text);
        }
        bed.until_queue_empty().await;
        bed.assert_committed_once(&first, 1).await;
        bed.assert_committed_once(&second, 1).await;
        bed.delete(&first).await;
        bed.until_gone(&first).await;
        assert_eq!(bed.log_of(&second).await, "second\n");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_name_that_is_used_again_is_a_new_job() {
    with_operator(async |bed| {
        let first = bed.apply(host("again", "echo first; sleep 1000")).await;
        bed.until_queued(&first, 2, 1).await;
        bed.delete(&first).await;
        bed.until_gone(&first).await;
        let second = bed.apply(host("again", "echo second")).await;
        bed.until_phase(&second, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&second).await, "second\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&first, 1).await;
        bed.assert_committed_once(&second, 1).await;
    })
    .await;
}
