//! The last release and its senders, as they were shipped, and this one in its place while they run.
//! `testbed/last-release.sh` builds them.

use std::path::PathBuf;
use std::process::Stdio;

use htc_core::workload::report::ContainerState;
use htc_operator::htcjob::types::{HTCJob, Phase};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::client::dialect::{Dialect, Opts};
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::{container, pod};
use crate::client::transport::Transport;
use crate::harness::{Bed, Job, SLOW_SUBMIT, bed_folder, host, image, on_bed, repository, until};

/// A program of the last release.
fn last(name: &str) -> PathBuf {
    let file = bed_folder().join("bin/last").join(name);
    let commit = std::fs::read_to_string(repository().join("testbed/last-release")).unwrap();
    let built = std::fs::read_to_string(bed_folder().join("bin/last/commit")).unwrap_or_default();
    assert_eq!(built, commit, "testbed/last-release.sh builds {}", file.display());
    file
}

/// What an operator of the last release is, and what it becomes.
struct Upgrade {
    sender: String,
}

impl Upgrade {
    /// From now on the last release is started, with its own sender.
    fn begin(bed: &mut Bed) -> Upgrade {
        let sender = bed.settings["HTC_SENDER"].clone();
        bed.program = last("htc-operator");
        bed.set("HTC_SENDER", last("htc-sender").to_str());
        Upgrade { sender }
    }

    /// It is killed; from now on this release is started.
    async fn go(self, bed: &mut Bed) {
        bed.kill().await;
        bed.program = Bed::PROGRAM.into();
        bed.set("HTC_SENDER", Some(&self.sender));
    }
}

fn with(mut job: HTCJob, options: &str, copies: i64) -> HTCJob {
    (job.spec.htcopts, job.spec.queue) = (Some(options.to_owned()), Some(copies));
    job
}

async fn until_polled(bed: &Bed, jobs: u64) {
    until("polls of the running jobs", async || match bed.metric("htc_polls_held").await {
        held if held == jobs => Ok(()),
        held => Err(format!("{held} are held")),
    })
    .await;
}

async fn message(bed: &Bed, job: &Job) -> String {
    bed.status(job).await.message.unwrap_or_default()
}

