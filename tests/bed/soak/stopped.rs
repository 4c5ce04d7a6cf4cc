//! Ten minutes without the schedd.

use std::time::{Duration, Instant};

use htc_operator::htcjob::types::Phase;

use super::admin::{goes_on, stands_still, with_schedd};
use super::kubelet::Endpoint;
use super::{assert_pod_committed_once, quick, until_condition, with_interlink};
use crate::client::dialect::{Dialect, Hop, Version};
use crate::client::kubelet::VirtualKubelet;
use crate::harness::{Bed, Job, host, throughout, until};

/// Seconds of the outage: twice the five minutes after which Kubernetes gives up a node, and its pods.
const STOPPED: u64 = 600;
const AWAY: &str = "the pool has not answered";

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn ten_minutes_without_the_schedd_fail_no_ping_take_no_endpoint_and_end_no_job() {
    with_schedd(async |bed: &mut Bed| {
        let mut kubelet = with_interlink(bed);
        bed.start().await;
        let endpoint = Endpoint::make(bed).await;
        let ends = bed.apply(host("ends", &(bed.gate("go") + "exit 6"))).await;
        let runs = bed.apply(host("runs", &(bed.gate("later") + "true"))).await;
        let uid = kubelet.create(&quick("pod", &(bed.gate("later") + "true"))).await.unwrap().pod_uid;
        bed.until_phase(&ends, Phase::Running).await;
        bed.until_phase(&runs, Phase::Running).await;
        kubelet.until_phase(&uid, "Running").await;

        stands_still().await;
        let began = Instant::now();
        let comes = bed.apply(host("comes", "true")).await;
        bed.open("go");
        // A tool that hangs is given up after a minute.
        until("it to be told", async || {
            is_served(bed, &mut kubelet, &endpoint, [&ends, &runs, &comes]).await;
            let ready = bed.get("/readyz").await?.text;
            if ready.contains(AWAY) { Ok(()) } else { Err(ready) }
        })
        .await;
        let seconds = std::env::var("HTC_SOAK_STOPPED").map_or(STOPPED, |text| text.parse().unwrap());
        throughout(Duration::from_secs(seconds).saturating_sub(began.elapsed()), async || {
            let told = is_served(bed, &mut kubelet, &endpoint, [&ends, &runs, &comes]).await;
            assert!(told.iter().all(|words| words.contains(AWAY)), "{told:?}");
            assert_eq!(bed.metric("htc_pool_reachable").await, 0);
        })
        .await;
        for job in [&runs, &comes] {
            until_condition(bed, job, "PoolReachable", "False").await;
        }

        goes_on().await;
        bed.until_ready().await;
        let status = bed.until_phase(&ends, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 6"), "{:?}", status.message);
        bed.until_phase(&comes, Phase::Succeeded).await;
        bed.open("later");
        bed.until_phase(&runs, Phase::Succeeded).await;
        kubelet.until_phase(&uid, "Succeeded").await;
        assert_pod_committed_once(bed, &uid).await;
        kubelet.delete(&uid).await.success().unwrap();
        bed.until_queue_empty().await;
        bed.assert_all_committed_once(&[(&ends, 1), (&runs, 1), (&comes, 1)]).await;
    })
    .await;
}

/// Pings and probes are answered well, the endpoint is there, and nothing has ended. Gives what was said.
async fn is_served(
    bed: &Bed,
    kubelet: &mut VirtualKubelet,
    endpoint: &Endpoint,
    [ends, runs, comes]: [&Job; 3],
) -> Vec<String> {
    let mut said = Vec::new();
    for hop in [Hop::Kubelet, Hop::Server] {
        let ping = kubelet.transport.send(&Dialect { version: Version::V062, hop }.ping()).await.unwrap();
        assert_eq!(ping.code, 200, "{}", ping.text());
        said.push(ping.text());
    }
    let ready = bed.get("/readyz").await.unwrap();
    assert_eq!(ready.code, 200, "{}", ready.text);
    assert_eq!(bed.get("/healthz").await.unwrap().code, 200);
    endpoint.probed(ready.code == 200).await;
    said.push(ready.text);
    assert_eq!(endpoint.is_there().await, Ok(()));
    kubelet.sweep().await;
    assert!(kubelet.pods.values().all(|pod| pod.copy.phase == "Running"), "{:?}", kubelet.pods);
    for job in [ends, runs] {
        assert_eq!(bed.status(job).await.phase, Some(Phase::Running), "{}", job.name);
    }
    let waits = bed.status(comes).await.phase;
    assert!(matches!(waits, None | Some(Phase::Pending)), "{waits:?}");
    said
}
