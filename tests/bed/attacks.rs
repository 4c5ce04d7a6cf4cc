//! Attributes with which the author of an HTCJob would have HTCondor act against others: read files of
//! the operator's account, change jobs within the schedd, hold it up or end it.

use htc_operator::htcjob::types::{HTCJobStatus, Phase};

use crate::harness::{Bed, Job, host, tool, with_operator};

/// Lines for `htcopts`, each an attack of its own. Those that change jobs inside the schedd need 25 or newer.
const ATTACKS: &[&str] = &[
    // Bring files that the operator's account can read into the job.
    r#"+CommonInputFiles = "/etc/hostname""#,
    r#"MY.CommonInputFiles = "/etc/hostname""#,
    r#"+commoninputfiles = "/etc/hostname""#,
    r#"+CommonInputCatalogs = "a""#,
    r#"+RequireCommonFilesTransfer = true"#,
    // Let the schedd change jobs: their owner, our keys, the file where events are written.
    r#"+TransformOnEvict = "x""#,
    r#"+TransformBody_x = "SET Owner \"root\"""#,
    r#"MY.TransformBody_another = "SET UserLog \"/etc/profile\"""#,
    // Take machines, or other rights, from others.
    r#"+IsOCUHolder = true"#,
    r#"+WantOCU = true"#,
    r#"+OCUName = "x""#,
    r#"+PrimaryUnixGroup = "root""#,
    r#"+ClaimStartd = "x""#,
    r#"+KeepClaimIdle = 100000"#,
    r#"+FlockTo = "elsewhere""#,
    r#"+WantParallelScheduling = true"#,
    r#"+PreJobPrio1 = 1000000"#,
    // Hold the schedd up.
    r#"+NextJobStartDelay = 100000"#,
    r#"+JobMachineAttrsHistoryLength = 2000000000"#,
    // What the machine does before and after.
    r#"+JobCoreFileName = "/etc/core""#,
    r#"+SkipIfDataflow = true"#,
];

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn attributes_that_act_in_htcondor_are_refused_by_name_and_the_schedd_goes_on() {
    with_operator(async |bed| {
        let born = schedds_birth().await;
        let mut jobs = Vec::new();
        for (n, attack) in ATTACKS.iter().enumerate() {
            let mut job = host(&format!("attack-{n}"), "true");
            job.spec.htcopts = Some(format!("{attack}\n"));
            jobs.push((*attack, bed.apply(job).await));
        }
        let mut accepted = Vec::new();
        for (attack, job) in &jobs {
            accepted.extend(accepts(bed, job, attack).await);
        }
        assert!(accepted.is_empty(), "not refused by name: {accepted:#?}");
        assert!(bed.every_job().await.is_empty(), "they never came to the pool");

        let good = bed.apply(host("good", "true")).await;
        bed.until_phase(&good, Phase::Succeeded).await;
        assert_eq!(schedds_birth().await, born, "the schedd was started again");
    })
    .await;
}

/// What an attack was answered with, unless its attribute is what was refused.
async fn accepts(bed: &Bed, job: &Job, attack: &str) -> Option<String> {
    let name = attack.trim_start_matches('+').trim_start_matches("MY.").split(' ').next().unwrap();
    let answered =
        |s: &HTCJobStatus| s.phase == Some(Phase::Failed) || !s.jobid.is_empty() || s.active > Some(0);
    let status = bed.until_status(job, "an answer", answered).await;
    let message = status.message.unwrap_or_default();
    let refused = status.reason.as_deref() == Some("InvalidSpec")
        && message.to_lowercase().contains(&name.to_lowercase());
    (!refused).then(|| format!("{attack}: {:?} {:?} {message}", status.phase, status.reason))
}

/// When this process of the schedd began.
async fn schedds_birth() -> String {
    tool("condor_status", &["-schedd", "-af", "Name", "DaemonStartTime"]).await.unwrap()
}
