//! A pod that loses its machine.

use super::{create, end, ended, job, with_endpoint};
use crate::client::pods::{container, pod};
use crate::harness::{Bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pod_that_loses_its_machine_has_failed_and_leaves_the_queue() {
    with_endpoint(async |bed: &mut Bed, kubelet| {
        let told = bed.shared_folder("told");
        let starts = told.join("starts");
        let takes = format!(
            "echo started >> {0}; trap 'exit 7' TERM; touch {0}.up; while :; do sleep 0.1; done",
            starts.display()
        );
        let takes = container("takes", "host", &["sh", "-c", &takes]);
        let sleeps = container("sleeps", "busybox", &["sleep", "1000"]);
        let pod = pod("evicted", &[], &[takes, sleeps]);
        let uid = create(kubelet, &pod).await;
        kubelet.until_phase(&uid, "Running").await;
        until("it to take signals", async || match told.join("starts.up").exists() {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        })
        .await;
        bed.act("condor_vacate_job", &job(&pod)).await;
        let answer = ended(kubelet, &uid, "Failed").await;
        // Nobody asks any more, so it leaves; and nobody starts it a second time.
        bed.until_queue_empty().await;
        assert_eq!(std::fs::read_to_string(starts).unwrap(), "started\n");
        bed.assert_committed_once(&job(&pod), 1).await;
        assert_eq!(bed.metric("htc_jobs_ended_total{kind=\"Evicted\"}").await, 1);
        assert_eq!(bed.metric("htc_jobs_copies_total").await, 0);
        for name in ["takes", "sleeps"] {
            assert_ne!(end(&answer, name).exit_code, 0, "{name}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pod_that_is_put_on_hold_while_it_runs_has_failed_and_says_why() {
    with_endpoint(async |bed: &mut Bed, kubelet| {
        let pod = pod("held", &[], &[container("main", "host", &["sleep", "1000"])]);
        let uid = create(kubelet, &pod).await;
        kubelet.until_phase(&uid, "Running").await;
        bed.act("condor_hold", &job(&pod)).await;
        ended(kubelet, &uid, "Failed").await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job(&pod), 1).await;
        assert_eq!(bed.metric("htc_jobs_ended_total{kind=\"JobHeld\"}").await, 1);
    })
    .await;
}
