//! What jobs say of themselves, and what others try to say for them.

use cloudevents::{EventBuilder, EventBuilderV10};
use htc_core::events::TYPE;
use htc_core::workload::names::JobKey;
use htc_core::workload::report::{ContainerState, Phase as JobPhase, Report};
use htc_operator::htcjob::types::Phase;
use jiff::Timestamp;

use crate::harness::{AWAY, Job, host, on_bed, until, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn without_a_route_ends_are_seen_all_the_same() {
    on_bed(async |bed| {
        bed.set("HTC_EVENTS_URL", None);
        bed.start().await;
        let good = bed.apply(host("good", "echo here")).await;
        let bad = bed.apply(host("bad", "exit 3")).await;
        bed.until_phase(&good, Phase::Succeeded).await;
        let status = bed.until_phase(&bad, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 3"), "{:?}", status.message);
        assert_eq!(bed.log_of(&good).await, "here\n");
        assert_eq!(bed.metric("htc_reports_total{kind=\"new\"}").await, 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn without_a_route_condor_carries_what_a_running_job_says() {
    on_bed(async |bed| {
        bed.set("HTC_EVENTS_URL", None);
        bed.start().await;
        let job = bed.apply(host("chirps", &(bed.gate("go") + "exit 3"))).await;
        let report = until("the container to be seen running", async || match bed.kept_report(&job) {
            Some(report) if matches!(report.containers[0].state, ContainerState::Running { .. }) => {
                Ok(report)
            }
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!((report.name.as_str(), report.start), ("chirps", 1));
        bed.until_phase(&job, Phase::Running).await;

        // Whoever may edit the job can write there too, but not for the job.
        let forged = "\"v1,k1,AAAAAAAAAAAAAAAAAAAAAA==,WzEsOV0=\"";
        bed.edit(&job, "ChirpHTCReport", forged).await;
        until("the forged report to be counted", async || {
            match bed.metric("htc_chirps_total{kind=\"bad_signature\"}").await {
                0 => Err("none".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        assert_eq!(bed.kept_report(&job), Some(report));

        bed.open("go");
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 3"), "{:?}", status.message);
        assert_eq!(bed.metric("htc_reports_total{kind=\"new\"}").await, 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_route_that_leads_nowhere_costs_no_job_its_end() {
    on_bed(async |bed| {
        bed.set("HTC_EVENTS_URL", Some("http://127.0.0.1:1"));
        bed.start().await;
        let job = bed.apply(host("nowhere", "exit 4")).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 4"), "{:?}", status.message);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn reports_are_taken_once_and_only_from_the_job_itself() {
    with_operator(async |bed| {
        let job = bed.apply(host("talks", &(bed.gate("go") + "true"))).await;
        until("a report of the running job", async || {
            match bed.metric("htc_reports_total{kind=\"new\"}").await {
                0 => Err("none".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        let key = key_of(&job, 0);

        let old = bed.post_signed(&key, event(&key, 1, 0)).await;
        assert_eq!(old.code, 202, "{old:?}");
        assert_eq!(bed.metric("htc_reports_total{kind=\"duplicate\"}").await, 1);

        let forged = bed.post(&key, "v1,k1,AAAA", event(&key, 9, 9)).await;
        assert_eq!(forged.code, 401, "{forged:?}");
        let of_another_job = bed.post_signed(&key_of(&job, 1), event(&key, 9, 9)).await;
        assert_eq!(of_another_job.code, 400, "{of_another_job:?}");
        let other_key = bed.post(&key, "v1,k9,AAAA", event(&key, 9, 9)).await;
        assert_eq!(other_key.code, 401, "{other_key:?}");
        let garbage = bed.post_signed(&key, b"{\"garbage\": [".to_vec()).await;
        assert_eq!(garbage.code, 400, "{garbage:?}");
        let oversize = bed.post_signed(&key, vec![b' '; 1 << 20]).await;
        assert_eq!(oversize.code, 413, "{oversize:?}");
        let stranger = key_of(&job, 7);
        let unknown = bed.post_signed(&stranger, event(&stranger, 1, 1)).await;
        assert_eq!(unknown.code, 410, "{unknown:?}");

        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        let late = bed.post_signed(&key, event(&key, 1, 1)).await;
        assert_eq!(late.code, 202, "{late:?}");
        assert_eq!(bed.metric("htc_reports_total{kind=\"duplicate\"}").await, 2);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn before_the_pool_has_answered_a_report_shall_come_again() {
    on_bed(async |bed| {
        bed.pool_away(AWAY);
        bed.spawn();
        bed.until_alive().await;
        let key: JobKey = "nobody/0/0/0".parse().unwrap();
        let early = bed.post_signed(&key, event(&key, 1, 1)).await;
        assert_eq!(early.code, 503, "{early:?}");
        until("it is ready though the pool is not", async || {
            let ready = bed.get("/readyz").await.unwrap();
            let told = ready.code == 200 && ready.text.contains("the pool has not answered");
            if told { Ok(()) } else { Err(format!("{ready:?}")) }
        })
        .await;
    })
    .await;
}

fn key_of(job: &Job, index: u32) -> JobKey {
    format!("{}/{index}/0/0", job.uid).parse().unwrap()
}

/// A report that a sender might make, as a structured CloudEvent.
fn event(key: &JobKey, start: u32, seq: u64) -> Vec<u8> {
    let report = Report {
        name: "talks".into(),
        namespace: "n".into(),
        jobid: None,
        retcode: None,
        key: key.clone(),
        start,
        seq,
        now: Timestamp::now(),
        phase: JobPhase::Running,
        cut: None,
        worker_fault: None,
        left_out: None,
        init_containers: vec![],
        containers: vec![],
    };
    let event = EventBuilderV10::new()
        .id(format!("{key}-{start}-{seq}"))
        .ty(TYPE)
        .source("cern.ch")
        .data("application/json", serde_json::to_value(report).unwrap())
        .build()
        .unwrap();
    serde_json::to_vec(&event).unwrap()
}
