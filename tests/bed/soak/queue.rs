//! Another queue in the place of the schedd's own: empty, with ids that begin again, and made at another time.

use htc_operator::htcjob::types::Phase;

use super::admin::{as_root, configure, restart, with_schedd};
use super::{ends_well, until_reason};
use crate::harness::{Bed, host};

/// Where the schedd finds another queue. Below a folder of HTCondor's own, for the users of jobs must reach it.
const ELSEWHERE: &str = "/var/lib/condor/soak";

/// The schedd has another queue and another spool.
async fn another_queue(bed: &Bed) {
    as_root("rm", &["-rf", ELSEWHERE]).await.unwrap();
    as_root("install", &["-d", "-o", "condor", "-g", "condor", ELSEWHERE]).await.unwrap();
    configure(bed, &format!("SPOOL = {ELSEWHERE}\n")).await;
    restart().await;
}

/// It has its own again.
async fn own_queue(bed: &Bed) {
    configure(bed, "").await;
    restart().await;
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_queue_that_is_replaced_has_nothing_submitted_removed_or_ended_until_it_is_back() {
    with_schedd(async |bed: &mut Bed| {
        bed.start().await;
        let mut runs = host("runs", &(bed.gate("go") + "true"));
        runs.spec.queue = Some(3);
        let runs = bed.apply(runs).await;
        let deleted = bed.apply(host("deleted", "sleep 1000")).await;
        bed.until_queued(&runs, 2, 3).await;
        bed.until_queued(&deleted, 2, 1).await;

        another_queue(bed).await;
        let comes = bed.apply(host("comes", "true")).await;
        let why = until_reason(bed, &comes, "StoreMismatch").await;
        assert!(why.contains("birthdate") && why.contains("htc-operator db accept"), "{why}");
        bed.delete(&deleted).await;
        bed.until_looks(3).await;
        assert_eq!(bed.metric("htc_store_mismatch").await, 1);
        assert!(bed.queue().await.is_empty(), "submitted to a queue that is not known");
        assert!(bed.object(&deleted).await.is_some(), "its job is in the other queue");
        let status = bed.status(&runs).await;
        assert_eq!((status.active, status.failed), (Some(3), Some(0)), "{status:#?}");
        assert_eq!(bed.get("/readyz").await.unwrap().code, 200);

        own_queue(bed).await;
        bed.until_gone(&deleted).await;
        bed.open("go");
        ends_well(bed, &[(&runs, 3), (&comes, 1)]).await;
        bed.assert_committed_once(&deleted, 1).await;
        assert_eq!(bed.metric("htc_store_mismatch").await, 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_queue_that_was_made_anew_while_the_operator_was_away_is_used_once_a_person_accepts_it() {
    with_schedd(async |bed: &mut Bed| {
        bed.start().await;
        let before = bed.apply(host("before", "echo before")).await;
        bed.until_phase(&before, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&before, 1).await;
        bed.kill().await;

        another_queue(bed).await;
        bed.start().await;
        let comes = bed.apply(host("comes", "echo comes")).await;
        until_reason(bed, &comes, "StoreMismatch").await;
        bed.until_looks(3).await;
        assert!(bed.every_job().await.is_empty());
        let accept = bed.command(&["db", "accept"]).output().await.unwrap();
        let said = String::from_utf8(accept.stdout).unwrap();
        assert!(accept.status.success() && said.contains("birthdate"), "{said}");
        ends_well(bed, &[(&comes, 1)]).await;
        let status = bed.status(&before).await;
        assert_eq!(status.phase, Some(Phase::Succeeded), "{status:#?}");
        assert_eq!(bed.log_of(&before).await, "before\n");

        bed.kill().await;
        bed.start().await;
        let again = bed.apply(host("again", "true")).await;
        ends_well(bed, &[(&again, 1)]).await;
        assert_eq!(bed.metric("htc_store_mismatch").await, 0, "accepted for good");
    })
    .await;
}
