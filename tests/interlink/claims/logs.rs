//! `/getLogs`: the options of `kubectl logs`, as they arrive.

use serde_json::json;

use crate::client::dialect::{Dialect, Hop, Opts};
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::{container, plain, pod};
use crate::client::transport::Request;
use crate::door::Door;
use crate::pool::Ending;

super::claims![
    every_option_is_honoured,
    a_log_that_is_not_there_yet_is_a_line_and_200,
    names_that_are_none_are_refused,
    init_containers_and_no_name_have_logs,
    a_log_stays_after_the_end_and_after_delete,
    a_follower_gets_the_head_at_once_and_ends_with_the_container,
    any_bytes_are_passed_on,
];

/// A line as the sender writes it.
fn line(second: u32, text: &str) -> String {
    format!("2026-11-21T10:00:{second:02}.000000000Z stdout F {text}\n")
}

/// A pod with two init containers and two containers that has ended, with logs of five lines each.
async fn ended(door: &Door) -> (VirtualKubelet, String) {
    let mut kubelet = door.kubelet();
    let one = |name| container(name, "busybox", &["true"]);
    let pod = pod("logs", &[one("i0"), one("i1")], &[one("main"), one("side")]);
    let uid = kubelet.create(&pod).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    door.run_jobs();
    for name in ["i0", "i1", "main", "side"] {
        let lines: String = (1..=5).map(|n| line(n, &format!("{name} {n}"))).collect();
        door.scripted.write(&key, &format!("log.{name}"), &lines);
    }
    door.scripted.finish_jobs(Ending::code(0));
    kubelet.until_phase(&uid, "Succeeded").await;
    (kubelet, uid)
}

async fn every_option_is_honoured() {
    let door = Door::open().await;
    let (mut kubelet, uid) = ended(&door).await;
    for hop in [Hop::Kubelet, Hop::Server] {
        kubelet.dialect.hop = hop;
        let log = async |opts: Opts| kubelet.log(&uid, "main", &opts).await;
        let all = "main 1\nmain 2\nmain 3\nmain 4\nmain 5\n";
        assert_eq!(log(Opts::default()).await, all); // WIRE 2: zeros are unset
        assert_eq!(log(Opts { tail: 2, ..Opts::default() }).await, "main 4\nmain 5\n");
        assert_eq!(log(Opts { tail: 100, ..Opts::default() }).await, all);
        assert_eq!(log(Opts { bytes: 9, ..Opts::default() }).await, "main 1\nma");
        // WIRE 1.3: no API server lets this through, virtual kubelets do.
        assert_eq!(log(Opts { tail: 2, bytes: 9, ..Opts::default() }).await, "main 4\nma");
        let since = Opts { since_time: Some("2026-11-21T10:00:04Z".to_owned()), ..Opts::default() };
        assert_eq!(log(since.clone()).await, "main 4\nmain 5\n");
        assert_eq!(
            log(Opts { since_time: Some("2999-01-01T00:00:00Z".to_owned()), ..Opts::default() }).await,
            ""
        );
        assert_eq!(log(Opts { since_seconds: 2_000_000_000, ..Opts::default() }).await, all);
        let stamped = log(Opts { timestamps: true, tail: 1, ..since }).await;
        assert!(stamped.starts_with("2026-11-21T10:00:05") && stamped.ends_with("Z main 5\n"), "{stamped}");
        assert_eq!(log(Opts { follow: true, ..Opts::default() }).await, all); // it ends, as all has
    }
}

async fn a_log_that_is_not_there_yet_is_a_line_and_200() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("queued")).await.unwrap().pod_uid;
    door.until_queued(&uid).await;
    // WIRE 10.10: of an error only the number reaches the user.
    let text = kubelet.log(&uid, "main", &Opts::default()).await;
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    let unknown = kubelet.hold(&plain("unknown"));
    let answer = kubelet.logs(&unknown, "main", &Opts::default()).await;
    assert!(answer.code == 200 || answer.code == 404, "{}", answer.code);
    let text = kubelet.log(&uid, "main", &Opts { previous: true, ..Opts::default() }).await;
    assert!(text.lines().count() <= 1, "{text:?}");
}

