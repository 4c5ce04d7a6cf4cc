//! The pool does not answer for a while: a question that was not answered says nothing of any job.

use std::time::{Duration, Instant};

use htc_operator::htcjob::types::Phase;

use crate::harness::{AWAY, HERE, host, on_bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_job_that_comes_while_the_pool_is_away_waits_and_says_why() {
    on_bed(async |bed| {
        bed.pool_away(AWAY);
        bed.spawn();
        let job = bed.apply(host("waits", "echo here")).await;
        let wanted = |reason: &Option<String>| reason.as_deref() == Some("PoolUnavailable");
        let status = bed.until_status(&job, "to say why", |s| wanted(&s.reason)).await;
        assert_eq!((status.phase, status.active), (Some(Phase::Pending), Some(1)));
        assert!(!status.message.unwrap().is_empty());
        let ready = bed.get("/readyz").await.unwrap();
        assert!(ready.code == 200 && ready.text.contains("the pool has not answered"), "{ready:?}");
        assert_eq!(bed.metric("htc_pool_reachable").await, 0);
        assert_eq!(bed.get("/healthz").await.unwrap().code, 200);

        bed.pool_away(HERE);
        bed.until_ready().await;
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pool_that_is_away_for_a_minute_costs_nothing_but_time() {
    on_bed(async |bed| {
        bed.pool_away(HERE);
        bed.start().await;
        let ends = bed.apply(host("ends", &(bed.gate("go") + "exit 6"))).await;
        let runs = bed.apply(host("runs", &(bed.gate("later") + "true"))).await;
        bed.until_phase(&ends, Phase::Running).await;
        bed.until_phase(&runs, Phase::Running).await;

        let began = Instant::now();
        bed.pool_away(AWAY);
        let comes = bed.apply(host("comes", "true")).await;
        bed.open("go");
        bed.until_queued(&ends, 4, 1).await;
        until("a minute to pass", async || {
            for (job, phase) in [(&ends, Phase::Running), (&runs, Phase::Running)] {
                assert_eq!(bed.status(job).await.phase, Some(phase), "{}", job.name);
            }
            let waits = bed.status(&comes).await.phase;
            assert!(matches!(waits, None | Some(Phase::Pending)), "{waits:?}");
            let passed = began.elapsed();
            if passed > Duration::from_secs(60) { Ok(()) } else { Err(format!("{passed:?}")) }
        })
        .await;

        bed.pool_away(HERE);
        let status = bed.until_phase(&ends, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 6"), "{:?}", status.message);
        bed.until_phase(&comes, Phase::Succeeded).await;
        bed.open("later");
        bed.until_phase(&runs, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        for job in [ends, runs, comes] {
            bed.assert_committed_once(&job, 1).await;
        }
    })
    .await;
}
