//! The operator as a process: how it refuses to start, and how it ends.

use std::time::{Duration, Instant};

use htc_operator::htcjob::types::Phase;
use rustix::process::Signal;

use crate::harness::{host, on_bed, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn on_sigterm_it_ends_in_order_and_soon_though_jobs_run() {
    with_operator(async |bed| {
        let job = bed.apply(host("goes-on", &(bed.gate("go") + "echo done"))).await;
        bed.until_phase(&job, Phase::Running).await;
        let asked = Instant::now();
        bed.signal(Signal::TERM);
        let status = bed.ended().await;
        assert_eq!(status.code(), Some(0), "{status}");
        assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
        assert!(bed.get("/healthz").await.is_err());
        bed.start().await;
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_second_one_on_the_same_data_folder_refuses() {
    with_operator(async |bed| {
        let output = bed.command(&["serve"]).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let folder = bed.data().display().to_string();
        assert!(said.contains(&format!("another operator uses the data folder {folder}")), "{said}");
        bed.assert_alive();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn what_it_needs_to_start_it_names_when_it_is_missing() {
    on_bed(async |bed| {
        for (setting, value, words) in [
            ("HTC_MASTER_KEY_FILE", "/no/such.key", "failed to read the master key file /no/such.key"),
            ("HTC_SENDER", "/no/such-sender", "the in-job program /no/such-sender is not there"),
            ("KUBECONFIG", "/no/such.conf", "failed to find a Kubernetes cluster"),
            ("HTC_DATA_DIR", "/proc/no", "failed to make the data folder /proc/no"),
        ] {
            let output = bed.command(&["serve"]).env(setting, value).output().await.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{setting}: {said}");
            assert!(said.contains(words), "{setting}: {said}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn logs_says_when_no_operator_answers_and_when_there_is_no_such_job() {
    with_operator(async |bed| {
        let job = bed.apply(host("runs", "sleep 1000")).await;
        bed.until_phase(&job, Phase::Running).await;
        let mut stranger = job.clone();
        stranger.name = "nobody".into();
        let unknown = bed.logs(&stranger, None).await.unwrap_err();
        assert!(unknown.contains("no such job is known"), "{unknown}");
        bed.kill().await;
        let dead = bed.logs(&job, None).await.unwrap_err();
        assert!(dead.contains("no operator answers"), "{dead}");
    })
    .await;
}
