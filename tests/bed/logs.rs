//! Logs are read where they are: with the job while it runs, at home once it has ended. What comes through
//! polls is in `polls.rs`; without a route a tool reads.

use std::process::Stdio;

use htc_operator::htcjob::types::Phase;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;

use crate::harness::{Bed, Job, host, on_bed, tool, until, with_operator};

/// Runs a test with an operator that no job reaches.
async fn without_route(claim: impl AsyncFnOnce(&mut Bed)) {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_EVENTS_URL", None);
        bed.start().await;
        claim(bed).await;
    })
    .await;
}

/// A `htc-operator logs -f` at work.
async fn follow(bed: &Bed, job: &Job, more: &[&str]) -> Child {
    bed.until_status(job, "known to the operator", |status| status.phase.is_some()).await;
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

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_log_of_a_running_job_is_read_before_its_end() {
    without_route(async |bed| {
        let job = bed.apply(host("early", &format!("echo first\n{}echo last", bed.gate("go")))).await;
        until("the first line", async || match bed.logs(&job, None).await {
            Ok(log) if log == b"first\n" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        bed.until_phase(&job, Phase::Running).await;
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&job).await, "first\nlast\n");
    })
    .await;
}

/// Lines of odd lengths and odd bytes, and a last one without its end.
const MUCH: &str =
    "for i in $(seq 1 3000); do echo \"$i $(head -c $((i % 90)) /dev/urandom | tr '\\n' x)\"; done\n";

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn followers_get_every_byte_once_across_the_end() {
    without_route(async |bed| {
        let source = format!("{MUCH}{}{MUCH}printf 'the end'", bed.gate("go"));
        let job = bed.apply(host("much", &source)).await;
        let mut followers = Vec::new();
        for _ in 0..3 {
            let mut follower = follow(bed, &job, &[]).await;
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
        for (_, _, has_begun) in &mut followers {
            has_begun.await.unwrap();
        }
        assert_eq!(bed.status(&job).await.phase, Some(Phase::Running), "they read it before its end");
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        let whole = bed.logs(&job, None).await.unwrap();
        assert!(whole.ends_with(b"the end") && whole.len() > 200_000, "{} bytes", whole.len());
        for (mut follower, reader, _) in followers {
            assert!(reader.await.unwrap() == whole, "a follower got something else");
            assert!(follower.wait().await.unwrap().success());
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_follower_waits_for_a_job_in_the_queue_and_says_so() {
    with_operator(async |bed| {
        let mut job = host("late", "echo here");
        job.spec.htcopts = Some("requirements = false".into());
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Submitted).await;
        let why = bed.logs(&job, None).await.unwrap_err();
        assert!(why.contains("index 0 waits in the queue for a machine, as job "), "{why}");
        let mut follower = follow(bed, &job, &[]).await;
        let mut notices = BufReader::new(follower.stderr.take().unwrap());
        let mut notice = String::new();
        notices.read_line(&mut notice).await.unwrap();
        assert!(notice.starts_with("index 0 waits in the queue for a machine, as job "), "{notice}");
        bed.edit(&job, "Requirements", "true").await;
        assert_eq!(follower.wait_with_output().await.unwrap().stdout, b"here\n");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_job_that_was_evicted_begins_its_log_anew() {
    with_operator(async |bed| {
        let source = format!("echo began at $(date +%s%N)\n{}echo end", bed.gate("go"));
        let job = bed.apply(host("evicted", &source)).await;
        let mut follower = follow(bed, &job, &["--timestamps"]).await;
        let first = next_line(&mut follower).await;
        assert!(first.contains("Z began at"), "{first}");
        let constraint = format!("HTCOperatorUid == \"{}\"", job.uid);
        tool("condor_vacate_job", &["-constraint", &constraint]).await.unwrap();
        let mut notices = BufReader::new(follower.stderr.take().unwrap()).lines();
        while !notices.next_line().await.unwrap().expect("more notices").contains("its log begins anew") {}
        let second = next_line(&mut follower).await;
        assert!(second.contains("Z began at") && second != first, "{first}{second}");
        bed.open("go");
        let rest = String::from_utf8(follower.wait_with_output().await.unwrap().stdout).unwrap();
        assert!(rest.ends_with("Z end\n") && rest.lines().count() == 1, "{rest}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_caller_who_leaves_ends_the_tool() {
    without_route(async |bed| {
        let job = bed.apply(host("left", &format!("echo one\n{}", bed.gate("go")))).await;
        let mut follower = follow(bed, &job, &[]).await;
        assert_eq!(next_line(&mut follower).await, "one\n");
        let id = bed.status(&job).await.jobid.remove(0);
        until("a tool that follows", async || if tails(&id) > 0 { Ok(()) } else { Err("none".into()) }).await;
        let pid = Pid::from_raw(follower.id().unwrap().cast_signed()).unwrap();
        // Ctrl-C is ignored by what a script has started in the background.
        kill_process(pid, Signal::TERM).unwrap();
        until("no tool", async || match tails(&id) {
            0 => Ok(()),
            n => Err(format!("{n} processes")),
        })
        .await;
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
    })
    .await;
}

/// Processes of `condor_tail` for this job.
fn tails(id: &str) -> usize {
    let words = |pid: &std::path::Path| std::fs::read(pid.join("cmdline")).unwrap_or_default();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_tail = |words: &[u8]| {
        let words: Vec<&[u8]> = words.split(|b| *b == 0).collect();
        words.contains(&b"condor_tail".as_slice()) && words.contains(&id.as_bytes())
    };
    processes.filter(|process| is_tail(&words(&process.path()))).count()
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_log_that_cannot_be_had_is_refused_with_what_to_do() {
    with_operator(async |bed| {
        let mut job = host("three", "echo $1");
        job.spec.queue = Some(3);
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        let name = |rest: &str| format!("{}/{rest}", job.namespace);
        let why = refused(bed, &["logs", &name("three")]).await;
        assert!(why.contains("3 indices; say which one, from 0 to 2"), "{why}");
        let why = refused(bed, &["logs", &name("three/3")]).await;
        assert!(why.contains("there is no index 3"), "{why}");
        let why = refused(bed, &["logs", &name("thre")]).await;
        assert!(why.contains(&format!("did you mean {}?", name("three"))), "{why}");
        let why = refused(bed, &["logs", &name("three/1"), "-c", "x"]).await;
        assert!(why.contains("no container x; it has main"), "{why}");
        let elsewhere = bed.folder.join("nowhere").display().to_string();
        let why = refused(bed, &["jobs", "--data-dir", &elsewhere]).await;
        assert!(why.contains("there is no data folder") && why.contains("HTC_DATA_DIR"), "{why}");
        bed.kill().await;
        let why = refused(bed, &["jobs"]).await;
        assert!(why.contains("no operator answers on"), "{why}");
        bed.start().await;
    })
    .await;
}

/// What a command complains of.
async fn refused(bed: &Bed, arguments: &[&str]) -> String {
    let output = bed.command(arguments).output().await.unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}
