//! Logs of real containers, while they run and after.

use std::time::Instant;

use reqwest::Response;
use serde_json::Value;

use super::{by_socket, kubelet, quick, with_endpoint};
use crate::client::dialect::{Dialect, Opts};
use crate::client::kubelet::PATIENCE;
use crate::client::pods::{container, pod};
use crate::harness::{Bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_follower_ends_with_its_container() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let script = format!("echo first\n{}echo last", bed.gate("go"));
        let uid = kubelet.create(&quick("followed", &script)).await.unwrap().pod_uid;
        // Before there is anything to read: the head comes at once, the words when they are there.
        let follow = Opts { follow: true, ..Opts::default() };
        let request = kubelet.dialect.logs(&kubelet.held(&uid).pod, "main", &follow);
        let mut stream = by_socket(bed).open(&request).await.unwrap();
        assert_eq!(stream.status(), 200);
        let mut log = String::new();
        while !log.contains("first\n") {
            log += &String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("no end yet"));
        }
        kubelet.until_phase(&uid, "Running").await;
        bed.open("go");
        while let Some(more) = stream.chunk().await.unwrap() {
            log += &String::from_utf8_lossy(&more);
        }
        assert!(log.ends_with("first\nlast\n"), "{log:?}");
        kubelet.until_phase(&uid, "Succeeded").await;
        assert_eq!(kubelet.log(&uid, "main", &Opts::default()).await, "first\nlast\n");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn every_option_is_honoured_while_the_container_runs_and_after() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let script = format!("for n in $(seq 20); do echo line $n; done\n{}", bed.gate("go"));
        let uid = kubelet.create(&quick("options", &script)).await.unwrap().pod_uid;
        kubelet.until_phase(&uid, "Running").await;
        let all: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        until("the whole log", async || {
            let log = kubelet.log(&uid, "main", &Opts::default()).await;
            if log == all { Ok(()) } else { Err(log) }
        })
        .await;
        for over in [false, true] {
            if over {
                bed.open("go");
                kubelet.until_phase(&uid, "Succeeded").await;
            }
            let log = async |opts: Opts| kubelet.log(&uid, "main", &opts).await;
            assert_eq!(log(Opts { tail: 2, ..Opts::default() }).await, "line 19\nline 20\n");
            assert_eq!(log(Opts { bytes: 10, ..Opts::default() }).await, "line 1\nlin");
            assert_eq!(log(Opts { tail: 1, bytes: 4, ..Opts::default() }).await, "line");
            assert_eq!(log(Opts { since_seconds: 86_400, ..Opts::default() }).await, all);
            let future = Some("2999-01-01T00:00:00Z".to_owned());
            assert_eq!(log(Opts { since_time: future, ..Opts::default() }).await, "");
            let stamped = log(Opts { timestamps: true, tail: 1, ..Opts::default() }).await;
            let (time, text) = stamped.split_once(' ').unwrap();
            assert!(time.parse::<jiff::Timestamp>().is_ok() && text == "line 20\n", "{stamped}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_follower_that_leaves_takes_its_tool_along() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let script = "while true; do echo tick; sleep 0.2; done";
        let uid = kubelet.create(&quick("left", script)).await.unwrap().pod_uid;
        kubelet.until_phase(&uid, "Running").await;
        let follow = Opts { follow: true, ..Opts::default() };
        let request = kubelet.dialect.logs(&kubelet.held(&uid).pod, "main", &follow);
        let mut stream = by_socket(bed).open(&request).await.unwrap();
        while !String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()).contains("tick") {}
        drop(stream);
        until("no tool to follow any more", async || match tails_below(bed) {
            0 => Ok(()),
            n => Err(format!("{n}")),
        })
        .await;
        kubelet.delete(&uid).await.success().unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_follower_ends_with_its_container_while_another_goes_on() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let one = |name, script: String| container(name, "host", &["bash", "-c", &script]);
        let short = one("short", format!("echo first\n{}echo last", bed.gate("short")));
        let long = one("long", bed.gate("long"));
        let uid = kubelet.create(&pod("two", &[], &[short, long])).await.unwrap().pod_uid;
        kubelet.until_phase(&uid, "Running").await;
        let mut stream = follow(bed, &kubelet.held(&uid).pod, "short").await;
        until_line(&mut stream, "first").await;
        let began = Instant::now();
        bed.open("short");
        assert_eq!(stream.text().await.unwrap(), "last\n");
        eprintln!("the end of one container, {:?} after its gate was opened", began.elapsed());
        kubelet.ask(&uid).await;
        assert!(kubelet.held(&uid).copy.state("long").running.is_some(), "the other one goes on");
        bed.open("long");
        kubelet.until_phase(&uid, "Succeeded").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_follower_of_a_pod_that_is_deleted_while_it_runs_has_what_it_says_in_its_grace() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let script = "trap 'echo told; sleep 1; echo still here; sleep 2; exit 0' TERM; echo up; while :; do sleep 0.1; done";
        let uid = kubelet.create(&quick("graced", script)).await.unwrap().pod_uid;
        kubelet.until_phase(&uid, "Running").await;
        let mut stream = follow(bed, &kubelet.held(&uid).pod, "main").await;
        until_line(&mut stream, "up").await;
        kubelet.delete(&uid).await.success().unwrap();
        until_line(&mut stream, "still here").await;
        tokio::time::timeout(PATIENCE, stream.text()).await.expect("an end").expect("an end in order");
        bed.until_queue_empty().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn two_hundred_followers_of_as_many_containers_in_ten_jobs_need_no_tool() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let names: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
        let script = format!("echo here\n{}echo last\nsleep 600", bed.gate("go").replace("0.2", "1"));
        let containers: Vec<_> =
            names.iter().map(|name| container(name, "host", &["bash", "-c", &script])).collect();
        let mut uids = Vec::new();
        for n in 0..10 {
            uids.push(kubelet.create(&pod(&format!("many-{n}"), &[], &containers)).await.unwrap().pod_uid);
        }
        for uid in &uids {
            kubelet.until_phase(uid, "Running").await;
        }
        until("all jobs to poll", async || match bed.metric("htc_polls_held").await {
            10 => Ok(()),
            held => Err(format!("{held} are held")),
        })
        .await;
        let began = Instant::now();
        let mut streams = Vec::new();
        for uid in &uids {
            for name in &names {
                streams.push(follow(bed, &kubelet.held(uid).pod, name).await);
            }
        }
        assert_eq!(bed.metric("htc_interlink_followers").await, 200);
        for line in ["here", "last"] {
            for stream in &mut streams {
                until_line(stream, line).await;
            }
            eprintln!("200 followers have {line:?} after {:?}", began.elapsed());
            bed.open("go");
        }
        assert_eq!(bed.metric("htc_condor_tails_total").await, 0);
        drop(streams);
        for uid in &uids {
            kubelet.delete(uid).await.success().unwrap();
        }
        bed.until_queue_empty().await;
    })
    .await;
}

