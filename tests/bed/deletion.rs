//! Deleting an HTCJob, wherever it is in its life: nothing of it stays.

use std::fs;

use htc_operator::htcjob::types::Phase;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::harness::{Bed, DYING_SUBMIT, Job, SLOW_SUBMIT, host, image, on_bed, until, with_operator};
use crate::leaving::waits_for;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_waits_for_room_in_the_queue() {
    with_operator(async |bed| {
        bed.set("HTC_MAX_JOBS_IN_QUEUE", Some("1"));
        bed.kill().await;
        bed.start().await;
        let first = bed.apply(host("first", "sleep 1000")).await;
        bed.until_queued(&first, 2, 1).await;
        let second = bed.apply(host("second", "true")).await;
        bed.until_status(&second, "waiting", |s| s.phase == Some(Phase::Pending)).await;
        bed.delete(&second).await;
        bed.until_gone(&second).await;
        assert_eq!(bed.queued(&first).await.len(), 1);
        bed.assert_committed_once(&second, 0).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_no_machine_wants() {
    with_operator(async |bed| {
        let mut job = host("idle", "true");
        job.spec.htcopts = Some("requirements = TARGET.NoMachineHasThis =?= true".into());
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Submitted).await;
        delete(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_runs_and_its_processes_go_too() {
    with_operator(async |bed| {
        let marker = format!("1000.{}", bed.events_port);
        let sleep = format!("sleep {marker}");
        let jobs =
            [bed.apply(image("centos", "inside", &sleep)).await, bed.apply(host("outside", &sleep)).await];
        for job in &jobs {
            bed.until_phase(job, Phase::Running).await;
        }
        until("both to sleep", async || match processes(&marker) {
            found if found.len() >= 2 => Ok(()),
            found => Err(format!("{found:?}")),
        })
        .await;
        for job in &jobs {
            bed.delete(job).await;
        }
        for job in &jobs {
            assert_nothing_left(bed, job).await;
        }
        until("the processes to go", async || match processes(&marker) {
            none if none.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        })
        .await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_is_done() {
    with_operator(async |bed| {
        let job = bed.apply(host("done", "true")).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        assert!(bed.data().join("jobs").join(&job.uid).is_dir());
        delete(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_is_deleted_while_the_operator_is_down() {
    with_operator(async |bed| {
        let job = bed.apply(host("down", "sleep 1000")).await;
        bed.until_queued(&job, 2, 1).await;
        bed.kill().await;
        bed.delete(&job).await;
        bed.start().await;
        assert_nothing_left(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_whose_submission_is_under_way() {
    on_bed(async |bed: &mut Bed| {
        let tool = bed.replace_tool("condor_submit", SLOW_SUBMIT);
        bed.start().await;
        let job = bed.apply(host("slow", "sleep 1000")).await;
        tool.until_called().await;
        bed.delete(&job).await;
        bed.until_status(&job, "to say why it stays", |s| waits_for(s, "SubmissionUncertain")).await;
        tool.go_on();
        assert_gone(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_whose_tool_dies_between_commit_and_files() {
    half_submitted(false).await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_whose_tool_dies_when_nobody_watches_it() {
    half_submitted(true).await;
}

/// The tool hangs after its commit and is killed there, after the operator was if that is wanted.
async fn half_submitted(restart: bool) {
    on_bed(async |bed: &mut Bed| {
        let tool = bed.replace_tool("condor_submit", DYING_SUBMIT);
        bed.start().await;
        let job = bed.apply(host("half", "sleep 1000")).await;
        bed.until_queued(&job, 5, 1).await;
        bed.delete(&job).await;
        bed.until_status(&job, "to say why it stays", |s| waits_for(s, "SubmissionUncertain")).await;
        if restart {
            bed.kill().await;
            bed.start().await;
        }
        assert!(bed.object(&job).await.is_some(), "its tool may still commit");
        tool.go_on();
        assert_gone(bed, &job).await;
        bed.assert_committed_once(&job, 0).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_is_held() {
    with_operator(async |bed| {
        let job = bed.apply(host("held", "sleep 1000")).await;
        bed.until_queued(&job, 2, 1).await;
        bed.act("condor_hold", &job).await;
        bed.until_phase(&job, Phase::Held).await;
        delete(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_is_suspended() {
    with_operator(async |bed| {
        let job = bed.apply(host("suspended", "sleep 1000")).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.act("condor_suspend", &job).await;
        bed.until_queued(&job, 7, 1).await;
        delete(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_is_done_and_whose_files_do_not_come() {
    on_bed(async |bed: &mut Bed| {
        bed.replace_tool("condor_transfer_data", "#!/bin/sh\nexit 1\n");
        bed.start().await;
        let job = bed.apply(host("kept", "true")).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queued(&job, 4, 1).await;
        delete(bed, &job).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_was_refused() {
    with_operator(async |bed| {
        let mut job = host("refused", "true");
        job.spec.htcopts = Some("executable = /bin/true".into());
        let job = bed.apply(job).await;
        bed.until_status(&job, "InvalidSpec", |s| s.reason.as_deref() == Some("InvalidSpec")).await;
        bed.delete(&job).await;
        assert_gone(bed, &job).await;
        bed.assert_committed_once(&job, 0).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_vanished_while_the_operator_was_down() {
    with_operator(async |bed| {
        let job = bed.apply(host("stripped", "sleep 1000")).await;
        bed.until_queued(&job, 2, 1).await;
        bed.kill().await;
        bed.delete(&job).await;
        bed.patch_metadata(&job, json!({ "finalizers": null })).await;
        bed.until_gone(&job).await;
        assert_eq!(bed.queued(&job).await.len(), 1);
        bed.start().await;
        bed.until_queue_empty().await;
        until("its folder to go", async || match bed.data().join("jobs").join(&job.uid).exists() {
            true => Err("it is there".to_owned()),
            false => Ok(()),
        })
        .await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_that_vanished_and_whose_name_is_used_again() {
    with_operator(async |bed| {
        let first = bed.apply(host("again", "sleep 1000")).await;
        bed.until_queued(&first, 2, 1).await;
        bed.patch_metadata(&first, json!({ "finalizers": null })).await;
        bed.delete(&first).await;
        let second = bed.apply(host("again", &(bed.gate("go") + "echo second"))).await;
        until("the jobs of the first to go", async || match bed.queued(&first).await {
            none if none.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        })
        .await;
        bed.open("go");
        bed.until_phase(&second, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&second).await, "second\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&first, 1).await;
        bed.assert_committed_once(&second, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_of_a_name_that_is_used_again_in_the_same_moment() {
    with_operator(async |bed| {
        let first = bed.apply(host("again", "sleep 1000")).await;
        bed.until_queued(&first, 2, 1).await;
        bed.delete(&first).await;
        let create =
            async || bed.htcjobs().create(&PostParams::default(), &host("again", "echo second")).await;
        let second = until("the name to be free", async || create().await.map_err(|e| e.to_string())).await;
        let second = Job { uid: second.metadata.uid.unwrap(), ..first.clone() };
        assert!(bed.queued(&first).await.is_empty());
        bed.until_phase(&second, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&second).await, "second\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&first, 1).await;
        bed.assert_committed_once(&second, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_of_two_with_the_same_name_and_the_other_goes_on() {
    with_operator(async |bed| {
        let here = bed.apply(host("same", "sleep 1000")).await;
        let there = host("same", &(bed.gate("go") + "echo there"));
        let there = bed.apply_in(&bed.other_namespace, there).await;
        for job in [&here, &there] {
            bed.until_queued(job, 2, 1).await;
        }
        delete(bed, &here).await;
        assert_eq!(bed.queued(&there).await.len(), 1);
        bed.open("go");
        bed.until_phase(&there, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&there).await, "there\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&there, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn all_of_a_namespace_that_is_deleted() {
    with_operator(async |bed| {
        bed.set("HTC_MAX_JOBS_IN_QUEUE", Some("4"));
        bed.kill().await;
        bed.start().await;
        let done = bed.apply(host("done", "true")).await;
        bed.until_phase(&done, Phase::Succeeded).await;
        let mut idle = host("idle", "true");
        idle.spec.htcopts = Some("requirements = TARGET.NoMachineHasThis =?= true".into());
        let idle = bed.apply(idle).await;
        bed.until_queued(&idle, 1, 1).await;
        let mut runs = host("runs", "sleep 1000");
        runs.spec.queue = Some(6);
        let runs = bed.apply(runs).await;
        bed.until_queued(&runs, 2, 3).await;

        let namespaces: Api<Namespace> = Api::all(bed.client.clone());
        namespaces.delete(&bed.namespace, &DeleteParams::default()).await.unwrap();
        until("the namespace to go", async || match namespaces.get_opt(&bed.namespace).await.unwrap() {
            None => Ok(()),
            Some(there) => Err(format!("{:#?}", there.status)),
        })
        .await;
        assert!(bed.queue().await.is_empty());
        for (job, indices) in [(done, 1), (idle, 1), (runs, 3)] {
            assert!(!bed.data().join("jobs").join(&job.uid).exists());
            bed.assert_committed_once(&job, indices).await;
        }
    })
    .await;
}

async fn delete(bed: &Bed, job: &Job) {
    bed.delete(job).await;
    assert_nothing_left(bed, job).await;
}

/// When the finalizer is gone, so is all else.
async fn assert_nothing_left(bed: &Bed, job: &Job) {
    assert_gone(bed, job).await;
    bed.assert_committed_once(job, 1).await;
}

async fn assert_gone(bed: &Bed, job: &Job) {
    bed.until_gone(job).await;
    assert!(bed.queued(job).await.is_empty());
    assert!(!bed.data().join("jobs").join(&job.uid).exists());
}

/// The command lines of the worker's processes that have this word.
fn processes(word: &str) -> Vec<String> {
    let ends = format!("\0{word}\0");
    let line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| line(entry.unwrap()));
    all.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.ends_with(&ends)).collect()
}
