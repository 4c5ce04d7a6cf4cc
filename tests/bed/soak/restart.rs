//! The schedd ends and comes back.

use super::admin::{killed, restart, with_schedd};
use super::{assert_pod_committed_once, ends_well, quick, with_interlink};
use crate::harness::{Bed, Job, host, tool, until};

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_schedd_that_is_killed_while_jobs_are_submitted_has_each_of_them_once() {
    const ROUNDS: usize = 4;
    with_schedd(async |bed: &mut Bed| {
        bed.start().await;
        let mut jobs: Vec<Job> = Vec::new();
        for round in 0..ROUNDS {
            for n in 0..8 {
                let mut job = host(&format!("round-{round}-{n}"), "echo \"$1\"");
                // Each is a submission of its own.
                job.spec.htcopts = Some(format!("request_memory = {}\n", 100 + n));
                job.spec.queue = Some(5);
                jobs.push(bed.apply(job).await);
            }
            until("a submission", async || tool("pgrep", &["-x", "condor_submit"]).await).await;
            killed().await;
        }
        let jobs: Vec<(&Job, u32)> = jobs.iter().map(|job| (job, 5)).collect();
        ends_well(bed, &jobs).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_schedd_that_is_killed_costs_running_jobs_nothing() {
    survives(async || killed().await).await;
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_schedd_that_is_started_again_costs_jobs_nothing_but_time() {
    survives(async || restart().await).await;
}

/// HTCJobs that wait and run, and a pod that runs, come to their ends although the schedd has ended meanwhile.
async fn survives(ended: impl AsyncFn()) {
    with_schedd(async |bed: &mut Bed| {
        let mut kubelet = with_interlink(bed);
        bed.start().await;
        let mut waits = host("waits", "true");
        waits.spec.htcopts = Some("+JobFlavour = \"kept\"\nrequirements = MY.JobFlavour == \"go\"".into());
        let waits = bed.apply(waits).await;
        let mut runs = host("runs", &(bed.gate("go") + "echo $1"));
        runs.spec.queue = Some(3);
        let runs = bed.apply(runs).await;
        let uid = kubelet.create(&quick("pod", &(bed.gate("go") + "true"))).await.unwrap().pod_uid;
        bed.until_queued(&waits, 1, 1).await;
        bed.until_queued(&runs, 2, 3).await;
        kubelet.until_phase(&uid, "Running").await;

        ended().await;
        bed.open("go");
        bed.edit(&waits, "JobFlavour", "\"go\"").await;
        kubelet.until_phase(&uid, "Succeeded").await;
        assert_pod_committed_once(bed, &uid).await;
        kubelet.delete(&uid).await.success().unwrap();
        ends_well(bed, &[(&waits, 1), (&runs, 3)]).await;
    })
    .await;
}