/// Follows the log of a container.
async fn follow(bed: &Bed, pod: &Value, container: &str) -> Response {
    let follow = Opts { follow: true, ..Opts::default() };
    by_socket(bed).open(&Dialect::NEWEST.logs(pod, container, &follow)).await.unwrap()
}

/// Reads until this line has come.
async fn until_line(stream: &mut Response, line: &str) {
    let mut log = String::new();
    while !log.ends_with(&format!("{line}\n")) {
        let more = tokio::time::timeout(PATIENCE, stream.chunk()).await;
        let more = more.unwrap_or_else(|_| panic!("no {line:?}: {log:?}"));
        log += &String::from_utf8_lossy(&more.unwrap().expect("no end yet"));
    }
}

/// How many `condor_tail` the endpoint has started that still run.
fn tails_below(bed: &Bed) -> usize {
    let instance = bed.data().display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let is_ours = |folder: std::path::PathBuf| {
        let read = |name| std::fs::read(folder.join(name)).unwrap_or_default();
        let words = |name| String::from_utf8_lossy(&read(name)).into_owned();
        words("comm").starts_with("condor_tail") && parent_has(&folder, &instance)
    };
    processes.filter(|entry| is_ours(entry.path())).count()
}

/// Whether a process above has this in its environment.
fn parent_has(process: &std::path::Path, text: &str) -> bool {
    let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim).unwrap_or("0");
    let above = std::path::Path::new("/proc").join(parent);
    let environment = std::fs::read(above.join("environ")).unwrap_or_default();
    parent != "0" && (String::from_utf8_lossy(&environment).contains(text) || parent_has(&above, text))
}
