//! Deleting an HTCJob, wherever it is in its life: nothing of it stays.

use std::fs;

use htc_operator::htcjob::types::Phase;

use crate::harness::{Bed, Job, host, image, until, with_operator};

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

async fn delete(bed: &Bed, job: &Job) {
    bed.delete(job).await;
    assert_nothing_left(bed, job).await;
}

/// When the finalizer is gone, so is all else.
async fn assert_nothing_left(bed: &Bed, job: &Job) {
    bed.until_gone(job).await;
    assert!(bed.queued(job).await.is_empty());
    assert!(!bed.data().join("jobs").join(&job.uid).exists());
    bed.assert_committed_once(job, 1).await;
}

/// The command lines of the worker's processes that have this word.
fn processes(word: &str) -> Vec<String> {
    let ends = format!("\0{word}\0");
    let line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| line(entry.unwrap()));
    all.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.ends_with(&ends)).collect()
}
