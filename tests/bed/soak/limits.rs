//! Limits of the schedd that nobody has told the operator.

use super::admin::{configure, reconfigure, with_schedd};
use super::{ends_well, until_reason};
use crate::harness::{Bed, host, until};

/// The schedd has this limit, or none.
async fn limit(bed: &Bed, setting: &str) {
    configure(bed, setting).await;
    reconfigure().await;
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_limit_for_one_submission_is_learnt_from_its_refusal() {
    with_schedd(async |bed: &mut Bed| {
        limit(bed, "MAX_JOBS_PER_SUBMISSION = 3\n").await;
        bed.start().await;
        let mut many = host("many", "true");
        many.spec.queue = Some(20);
        let many = bed.apply(many).await;
        ends_well(bed, &[(&many, 20)]).await;
        limit(bed, "").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_schedd_that_takes_no_more_of_us_is_told_and_waited_for() {
    with_schedd(async |bed: &mut Bed| {
        limit(bed, "MAX_JOBS_PER_OWNER = 4\n").await;
        bed.start().await;
        let mut many = host("many", &(bed.gate("go") + "true"));
        many.spec.queue = Some(12);
        let many = bed.apply(many).await;
        until("the queue to be full", async || match bed.queued(&many).await.len() {
            4 => Ok(()),
            n => Err(format!("{n}")),
        })
        .await;
        let waits = bed.apply(host("waits", "true")).await;
        until_reason(bed, &waits, "QueueFull").await;
        bed.open("go");
        ends_well(bed, &[(&many, 12), (&waits, 1)]).await;
        limit(bed, "").await;
    })
    .await;
}
