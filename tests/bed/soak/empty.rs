//! Complete answers that are wrong.

use std::time::Duration;

use htc_operator::htcjob::types::Phase;

use super::admin::with_schedd;
use super::{ends_well, until_condition};
use crate::harness::{Bed, host, throughout};

/// The tool says that there are no jobs, as long as a file lies beside it.
const EMPTY: &str = r#"#!/bin/bash
[ ! -e "$0.empty" ] || exit 0
exec /usr/bin/condor_q "$@"
"#;

/// What has once ended live jobs.
const TIME: Duration = Duration::from_secs(83);

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn an_empty_queue_for_83_seconds_ends_no_job_and_removes_none() {
    with_schedd(async |bed: &mut Bed| {
        bed.replace_tool("condor_q", EMPTY);
        let flag = bed.folder.join("tools/condor_q.empty");
        bed.start().await;
        let mut runs = host("runs", &(bed.gate("go") + "true"));
        runs.spec.queue = Some(3);
        let runs = bed.apply(runs).await;
        let deleted = bed.apply(host("deleted", "sleep 1000")).await;
        bed.until_phase(&runs, Phase::Running).await;
        bed.until_queued(&runs, 2, 3).await;
        bed.until_queued(&deleted, 2, 1).await;

        std::fs::write(&flag, "").unwrap();
        bed.until_looks(1).await;
        bed.delete(&deleted).await;
        throughout(TIME, async || {
            let status = bed.status(&runs).await;
            assert_eq!((status.active, status.failed), (Some(3), Some(0)), "{status:#?}");
            assert!(bed.object(&deleted).await.is_some(), "let go, though its job was only not seen");
        })
        .await;
        until_condition(bed, &runs, "Tracked", "False").await;
        assert_eq!(bed.queued(&runs).await.len(), 3, "live jobs were removed");

        std::fs::remove_file(&flag).unwrap();
        until_condition(bed, &runs, "Tracked", "True").await;
        bed.until_gone(&deleted).await;
        bed.open("go");
        ends_well(bed, &[(&runs, 3)]).await;
    })
    .await;
}