#[tokio::test]
#[ignore = "needs the test bed and testbed/last-release.sh: make soak"]
async fn htcjobs_of_the_last_release_end_well_under_this_one_while_its_senders_run() {
    on_bed(async |bed| {
        let upgrade = Upgrade::begin(bed);
        bed.set("HTC_MAX_JOBS_IN_QUEUE", Some("9"));
        bed.start().await;
        let done = bed.apply(host("done", "echo was here")).await;
        bed.until_phase(&done, Phase::Succeeded).await;
        // Nothing of it can start.
        let idle = bed.apply(with(host("idle", "true"), "requirements = MY.Never =?= true", 2)).await;
        bed.until_queued(&idle, 1, 2).await;
        // Options that are refused now, and as many as are too long now.
        let long: String = (0..40).map(|n| format!("+Long{n} = \"{}\"\n", "x".repeat(500))).collect();
        let runs = format!("echo one\n{}echo two", bed.gate("go"));
        let runs = bed.apply(with(host("runs", &runs), &long, 1)).await;
        let fails = format!("{}echo no good >&2\nexit 3", bed.gate("go"));
        let fails = bed.apply(with(host("fails", &fails), "+NextJobStartDelay = 1", 1)).await;
        let boxed = bed.apply(image("docker://centos", "boxed", "echo in a box; sleep 1000")).await;
        let many = bed.apply(with(host("many", &(bed.gate("go") + "echo $1")), "", 3)).await;
        for (job, copies) in [(&runs, 1), (&fails, 1), (&boxed, 1), (&many, 3)] {
            bed.until_queued(job, 2, copies).await;
        }
        // There is room for one more job of these.
        let half = bed.apply(with(host("half", &bed.gate("go")), "+NextJobStartDelay = 1", 2)).await;
        let large = bed.apply(with(host("large", "true"), &long, 1)).await;
        let waits = bed.apply(host("waits", "echo at last")).await;
        until("one of two in the queue", async || match bed.queue().await.len() {
            9 => Ok(()),
            other => Err(format!("{other} jobs")),
        })
        .await;
        until_polled(bed, 7).await;

        upgrade.go(bed).await;
        bed.set("HTC_MAX_JOBS_IN_QUEUE", None);
        bed.start().await;
        until_polled(bed, 7).await;
        assert_eq!(bed.log_of(&runs).await, "one\n");
        let name = format!("{}/{}", runs.namespace, runs.name);
        let mut follower = bed.command(&["logs", "-f", &name]);
        let mut follower = follower.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("one"));
        assert_eq!(bed.metric("htc_condor_tails_total").await, 0, "its senders are asked for their logs");
        for job in [&idle, &boxed] {
            bed.delete(job).await;
            bed.until_gone(job).await;
        }
        bed.open("go");
        for job in [&runs, &many, &waits] {
            bed.until_phase(job, Phase::Succeeded).await;
        }
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("two"));
        assert_eq!(lines.next_line().await.unwrap(), None, "the follower ends with the job");
        bed.until_phase(&fails, Phase::Failed).await;
        assert!(message(bed, &fails).await.contains("exit code 3"));
        let half_ended = bed.until_phase(&half, Phase::Failed).await;
        let why = half_ended.message.unwrap_or_default();
        assert!(why.contains("NextJobStartDelay"), "{why}");
        let large = bed.until_phase(&large, Phase::Failed).await.message.unwrap_or_default();
        assert!(large.contains("bytes; write at most"), "{large}");
        for (job, log) in [(&done, "was here\n"), (&runs, "one\ntwo\n"), (&waits, "at last\n")] {
            assert_eq!(bed.log_of(job).await, log);
        }
        bed.until_queue_empty().await;
        let jobs = [(&done, 1), (&runs, 1), (&fails, 1), (&many, 3), (&half, 1), (&waits, 1)];
        bed.assert_all_committed_once(&jobs).await;
        assert_eq!(bed.metric("htc_store_mismatch").await, 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed and testbed/last-release.sh: make soak"]
async fn a_condor_submit_that_the_last_release_has_left_at_work_commits_once() {
    on_bed(async |bed| {
        let upgrade = Upgrade::begin(bed);
        let tool = bed.replace_tool("condor_submit", SLOW_SUBMIT);
        bed.start().await;
        let job = bed.apply(host("slow", "true")).await;
        tool.until_called().await;
        upgrade.go(bed).await;
        bed.start().await;
        bed.until_looks(6).await;
        assert!(bed.queued(&job).await.is_empty(), "submitted again while the first tool lives");
        tool.go_on();
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed and testbed/last-release.sh: make soak"]
async fn what_senders_of_the_last_release_say_through_condor_is_heard() {
    on_bed(async |bed| {
        let upgrade = Upgrade::begin(bed);
        bed.set("HTC_EVENTS_URL", None);
        bed.start().await;
        let job = bed.apply(host("chirps", &(bed.gate("go") + "exit 3"))).await;
        bed.until_queued(&job, 2, 1).await;
        upgrade.go(bed).await;
        bed.start().await;
        until("the container to be seen running", async || match bed.kept_report(&job) {
            Some(report) if matches!(report.containers[0].state, ContainerState::Running { .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        assert_eq!(bed.metric("htc_chirps_total{kind=\"bad_signature\"}").await, 0);
        bed.open("go");
        bed.until_phase(&job, Phase::Failed).await;
        assert!(message(bed, &job).await.contains("exit code 3"));
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed and testbed/last-release.sh: make soak"]
async fn pods_of_the_last_release_end_well_under_this_one_while_its_senders_run() {
    on_bed(async |bed| {
        let upgrade = Upgrade::begin(bed);
        let gates = bed.folder.join("gates").display().to_string();
        bed.set("HTC_POD_HOST_PATHS", Some(&gates));
        bed.set("HTC_MAX_JOBS_IN_QUEUE", Some("2"));
        bed.start_endpoint().await;
        let socket = Transport::unix(&bed.data().join("interlink.sock"));
        let mut kubelet = VirtualKubelet::new(socket, Dialect::NEWEST);
        let shell =
            |name, script: &str| container(name, "docker.io/library/busybox:1", &["sh", "-c", script]);
        let over =
            kubelet.create(&pod("over", &[], &[shell("main", "echo was here")])).await.unwrap().pod_uid;
        kubelet.until_phase(&over, "Succeeded").await;
        let gated = |name: &str, script: &str| {
            let mut pod = pod(name, &[], &[shell("main", script)]);
            pod["spec"]["volumes"] = json!([{ "name": "gates", "hostPath": { "path": gates } }]);
            let mount = json!([{ "name": "gates", "mountPath": gates }]);
            pod["spec"]["containers"][0]["volumeMounts"] = mount;
            pod
        };
        let runs = gated("runs", &format!("echo one; {}echo two", bed.gate("go")));
        let runs = kubelet.create(&runs).await.unwrap().pod_uid;
        let fails = gated("fails", &format!("{}echo bad > /dev/termination-log; exit 3", bed.gate("go")));
        let fails = kubelet.create(&fails).await.unwrap().pod_uid;
        for pod in [&runs, &fails] {
            kubelet.until_phase(pod, "Running").await;
        }
        let waits =
            kubelet.create(&pod("waits", &[], &[shell("main", "echo at last")])).await.unwrap().pod_uid;

        upgrade.go(bed).await;
        bed.set("HTC_MAX_JOBS_IN_QUEUE", None);
        bed.start_endpoint().await;
        until_polled(bed, 2).await;
        let log =
            async |kubelet: &mut VirtualKubelet, uid: &str| kubelet.log(uid, "main", &Opts::default()).await;
        assert_eq!(log(&mut kubelet, &over).await, "was here\n");
        assert_eq!(log(&mut kubelet, &runs).await, "one\n");
        assert_eq!(bed.metric("htc_condor_tails_total").await, 0);
        kubelet.until_phase(&waits, "Succeeded").await;
        bed.open("go");
        kubelet.until_phase(&runs, "Succeeded").await;
        kubelet.until_phase(&fails, "Failed").await;
        let end = kubelet.held(&fails).copy.state("main").terminated.clone().unwrap();
        assert_eq!((end.exit_code, end.message.unwrap_or_default().trim()), (3, "bad"));
        for (uid, text) in [(&over, "was here\n"), (&runs, "one\ntwo\n"), (&waits, "at last\n")] {
            assert_eq!(log(&mut kubelet, uid).await, text);
        }
        for uid in [&over, &runs, &fails, &waits] {
            kubelet.delete(uid).await.success().unwrap();
        }
        bed.until_queue_empty().await;
        let mut uids: Vec<String> = bed
            .every_job()
            .await
            .iter()
            .map(|ad| ad["HTCOperatorUid"].as_str().unwrap().to_owned())
            .collect();
        uids.sort();
        let mut expected = [over, runs, fails, waits];
        expected.sort();
        assert_eq!(uids, expected, "each was committed once");
        assert_eq!(bed.metric("htc_store_mismatch").await, 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed and testbed/last-release.sh: make soak"]
async fn the_last_release_refuses_what_this_one_has_kept_and_changes_nothing() {
    on_bed(async |bed| {
        bed.start().await;
        let job = bed.apply(host("stays", &(bed.gate("go") + "echo here"))).await;
        bed.until_queued(&job, 2, 1).await;
        bed.signal(rustix::process::Signal::TERM);
        assert!(bed.ended().await.success());
        let kept = || std::fs::read(bed.data().join("htcjobs.db")).unwrap();
        let before = kept();
        let upgrade = Upgrade::begin(bed);
        let said = bed.command(&["serve"]).output().await.unwrap();
        let words =
            String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
        assert!(!said.status.success() && words.contains("database"), "{words}");
        assert_eq!(std::fs::read(bed.data().join("htcjobs.db")).unwrap(), before);
        bed.program = Bed::PROGRAM.into();
        bed.set("HTC_SENDER", Some(&upgrade.sender));
        bed.start().await;
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}