async fn names_that_are_none_are_refused() {
    let door = Door::open().await;
    let (kubelet, uid) = ended(&door).await;
    let good = Dialect::NEWEST.logs(&kubelet.held(&uid).pod, "main", &Opts::default());
    let good: serde_json::Value = serde_json::from_slice(&good.body).unwrap();
    let bad = [
        ("ContainerName", "../main"),
        ("ContainerName", "main/../../../jobs"),
        ("ContainerName", "/etc/passwd"),
        ("ContainerName", "main\0"),
        ("PodUID", "../../etc"),
        ("PodUID", ""),
        ("PodUID", "a b"),
        ("Namespace", "../x"),
    ];
    for (field, value) in bad {
        let mut body = good.clone();
        body[field] = value.into();
        let answer = door.transport().send(&Request::json("GET", "/getLogs", &body)).await.unwrap();
        // WIRE 1.3: direct callers check nothing. A pod is found by its UID, so a namespace may be ignored.
        let fine = (400..500).contains(&answer.code) || field == "Namespace" && answer.code == 200;
        assert!(fine, "{field} {value:?}: {} {}", answer.code, answer.text());
        assert!(!answer.text().contains("root:"), "{}", answer.text());
    }
    for (field, value) in [("Tail", json!(-1)), ("Bytes", json!(-5)), ("SinceTime", json!("yesterday"))] {
        let mut body = good.clone();
        body["Opts"][field] = value;
        let answer = door.transport().send(&Request::json("GET", "/getLogs", &body)).await.unwrap();
        assert!(answer.code < 500, "{field}: {} {}", answer.code, answer.text());
    }
}

async fn init_containers_and_no_name_have_logs() {
    let door = Door::open().await;
    let (kubelet, uid) = ended(&door).await;
    for name in ["i0", "i1", "side"] {
        let last = kubelet.log(&uid, name, &Opts { tail: 1, ..Opts::default() }).await;
        assert_eq!(last, format!("{name} 5\n")); // WIRE 2: init names arrive like others
    }
    let first = kubelet.log(&uid, "", &Opts { tail: 1, ..Opts::default() }).await;
    assert_eq!(first, "main 5\n"); // WIRE 10.10: empty means the first container
    let answer = kubelet.logs(&uid, "nobody", &Opts::default()).await;
    assert!(answer.code == 404 || answer.code == 200, "{}", answer.code);
}

async fn a_log_stays_after_the_end_and_after_delete() {
    let mut door = Door::open().await;
    let (kubelet, uid) = ended(&door).await;
    door.kill().await;
    door.start().await;
    let last = Opts { tail: 1, ..Opts::default() };
    assert_eq!(kubelet.log(&uid, "main", &last).await, "main 5\n");
    let pod = kubelet.as_sent(&uid);
    door.transport().send(&kubelet.dialect.delete(&pod)).await.unwrap().success().unwrap();
    // WIRE 10.10: and some time after the delete; at the least it is no failure of ours.
    let answer = kubelet.logs(&uid, "main", &last).await;
    assert_eq!((answer.code, answer.text().as_str()), (200, "main 5\n"));
}

async fn a_follower_gets_the_head_at_once_and_ends_with_the_container() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let one = |name| container(name, "busybox", &["true"]);
    let uid = kubelet.create(&pod("followed", &[], &[one("main"), one("side")])).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    door.run_jobs();
    kubelet.until_phase(&uid, "Running").await;
    let follow = Opts { follow: true, ..Opts::default() };
    let request = kubelet.dialect.logs(&kubelet.held(&uid).pod, "main", &follow);
    // WIRE 1.1: the head comes before anything is written; `open` waits for nothing else.
    let transport = door.transport();
    let opened = tokio::time::timeout(std::time::Duration::from_secs(30), transport.open(&request));
    let mut stream = opened.await.expect("the head").unwrap();
    assert_eq!(stream.status(), 200);
    let mut got = String::new();
    for n in 1..=3 {
        let text = format!("live {n}");
        door.scripted.write(&key, "log.main", &line(n, &text));
        while !got.ends_with(&format!("{text}\n")) {
            let more = tokio::time::timeout(crate::door::PATIENCE, stream.chunk()).await.expect("the line");
            got += &String::from_utf8_lossy(&more.unwrap().expect("no end yet"));
        }
    }
    door.scripted.write(&key, "log.main", &line(4, "its last words"));
    door.end_container(&key, "main");
    let rest = tokio::time::timeout(crate::door::PATIENCE, stream.text());
    let rest = rest.await.expect("the end of the stream with that of the container").unwrap();
    // The other container goes on.
    assert_eq!(door.scripted.job(&key).unwrap()["JobStatus"], 2);
    let got = got + &rest;
    assert!(got.ends_with("live 3\nits last words\n"), "{got:?}");
    assert_eq!(got.lines().filter(|line| line.starts_with("live")).count(), 3, "{got:?}");
}

async fn any_bytes_are_passed_on() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("bytes")).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    door.run_jobs();
    let odd = "\u{1b}[31m\u{0}\u{fffd} ünï \u{1f600} \r";
    door.scripted.write(&key, "log.main", &line(1, odd));
    door.scripted.finish_jobs(Ending::code(0));
    kubelet.until_phase(&uid, "Succeeded").await;
    assert_eq!(kubelet.log(&uid, "main", &Opts::default()).await, format!("{odd}\n"));
}
