//! Another user of the pool floods the answers with jobs that bear our instance id.

use htc_operator::htcjob::types::Phase;

use super::admin::with_schedd;
use crate::harness::{BOB, Bed, host};

/// With a thousand jobs more than an answer may have.
const REPORT: usize = 400 << 10;

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn a_thousand_large_jobs_of_another_user_with_our_instance_id_blind_nobody() {
    with_schedd(async |bed: &mut Bed| {
        let report = "x".repeat(REPORT);
        let text = format!(
            "executable = /bin/sleep\narguments = 1000\ntransfer_executable = false\nhold = true\n\
             MY.HTCOperatorInstance = \"{}\"\nMY.ChirpHTCReport = \"{report}\"\nqueue 1000\n",
            bed.id
        );
        BOB.submit(bed, &text).await;
        // Nothing has confirmed yet who we are.
        bed.start().await;
        let job = bed.apply(host("works", "echo fine")).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.kill().await;
        bed.start().await;
        let next = bed.apply(host("again", "echo fine")).await;
        bed.until_phase(&next, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_all_committed_once(&[(&job, 1), (&next, 1)]).await;
    })
    .await;
}
