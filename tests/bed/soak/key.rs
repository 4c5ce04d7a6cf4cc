//! The master key is lost while jobs run: how they end comes out, and the operator says what it lacks.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use htc_operator::htcjob::types::Phase;

use crate::harness::{host, until, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn jobs_whose_master_key_is_lost_end_by_their_ads_and_their_logs_come_home() {
    with_operator(async |bed| {
        let old = bed.apply(host("old", &(bed.gate("go") + "echo kept; exit 3"))).await;
        bed.until_phase(&old, Phase::Running).await;
        let key_file = bed.folder.join("master.key");
        let before = fs::read_to_string(&key_file).unwrap();
        bed.kill().await;
        let new = format!("k1:{}\n", STANDARD.encode([7; 32]));
        fs::write(&key_file, &new).unwrap();
        bed.start().await;
        assert_eq!(bed.metric("htc_master_keys_missing").await, 1);
        let lacks = "lacks the key that jobs were given as k1";
        assert!(bed.log().contains(lacks), "{}", bed.log());
        let doctor = bed.command(&["doctor", "--no-test-job"]).output().await.unwrap();
        let doctor = String::from_utf8(doctor.stdout).unwrap();
        assert!(doctor.contains(lacks), "{doctor}");

        bed.open("go");
        let status = bed.until_phase(&old, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 3"), "{:?}", status.message);
        until("the log to come home", async || match bed.logs(&old, None).await {
            Ok(log) if log == b"kept\n" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert!(bed.metric("htc_reports_total{kind=\"bad_signature\"}").await > 0);
        let fresh = bed.apply(host("fresh", &(bed.gate("fresh") + "true"))).await;
        bed.until_phase(&fresh, Phase::Running).await;
        assert!(bed.kept_report(&fresh).is_some(), "jobs of the new key are believed");

        // With the old line below the new one, nothing is missing.
        bed.kill().await;
        fs::write(&key_file, new.replace("k1", "k2") + &before).unwrap();
        bed.start().await;
        assert_eq!(bed.metric("htc_master_keys_missing").await, 1, "that of `fresh` is k1, too");
        bed.open("fresh");
        bed.until_phase(&fresh, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.kill().await;
        bed.start().await;
        assert_eq!(bed.metric("htc_master_keys_missing").await, 0, "no job has it any more");
        bed.assert_committed_once(&old, 1).await;
        bed.assert_committed_once(&fresh, 1).await;
    })
    .await;
}
