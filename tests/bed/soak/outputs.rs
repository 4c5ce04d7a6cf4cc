//! The queue answers, but gives no files.

use htc_operator::htcjob::types::Phase;

use super::admin::{as_root, with_schedd};
use super::{ends_well, until_condition};
use crate::harness::{Bed, Job, host, tool, until};

/// The folder in which the schedd keeps what an HTCJob's only job has brought.
async fn spooled(job: &Job) -> String {
    let constraint = format!("HTCOperatorUid == \"{}\"", job.uid);
    let arguments = ["-allusers", "-constraint", &constraint, "-af", "Iwd"];
    until("condor_q", async || tool("condor_q", &arguments).await).await.trim().to_owned()
}

#[tokio::test]
#[ignore = "needs the test bed: make soak"]
async fn outputs_that_the_schedd_does_not_give_stay_with_it_and_come_home_once_it_does() {
    with_schedd(async |bed: &mut Bed| {
        bed.start().await;
        let job = bed.apply(host("ended", &(bed.gate("go") + "echo said; echo made > file"))).await;
        bed.until_queued(&job, 2, 1).await;
        bed.kill().await;
        bed.open("go");
        bed.until_queued(&job, 4, 1).await;
        let folder = spooled(&job).await;
        assert!(folder.contains("/spool/"), "{folder}");
        as_root("chmod", &["000", &folder]).await.unwrap();

        bed.start().await;
        let other = bed.apply(host("other", "true")).await;
        bed.until_phase(&other, Phase::Succeeded).await;
        until_condition(bed, &job, "OutputsLate", "True").await;
        bed.until_looks(3).await;
        assert_eq!(bed.queued(&job).await.len(), 1, "acknowledged without its outputs");
        as_root("test", &["-e", &format!("{folder}/result.json")]).await.unwrap();

        as_root("chmod", &["700", &folder]).await.unwrap();
        ends_well(bed, &[(&job, 1), (&other, 1)]).await;
        assert_eq!(bed.log_of(&job).await, "said\n");
        let made = bed.data().join("jobs").join(&job.uid).join("0.0.0/work/file");
        assert_eq!(std::fs::read_to_string(made).unwrap(), "made\n");
    })
    .await;
}
