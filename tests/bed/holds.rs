//! Jobs on hold, whoever put them there: why, who can do what, and that it is over.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use htc_operator::htcjob::types::{HTCJobStatus, Phase};

use crate::harness::table::row;
use crate::harness::{Bed, Job, host, on_bed, until, with_operator};

/// Nobody is left to put the working folder back.
const FOLDERLESS: &str = "rm -rf \"$PWD\"; kill -9 $(cut -d' ' -f4 /proc/$PPID/stat) $PPID";

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_somebody_holds_and_releases() {
    with_operator(async |bed| {
        let job = bed.apply(host("held", &(bed.gate("go") + "echo done"))).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.act("condor_hold", &job).await;
        let status = row("Somebody holds it with `condor_hold`").is_seen(bed, &job, "").await;
        assert_eq!((status.held, status.active), (Some(1), Some(1)));
        let condition = held(&status);
        assert_eq!(condition, ("True", "UserRequest"));
        assert_eq!(bed.metric("htc_jobs_held{code=\"UserRequest\"}").await, 1);

        bed.open("go");
        bed.act("condor_release", &job).await;
        let status = row("The script exits with 0").is_seen(bed, &job, "done\n").await;
        assert_eq!(held(&status), ("False", "Released"));
        assert_eq!(bed.metric("htc_jobs_held{code=\"UserRequest\"}").await, 0);
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_whose_files_cannot_come_back() {
    with_operator(async |bed| {
        let job = bed.apply(host("gone", FOLDERLESS)).await;
        let status = row("The same, and the in-job program is killed").is_seen(bed, &job, "").await;
        assert_eq!(held(&status), ("True", "TransferOutputError"));
        bed.act("condor_rm", &job).await;
        row("Somebody removes it with `condor_rm`").is_seen(bed, &job, "").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_whose_in_job_program_cannot_start() {
    on_bed(async |bed: &mut Bed| {
        let sender = bed.folder.join("sender");
        fs::write(&sender, b"\x7fELF of no machine that there is").unwrap();
        fs::set_permissions(&sender, Permissions::from_mode(0o755)).unwrap();
        bed.set("HTC_SENDER", sender.to_str());
        bed.start().await;
        let job = bed.apply(host("senderless", "true")).await;
        let status = row("The worker cannot start the in-job program").is_seen(bed, &job, "").await;
        assert_eq!(held(&status), ("True", "FailedToCreateProcess"));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn of_many_holds_each_code_is_told_once_and_the_release_once() {
    with_operator(async |bed| {
        let mut job = host("many", &format!("{}[ $1 != 2 ] || {{ {FOLDERLESS}; }}", bed.gate("go")));
        job.spec.queue = Some(4);
        let job = bed.apply(job).await;
        bed.until_queued(&job, 2, 4).await;
        for index in [0, 1] {
            bed.act_on_index("condor_hold", &job, index).await;
            let wanted = |s: &HTCJobStatus| s.held == Some(i64::from(index) + 1);
            let status = bed.until_status(&job, "one more on hold", wanted).await;
            assert_eq!(status.phase, Some(Phase::Running), "others run");
        }
        until_told(bed, &job, &["Held UserRequest"]).await;

        bed.open("go");
        let status = bed.until_status(&job, "a second code", |s| s.holds.len() == 2).await;
        assert_eq!((status.held, status.holds[0].indexes.as_str()), (Some(3), "0-1"));
        assert_eq!((status.holds[1].code, status.holds[1].subcode), (12, 2));
        until_told(bed, &job, &["Held UserRequest", "Held TransferOutputError"]).await;
        let status = bed.until_status(&job, "index 3 to end", |s| s.succeeded == Some(1)).await;
        assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Held), Some("UserRequest")));

        bed.act_on_index("condor_rm", &job, 2).await;
        bed.until_status(&job, "index 2 to end", |s| s.failed == Some(1)).await;
        bed.act("condor_release", &job).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert_eq!(
            (status.completed_indexes.as_deref(), held(&status)),
            (Some("0-1,3"), ("False", "Released"))
        );
        until_told(bed, &job, &["Held UserRequest", "Held TransferOutputError", "Released"]).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 4).await;
    })
    .await;
}

/// Status and reason of the condition.
fn held(status: &HTCJobStatus) -> (&str, &str) {
    let condition = status.conditions.iter().find(|c| c.type_ == "Held").expect("it was on hold");
    (&condition.status, &condition.reason)
}

/// Waits for these events about holds; more than these fail at once.
async fn until_told(bed: &Bed, job: &Job, expected: &[&str]) {
    until("the events", async || {
        let events = bed.events(job).await?.into_iter().filter(|e| matches!(&*e.reason, "Held" | "Released"));
        let mut told = Vec::new();
        for event in events {
            let kind = if event.reason == "Held" { "Warning" } else { "Normal" };
            assert_eq!(event.kind, kind, "{event:?}");
            let code = event.note.split(':').next().filter(|_| event.reason == "Held");
            told.push(
                [Some(event.reason.as_str()), code].into_iter().flatten().collect::<Vec<_>>().join(" "),
            );
        }
        let mut expected: Vec<String> = expected.iter().map(|&e| e.to_owned()).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert!(told.len() <= expected.len(), "{told:?}");
        if told == expected { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}
