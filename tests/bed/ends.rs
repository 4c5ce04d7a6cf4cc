//! Every end that a job can come to, and every state on the way: what a person sees is what the
//! table of `docs/htcjob.md` says. Each row is expected by a test here.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use htc_operator::htcjob::types::{HTCJobStatus, Phase};

use crate::harness::table::{row, rows};
use crate::harness::{AWAY, Bed, HERE, host, image, on_bed, until, with_operator};

#[test]
fn every_row_of_the_table_has_a_test() {
    let tests = [include_str!("ends.rs"), include_str!("holds.rs")].concat();
    for row in rows() {
        assert!(tests.contains(&format!("row(\"{}\")", row.what)), "no test for the row {:?}", row.what);
    }
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_that_exits_0_or_3() {
    with_operator(async |bed| {
        let good = bed.apply(host("good", "echo fine")).await;
        let bad = bed.apply(host("bad", "echo before; exit 3")).await;
        row("The script exits with 0").is_seen(bed, &good, "fine\n").await;
        let status = row("The script exits with 3").is_seen(bed, &bad, "before\n").await;
        assert_eq!((status.failed, status.succeeded, status.active), (Some(1), Some(0), Some(0)));
        assert_eq!(status.failed_indexes.as_deref(), Some("0"));
        bed.until_queue_empty().await;
        bed.assert_committed_once(&bad, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_that_removes_its_working_folder() {
    with_operator(async |bed| {
        let job = bed.apply(host("gone", "rm -rf \"$PWD\"")).await;
        let told =
            "htc-sender: the working folder, or a folder in it, cannot be read and does not come home\n";
        row("The script removes its working folder").is_seen(bed, &job, told).await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn some_of_many_may_fail_and_the_status_says_which() {
    with_operator(async |bed| {
        let mut job = host("some", "exit $(( $1 % 3 == 1 ? 7 : 0 ))");
        job.spec.queue = Some(6);
        let job = bed.apply(job).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert_eq!((status.failed, status.succeeded, status.active), (Some(2), Some(4), Some(0)));
        assert_eq!(status.failed_indexes.as_deref(), Some("1,4"));
        assert_eq!(status.completed_indexes.as_deref(), Some("0,2-3,5"));
        assert!(status.message.as_ref().unwrap().starts_with("index 1: "), "{:?}", status.message);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_that_a_signal_ends() {
    with_operator(async |bed| {
        let outside = bed.apply(host("outside", "echo before; kill -SEGV $$")).await;
        let inside = bed.apply(image("centos", "inside", "echo before; kill -SEGV $$")).await;
        row("A signal ends the script, without an image").is_seen(bed, &outside, "before\n").await;
        row("A signal ends the script in an image").is_seen(bed, &inside, "before\n").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_command_or_an_image_that_is_not_there() {
    with_operator(async |bed| {
        let (mut outside, mut inside) = (host("outside", "true"), image("centos", "inside", "true"));
        outside.spec.script.command = "no-such-command -x".into();
        inside.spec.script.command = "no-such-command -x".into();
        let pull = bed.apply(image("no-such-image", "pull", "true")).await;
        for job in [bed.apply(outside).await, bed.apply(inside).await] {
            row("The command is not found").is_seen(bed, &job, "").await;
        }
        row("The image is not found").is_seen(bed, &pull, "").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_was_refused_waits_or_runs() {
    with_operator(async |bed| {
        let (mut refused, mut waits) = (host("refused", "true"), host("waits", "true"));
        refused.spec.queue = Some(0);
        waits.spec.htcopts = Some("requirements = TARGET.NoMachineHasThis =?= true".into());
        let (refused, waits) = (bed.apply(refused).await, bed.apply(waits).await);
        let runs = bed.apply(host("runs", &("echo before\n".to_owned() + &bed.gate("go")))).await;
        row("A field cannot be honoured").is_seen(bed, &refused, "").await;
        row("It waits for a machine").is_seen(bed, &waits, "").await;
        row("It runs").is_seen(bed, &runs, "before\n").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_htcondor_refuses() {
    on_bed(async |bed: &mut Bed| {
        let tools = bed.folder.join("tools");
        fs::create_dir(&tools).unwrap();
        let tool = tools.join("condor_submit");
        let words = "ERROR: Failed to commit job submission into the queue.\nERROR: No memory, no job.";
        fs::write(&tool, format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n")).unwrap();
        fs::set_permissions(&tool, Permissions::from_mode(0o755)).unwrap();
        bed.set("HTC_REFUSED_AFTER_SECONDS", Some("1"));
        bed.set("PATH", Some(&format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())));
        bed.start().await;
        let job = bed.apply(host("refused", "true")).await;
        row("HTCondor refuses the job, for an hour").is_seen(bed, &job, "").await;
        bed.assert_committed_once(&job, 0).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_is_removed_by_hand() {
    with_operator(async |bed| {
        let job = bed.apply(host("removed", "sleep 1000")).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.act("condor_rm", &job).await;
        row("Somebody removes it with `condor_rm`").is_seen(bed, &job, "").await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_is_taken_out_of_the_queue_by_force() {
    on_bed(async |bed: &mut Bed| {
        bed.pool_away(HERE);
        bed.start().await;
        let mut job = host("forced", "true");
        job.spec.htcopts = Some("requirements = TARGET.NoMachineHasThis =?= true".into());
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Submitted).await;
        // Nobody of ours looks while it goes: else it was seen as removed.
        bed.pool_away(AWAY);
        let other = bed.apply(host("other", "true")).await;
        let away = |s: &HTCJobStatus| s.reason.as_deref() == Some("PoolUnavailable");
        bed.until_status(&other, "the pool to be away", away).await;
        bed.edit(&job, "LeaveJobInQueue", "false").await;
        bed.act("condor_rm", &job).await;
        until("it to leave the queue", async || match bed.queued(&job).await {
            none if none.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        })
        .await;
        bed.pool_away(HERE);
        row("Somebody takes it out of the queue by force").is_seen(bed, &job, "").await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_loses_its_machine_runs_again_and_ends_once() {
    with_operator(async |bed| {
        let job = bed.apply(host("evicted", &(bed.gate("go") + "echo done"))).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.edit(&job, "Requirements", "false").await;
        bed.act("condor_vacate_job", &job).await;
        let status = row("It lost its machine").is_seen(bed, &job, "").await;
        assert_eq!((status.active, status.failed, status.completion_time), (Some(1), Some(0), None));
        bed.open("go");
        bed.edit(&job, "Requirements", "true").await;
        let status = row("The script exits with 0").is_seen(bed, &job, "done\n").await;
        assert_eq!((status.completions.as_deref(), status.attempts), (Some("1/1"), Some(1)));
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
        let ends = bed.metric("htc_jobs_ended_total{kind=\"Completed\"}").await;
        assert_eq!(ends, 1);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_is_suspended_is_not_on_hold() {
    with_operator(async |bed| {
        let source = "echo before\n".to_owned() + &bed.gate("go") + "echo done";
        let job = bed.apply(host("suspended", &source)).await;
        row("It runs").is_seen(bed, &job, "before\n").await;
        bed.act("condor_suspend", &job).await;
        let status = row("The pool suspends it").is_seen(bed, &job, "before\n").await;
        assert_eq!(status.held, Some(0));
        assert!(status.conditions.iter().all(|c| c.type_ != "Held"), "{status:#?}");
        bed.act("condor_continue", &job).await;
        row("It runs").is_seen(bed, &job, "before\n").await;
        bed.open("go");
        row("The script exits with 0").is_seen(bed, &job, "before\ndone\n").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_whose_in_job_program_is_killed() {
    with_operator(async |bed| {
        // Without an image the script's parent is the in-job program.
        let source = "echo before\n".to_owned() + &bed.gate("go") + "kill -KILL $PPID; sleep 1000";
        let job = bed.apply(host("killed", &source)).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.open("go");
        row("The worker kills the in-job program").is_seen(bed, &job, "before\n").await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_outlives_the_route_of_its_reports() {
    with_operator(async |bed| {
        let job = bed.apply(host("outlives", &(bed.gate("go") + "echo before; exit 3"))).await;
        until("its first report", async || match bed.metric("htc_reports_total{kind=\"new\"}").await {
            0 => Err("none".to_owned()),
            _ => Ok(()),
        })
        .await;
        bed.kill().await;
        bed.set("HTC_EVENTS_LISTEN", Some("127.0.0.1:0"));
        bed.start().await;
        bed.open("go");
        row("The script exits with 3").is_seen(bed, &job, "before\n").await;
        assert_eq!(bed.metric("htc_reports_total{kind=\"new\"}").await, 0);
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}
