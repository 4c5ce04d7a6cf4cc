//! Running jobs with a route to the operator are asked for their logs: no tool is started for them.

use std::process::Stdio;

use htc_core::poll::{ANSWER_PATH, Answer, Asks, POLL_PATH, Poll, Reply};
use htc_core::workload::names::JobKey;
use htc_operator::htcjob::types::Phase;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;

use crate::harness::{Bed, Job, host, on_bed, until, with_operator};

/// A `htc-operator logs -f` at work.
fn follow(bed: &Bed, job: &Job, more: &[&str]) -> Child {
    let name = format!("{}/{}", job.namespace, job.name);
    let mut command = bed.command(&[&["logs", "-f", &name], more].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

async fn next_line(child: &mut Child) -> String {
    // Byte by byte, so that nothing behind the line is missed.
    let mut line = String::new();
    let mut reader = BufReader::with_capacity(1, child.stdout.as_mut().unwrap());
    reader.read_line(&mut line).await.unwrap();
    line
}

/// Waits until so many jobs poll.
async fn until_held(bed: &Bed, jobs: u64) {
    until("polls that are held", async || match bed.metric("htc_polls_held").await {
        held if held == jobs => Ok(()),
        held => Err(format!("{held} are held")),
    })
    .await;
}

async fn tails(bed: &Bed) -> u64 {
    bed.metric("htc_condor_tails_total").await
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_log_of_a_running_job_is_read_and_followed_without_a_tool() {
    with_operator(async |bed| {
        let source = format!("echo one\necho two\n{}echo three\n{}echo four", bed.gate("a"), bed.gate("b"));
        let job = bed.apply(host("asked", &source)).await;
        until_held(bed, 1).await;
        let mut follower = follow(bed, &job, &[]);
        assert_eq!(next_line(&mut follower).await, "one\n");
        assert_eq!(next_line(&mut follower).await, "two\n");
        bed.open("a");
        assert_eq!(next_line(&mut follower).await, "three\n");
        bed.until_phase(&job, Phase::Running).await;
        assert_eq!(bed.log_of(&job).await, "one\ntwo\nthree\n");
        let mut last = follow(bed, &job, &["--tail", "1", "--timestamps", "--limit-bytes", "35"]);
        let line = next_line(&mut last).await;
        assert!(line.len() == 35 && line.ends_with("Z thre"), "{line}");
        assert!(last.wait().await.unwrap().success(), "it ends when it has as much as it may");
        bed.open("b");
        assert_eq!(follower.wait_with_output().await.unwrap().stdout, b"four\n");
        assert_eq!(tails(bed).await, 0);
        until_held(bed, 0).await;
    })
    .await;
}

/// Lines of odd lengths and odd bytes, and a last one without its end.
const MUCH: &str =
    "for i in $(seq 1 3000); do echo \"$i $(head -c $((i % 90)) /dev/urandom | tr '\\n' x)\"; done\n";

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn twenty_followers_get_every_byte_once_across_the_end_without_a_tool() {
    with_operator(async |bed| {
        let source = format!("{}{MUCH}{}{MUCH}printf 'the end'", bed.gate("start"), bed.gate("go"));
        let job = bed.apply(host("much", &source)).await;
        until_held(bed, 1).await;
        let mut followers = Vec::new();
        for _ in 0..20 {
            let mut follower = follow(bed, &job, &[]);
            let mut out = follower.stdout.take().unwrap();
            let (began, has_begun) = tokio::sync::oneshot::channel();
            let reader = tokio::spawn(async move {
                let mut log = vec![0; 1000];
                out.read_exact(&mut log).await.unwrap();
                began.send(()).unwrap();
                out.read_to_end(&mut log).await.unwrap();
                log
            });
            followers.push((follower, reader, has_begun));
        }
        bed.open("start");
        for (_, _, has_begun) in &mut followers {
            has_begun.await.unwrap();
        }
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        let whole = bed.logs(&job, None).await.unwrap();
        assert!(whole.ends_with(b"the end") && whole.len() > 200_000, "{} bytes", whole.len());
        for (mut follower, reader, _) in followers {
            assert!(reader.await.unwrap() == whole, "a follower got something else");
            assert!(follower.wait().await.unwrap().success());
        }
        assert_eq!(tails(bed).await, 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn jobs_poll_again_after_a_restart_of_the_operator() {
    with_operator(async |bed| {
        let job = bed.apply(host("again", &format!("echo one\n{}echo two", bed.gate("go")))).await;
        until_held(bed, 1).await;
        let mut follower = follow(bed, &job, &[]);
        assert_eq!(next_line(&mut follower).await, "one\n");
        bed.kill().await;
        assert!(!follower.wait().await.unwrap().success(), "its operator is gone");
        bed.start().await;
        until_held(bed, 1).await;
        let mut follower = follow(bed, &job, &[]);
        assert_eq!(next_line(&mut follower).await, "one\n");
        bed.open("go");
        assert_eq!(follower.wait_with_output().await.unwrap().stdout, b"two\n");
        assert_eq!(tails(bed).await, 0);
    })
    .await;
}

/// So many lines are more than one file of a log, and less than two.
const LINES: usize = 600_000;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_log_that_begins_anew_is_read_in_two_files_and_followed_through_both() {
    with_operator(async |bed| {
        let source =
            format!("echo first\n{}seq -f '%059.0f' 1 {LINES}\n{}", bed.gate("start"), bed.gate("go"));
        let job = bed.apply(host("long", &source)).await;
        until_held(bed, 1).await;
        let mut follower = follow(bed, &job, &[]);
        // It has a place in the file: on a loaded machine that could begin anew before the first look.
        assert_eq!(next_line(&mut follower).await, "first\n");
        let mut out = follower.stdout.take().unwrap();
        let reader = tokio::spawn(async move {
            let mut log = vec![0; LINES * 60];
            out.read_exact(&mut log).await.unwrap();
            (log, out)
        });
        bed.open("start");
        let (log, mut out) = reader.await.unwrap();
        assert!(log == numbers(), "the follower has lost something");
        let read = async |more: &[&str]| {
            let name = format!("{}/{}", job.namespace, job.name);
            let output = bed.command(&[&["logs", &name], more].concat()).output().await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let (before, now) = (read(&["--previous"]).await, read(&[]).await);
        assert!(!now.is_empty() && before.len() > now.len(), "{} and {} bytes", before.len(), now.len());
        let whole = [b"first\n".to_vec(), numbers()].concat();
        assert!([before.clone(), now.clone()].concat() == whole, "the two files are not the whole");
        assert_eq!(tails(bed).await, 0);
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        let mut rest = Vec::new();
        out.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "something came twice");
        assert!(read(&["--previous"]).await == before && read(&[]).await == now, "it came home as it was");
    })
    .await;
}

fn numbers() -> Vec<u8> {
    (1..=LINES).flat_map(|n| format!("{n:059}\n").into_bytes()).collect()
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn where_no_poll_comes_through_a_tool_reads_the_log() {
    on_bed(async |bed| {
        // Nobody listens there.
        bed.set("HTC_EVENTS_URL", Some("http://127.0.0.1:1"));
        bed.start().await;
        let job = bed.apply(host("deaf", &format!("echo one\n{}echo two", bed.gate("go")))).await;
        bed.until_phase(&job, Phase::Running).await;
        let mut follower = follow(bed, &job, &[]);
        assert_eq!(next_line(&mut follower).await, "one\n");
        bed.open("go");
        assert_eq!(follower.wait_with_output().await.unwrap().stdout, b"two\n");
        assert!(tails(bed).await > 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn where_no_poll_may_be_held_a_tool_reads_the_log() {
    on_bed(async |bed| {
        bed.set("HTC_MAX_POLLS", Some("0"));
        bed.start().await;
        let job = bed.apply(host("refused", &format!("echo one\n{}echo two", bed.gate("go")))).await;
        bed.until_phase(&job, Phase::Running).await;
        let mut follower = follow(bed, &job, &[]);
        assert_eq!(next_line(&mut follower).await, "one\n");
        bed.open("go");
        assert_eq!(follower.wait_with_output().await.unwrap().stdout, b"two\n");
        assert!(tails(bed).await > 0);
        assert_eq!(bed.metric("htc_polls_total{kind=\"no_place\"}").await, 1, "it came again too early");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn only_the_job_itself_can_poll_and_answer() {
    with_operator(async |bed| {
        let job = bed.apply(host("mine", &format!("echo mine\n{}", bed.gate("go")))).await;
        until_held(bed, 1).await;
        let key: JobKey = format!("{}/0/0/0", job.uid).parse().unwrap();
        let other: JobKey = format!("{}/7/0/0", job.uid).parse().unwrap();
        // Older than what the job has sent, as one that somebody has seen on its way.
        let poll = |key: &JobKey| Poll { key: key.clone(), start: 1, seq: 1, open: vec![] }.write();
        let replayed = bed.post_signed_to(POLL_PATH, &key, poll(&key)).await;
        assert_eq!(replayed.code, 409, "{replayed:?}");
        let forged = bed.post_to(POLL_PATH, &key, "v1,k1,AAAA", poll(&key)).await;
        assert_eq!(forged.code, 401, "{forged:?}");
        let unsigned = bed.post_to(POLL_PATH, &key, "", poll(&key)).await;
        assert_eq!(unsigned.code, 401, "{unsigned:?}");
        let of_another = bed.post_signed_to(POLL_PATH, &key, poll(&other)).await;
        assert_eq!(of_another.code, 400, "{of_another:?}");
        let unknown = bed.post_signed_to(POLL_PATH, &other, poll(&other)).await;
        assert_eq!(unknown.code, 410, "{unknown:?}");
        let reply = Reply { key: key.clone(), id: 1, answer: Answer::Failed("no".to_owned()) }.write(b"");
        let not_asked = bed.post_signed_to(ANSWER_PATH, &key, reply.clone()).await;
        assert_eq!(not_asked.code, 410, "{not_asked:?}");
        let forged = bed.post_to(ANSWER_PATH, &key, "v1,k1,AAAA", reply).await;
        assert_eq!(forged.code, 401, "{forged:?}");
        let asks = Asks { seq: 1, asks: vec![] }.write();
        assert_eq!(bed.post_signed_to(POLL_PATH, &key, asks).await.code, 400);
        // All that has not moved the job.
        assert_eq!(bed.log_of(&job).await, "mine\n");
        assert_eq!(tails(bed).await, 0);
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
    })
    .await;
}
