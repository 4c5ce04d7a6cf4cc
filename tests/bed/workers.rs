//! A worker that can start nothing of a job's: here one without the file system of its image.

use htc_operator::htcjob::types::Phase;
use serde_json::Value;

use crate::harness::{Bed, image, on_bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn what_the_only_machine_cannot_run_waits_for_another_and_says_so() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_IMAGE_PATHS", Some("/no-such-mount"));
        bed.set("HTC_WORKER_REQUIREMENTS", Some("HasSingularity =?= True"));
        bed.start().await;
        let job = bed.apply(image("/no-such-mount/x.sif", "stranded", "true")).await;
        let told = until("a worker cannot run it", async || {
            let events = bed.events(&job).await?;
            let told = events.iter().find(|event| event.reason == "WorkerCannotRun");
            told.map(|told| (told.kind.clone(), told.note.clone())).ok_or_else(|| "no event yet".to_owned())
        })
        .await;
        assert_eq!(told.0, "Warning");
        // Idle, as another submission, that only another machine may take.
        bed.until_queued(&job, 1, 1).await;
        let ads = bed.queued(&job).await;
        assert!(ads[0]["HTCOperatorKey"].as_str().unwrap().ends_with("/0/0/1"), "{ads:?}");
        let (_, after) = told.1.split_once("could not be run on ").expect("it names the machine");
        let (machine, _) = after.split_once(" (").expect("and says why");
        assert!(told.1.contains("this worker has no /no-such-mount/x.sif"), "{}", told.1);
        let requirements = ads[0]["Requirements"].as_str().map(str::to_owned);
        let requirements = requirements.unwrap_or_else(|| ads[0]["Requirements"].to_string());
        let requirements = requirements.replace(" isnt ", " =!= ");
        assert!(requirements.contains("HasSingularity"), "{requirements}");
        assert!(requirements.contains(&format!("TARGET.Machine =!= \"{machine}\"")), "{requirements}");
        let status = bed.until_phase(&job, Phase::Submitted).await;
        assert_eq!(status.failed, Some(0));
        assert_eq!(bed.metric("htc_worker_failures_total").await, 1);
        bed.delete(&job).await;
        bed.until_gone(&job).await;
        bed.until_queue_empty().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn requirements_that_are_no_expression_or_that_no_slot_meets_are_said() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_WORKER_REQUIREMENTS", Some("true) || (true"));
        bed.spawn();
        assert!(!bed.ended().await.success());
        assert!(bed.log().contains("HTC_WORKER_REQUIREMENTS"), "{}", bed.log());
        for (text, found) in
            [("HasSingularity =?= True", "slots meet"), ("NoSuchThing", "no slot of the pool meets")]
        {
            bed.set("HTC_WORKER_REQUIREMENTS", Some(text));
            let told = bed.command(&["doctor", "--no-test-job", "--output", "json"]).output().await.unwrap();
            let findings: Value = serde_json::from_slice(&told.stdout).unwrap();
            let all = findings.as_array().unwrap();
            let line = all.iter().find(|finding| finding["check"] == "workers").unwrap().to_string();
            assert!(line.contains(found), "{line}");
        }
    })
    .await;
}
