//! The InterLink door, without a socket: pods come in, are asked for, and leave.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::{Extension, Router};
use futures::future::join_all;
use htc_core::workload::report::{ContainerState, ContainerStatus, Phase, Report};
use htc_operator::engine::{Options, Want};
use htc_operator::http::caller::Caller;
use htc_operator::interlink::{Door, PingCheck, Settings, router};
use htc_operator::metrics::Metrics;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::harness::running;
use crate::life::{Life, PATIENCE, options, uid};
use crate::pool::{Ending, Scripted};

super::claims![
    a_pod_is_taken_in_once_asked_for_and_leaves_when_its_end_was_told,
    a_refusal_is_kept_and_told_again_in_every_life,
    the_first_answer_has_all_init_containers_waiting,
    a_failed_init_container_ends_all_behind_it,
    a_container_that_was_not_offered_waits_and_ends_well,
    what_nobody_brought_waits_and_is_then_lost,
    what_was_taken_away_is_not_taken_in_again,
    what_is_no_pod_is_nobodys_business_here,
    a_call_that_is_wrong_gets_one_plain_sentence,
    every_recorded_call_is_answered,
    what_nobody_asks_for_is_taken_away_and_what_is_asked_for_stays,
    of_two_virtual_kubelets_each_keeps_what_it_asks_for_and_one_that_is_away_loses_it,
    pings_of_those_who_only_watch_make_no_orphans,
    what_was_taken_in_without_an_answer_goes_soon_unless_somebody_asks_for_it,
    an_end_that_nobody_asks_for_leaves_the_queue_though_nothing_is_ever_taken_away,
    what_was_told_as_lost_is_not_taken_in_later,
    outputs_whose_time_is_over_take_their_pod_along,
    a_log_is_read_while_it_is_there_and_a_line_says_why_there_is_none,
    those_who_follow_end_with_their_container,
    a_ping_fails_only_for_what_the_site_names,
];

struct Here {
    life: Life,
    router: Router,
    stop: CancellationToken,
}

struct Answer {
    code: u16,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.code, 200, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|why| panic!("{why}: {}", self.text))
    }
}

impl Here {
    async fn on(scripted: &Scripted) -> Here {
        Here::with(scripted, Settings::default(), options(&scripted.path().join("data"))).await
    }

    async fn with(scripted: &Scripted, settings: Settings, options: Options) -> Here {
        let life = Life::begin(options, scripted.pool()).await;
        let door = Door::new(life.engine.clone(), settings, Arc::new(Metrics::default()));
        let stop = CancellationToken::new();
        tokio::spawn(door.clone().run(stop.clone()));
        // As a listener that asks nobody adds it.
        Here { life, router: router(door).layer(Extension(Caller::Anybody)), stop }
    }

    async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let text = to_bytes(response.into_body(), 64 << 20).await.unwrap();
        Answer { code, text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// A ping, of a monitor or of a virtual kubelet.
    async fn ping(&self, path: &str, session: Option<&str>) {
        let request = Request::builder().method("GET").uri(path).header("user-agent", "curl/8");
        let request =
            session.iter().fold(request, |request, id| request.header("Interlink-Http-Session", *id));
        let response = self.router.clone().oneshot(request.body(Body::from("[]")).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }

    async fn create(&self, pod: &Value) -> Answer {
        self.send("POST", "/create", json!({ "pod": pod, "container": null }).to_string()).await
    }

    async fn status(&self, pod: &Value) -> Value {
        self.send("GET", "/status", json!([pod]).to_string()).await.json()[0].take()
    }

    /// Asks as a virtual kubelet does, with what it was told before, until something is so.
    async fn until(&self, pod: &mut Value, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let told = self.status(pod).await;
            pod["status"] = json!({
                "containerStatuses": told["containers"],
                "initContainerStatuses": told["initContainers"],
            });
            if is_so(&told) {
                return told;
            }
            assert!(started.elapsed() < PATIENCE, "did not happen: {what}; {told:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn delete(&self, pod: &Value) -> Answer {
        self.send("DELETE", "/delete", pod.to_string()).await
    }

    async fn end(self) {
        self.stop.cancel();
        self.life.end().await;
    }
}

fn pod(uid: &str, inits: &[&str], containers: &[&str]) -> Value {
    let one = |name: &&str| json!({ "name": name, "image": "busybox", "command": ["true"] });
    json!({
        "metadata": { "name": uid, "namespace": "default", "uid": uid },
        "spec": {
            "initContainers": inits.iter().map(one).collect::<Vec<_>>(),
            "containers": containers.iter().map(one).collect::<Vec<_>>(),
        },
        "status": { "phase": "Pending", "containerStatuses": null },
    })
}

fn state<'a>(told: &'a Value, list: &str, n: usize) -> &'a Value {
    &told[list][n]["state"]
}

fn is_over(told: &Value) -> bool {
    told["containers"].as_array().unwrap().iter().all(|c| c["state"]["terminated"].is_object())
}

async fn a_pod_is_taken_in_once_asked_for_and_leaves_when_its_end_was_told() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    let mut pod = pod("a", &[], &["main", "side"]);
    let answers = join_all((0..8).map(|_| here.create(&pod))).await;
    for answer in answers {
        assert_eq!(answer.json(), json!({ "PodUID": "a", "PodJID": "htc-a" }));
    }
    here.life.is_queued("a", 0).await;
    let told = here.until(&mut pod, "it waits in the queue", |told| told["JID"] == "1.0").await;
    assert_eq!(
        (&told["name"], &told["UID"], &told["namespace"]),
        (&json!("a"), &json!("a"), &json!("default"))
    );
    for n in 0..2 {
        assert_eq!(state(&told, "containers", n)["waiting"]["reason"], "Queued");
    }
    scripted.start_jobs();
    here.life.runs("a", 0).await;
    scripted.finish("a/0/0/0", Ending::code(3));
    let end = |told: &Value| state(told, "containers", 1)["terminated"]["exitCode"] == 3;
    let told = here.until(&mut pod, "its end is told", end).await;
    assert_eq!(told["containers"][0]["imageID"], "busybox");
    scripted.empties().await;
    // With what little a person knows of it, and again by its caller.
    let little = json!({ "metadata": pod["metadata"] });
    assert_eq!(here.status(&little).await["containers"].as_array().unwrap().len(), 2);
    assert_eq!(here.create(&pod).await.json()["PodJID"], "htc-a");
    assert_eq!(here.delete(&pod).await.json(), json!([]));
    let gone = here.send("POST", "/delete", little.to_string()).await.json();
    assert_eq!((&gone["podUID"], &gone["podName"]), (&json!("a"), &json!("a")));
    assert!(is_over(&here.status(&pod).await));
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    here.end().await;
}

async fn a_refusal_is_kept_and_told_again_in_every_life() {
    let scripted = Scripted::new();
    let mut pod = pod("a", &["i"], &["main"]);
    pod["spec"]["volumes"] = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "its-claim" } }]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "v", "mountPath": "/v" }]);
    let mut sentences = Vec::new();
    for _ in 0..2 {
        let here = Here::on(&scripted).await;
        for _ in 0..2 {
            let answer = here.create(&pod).await;
            assert_eq!(answer.code, 400, "{}", answer.text);
            sentences.push(answer.text);
        }
        here.until(&mut pod, "it has failed", is_over).await;
        let told = here.status(&json!({ "metadata": pod["metadata"] })).await;
        for list in ["containers", "initContainers"] {
            let ended = &state(&told, list, 0)["terminated"];
            assert!(
                ended["message"].as_str().unwrap().contains("its-claim") && ended["exitCode"] != 0,
                "{ended}"
            );
        }
        here.end().await;
    }
    sentences.dedup();
    assert!(sentences.len() == 1 && sentences[0].starts_with("spec.volumes[0]"), "{sentences:?}");
    assert_eq!(scripted.commits(), 0);
    let here = Here::on(&scripted).await;
    here.delete(&pod).await.json();
    here.life.is_gone("a").await;
    here.end().await;
}

async fn the_first_answer_has_all_init_containers_waiting() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    let mut pod = pod("a", &["i0", "i1"], &["main"]);
    here.create(&pod).await.json();
    here.life.is_queued("a", 0).await;
    scripted.run_jobs(0);
    here.life.ends("a").await;
    for _ in 0..2 {
        let told = here.status(&pod).await;
        for n in 0..2 {
            assert!(state(&told, "initContainers", n)["waiting"].is_object(), "{told:#}");
        }
        assert!(state(&told, "containers", 0)["waiting"].is_object(), "{told:#}");
    }
    // What was not told may not leave.
    assert_eq!(scripted.jobs().len(), 1);
    let told = here.until(&mut pod, "it has ended", is_over).await;
    assert!((0..2).all(|n| state(&told, "initContainers", n)["terminated"]["exitCode"] == 0), "{told:#}");
    scripted.empties().await;
    // Who knows nothing of a status gets the truth at once.
    pod["status"].take();
    pod["metadata"]["uid"] = json!("b");
    here.create(&pod).await.json();
    here.life.is_queued("b", 0).await;
    scripted.run_jobs(0);
    here.life.ends("b").await;
    assert!(is_over(&here.status(&pod).await));
    here.end().await;
}

fn report(inits: &[(&str, Option<i32>)], mains: &[(&str, Option<i32>)], done: Option<i32>) -> Report {
    let status = |(name, code): &(&str, Option<i32>)| ContainerStatus {
        name: (*name).to_owned(),
        state: match code {
            Some(exit_code) => ContainerState::Terminated {
                exit_code: *exit_code,
                signal: None,
                reason: "Error".to_owned(),
                message: String::new(),
                started_at: Some(Timestamp::now()),
                finished_at: Timestamp::now(),
            },
            None => ContainerState::Running { started_at: Timestamp::now() },
        },
    };
    Report {
        phase: if done.is_some() { Phase::Done } else { Phase::Running },
        retcode: done,
        seq: 2,
        init_containers: inits.iter().map(status).collect(),
        containers: mains.iter().map(status).collect(),
        ..running("a/0/0/0".parse().unwrap(), 1)
    }
}

async fn a_failed_init_container_ends_all_behind_it() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    let mut pod = pod("a", &["i0", "i1"], &["main", "side"]);
    here.create(&pod).await.json();
    here.life.is_queued("a", 0).await;
    here.status(&pod).await;
    scripted.start_jobs();
    here.life.runs("a", 0).await;
    here.life.engine.report(report(&[("i0", Some(7))], &[], Some(7))).await.unwrap();
    scripted.finish("a/0/0/0", Ending::code(7).without_result());
    let told = here.until(&mut pod, "it has ended", is_over).await;
    assert_eq!(state(&told, "initContainers", 0)["terminated"]["exitCode"], 7);
    for (list, n) in [("initContainers", 1), ("containers", 0), ("containers", 1)] {
        let ended = &state(&told, list, n)["terminated"];
        assert_eq!(ended["exitCode"], 7, "{list} {n}");
        assert_eq!(ended["message"], "not started: init container i0 failed");
    }
    here.end().await;
}

async fn a_container_that_was_not_offered_waits_and_ends_well() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    here.create(&pod("a", &["i"], &["main"])).await.json();
    let mut asked = pod("a", &["i", "local-i"], &["main", "local"]);
    here.life.is_queued("a", 0).await;
    scripted.start_jobs();
    here.life.runs("a", 0).await;
    here.life.engine.report(report(&[("i", Some(0))], &[("main", None)], None)).await.unwrap();
    let told =
        here.until(&mut asked, "it runs", |told| state(told, "containers", 0)["running"].is_object()).await;
    assert!(state(&told, "containers", 1)["waiting"].is_object(), "{told:#}");
    // One that waited would keep the pod from ever running.
    assert_eq!(state(&told, "initContainers", 1)["terminated"]["exitCode"], 0);
    here.life
        .engine
        .report(Report { seq: 3, ..report(&[("i", Some(0))], &[("main", Some(4))], Some(4)) })
        .await
        .unwrap();
    scripted.finish("a/0/0/0", Ending::code(4));
    let told = here.until(&mut asked, "it has ended", is_over).await;
    assert_eq!(state(&told, "containers", 0)["terminated"]["exitCode"], 4);
    assert_eq!(state(&told, "containers", 1)["terminated"]["exitCode"], 0);
    here.end().await;
}

async fn what_nobody_brought_waits_and_is_then_lost() {
    let scripted = Scripted::new();
    let settings = Settings { unknown_waits: Duration::from_millis(300), ..Settings::default() };
    let here = Here::with(&scripted, settings, options(&scripted.path().join("data"))).await;
    here.life.is_ready().await;
    let mut pod = pod("a", &["i"], &["main"]);
    let told = here.status(&pod).await;
    assert!(state(&told, "containers", 0)["waiting"].is_object(), "{told:#}");
    let told = here.until(&mut pod, "it is lost", is_over).await;
    for list in ["containers", "initContainers"] {
        let ended = &state(&told, list, 0)["terminated"];
        assert!(ended["exitCode"] != 0 && !ended["message"].as_str().unwrap().is_empty(), "{ended}");
    }
    here.end().await;
}

async fn what_was_taken_away_is_not_taken_in_again() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    let pod = pod("a", &[], &["main"]);
    assert_eq!(here.delete(&pod).await.json(), json!([]));
    let answer = here.create(&pod).await;
    assert!(answer.code == 409 && answer.text.contains("deleted"), "{} {}", answer.code, answer.text);
    here.end().await;
    let here = Here::on(&scripted).await;
    assert_eq!(here.create(&pod).await.code, 409);
    assert_eq!(here.delete(&pod).await.json(), json!([]));
    assert_eq!(scripted.commits(), 0);
    here.end().await;
}

async fn what_is_no_pod_is_nobodys_business_here() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    here.life.wish("a", 1).await;
    let pod = pod("a", &[], &["main"]);
    assert_eq!(here.create(&pod).await.code, 409);
    assert_eq!(here.delete(&pod).await.code, 409);
    assert_eq!(here.send("GET", "/getLogs", json!({ "PodUID": "a" }).to_string()).await.code, 404);
    assert_eq!(here.status(&pod).await["containers"][0]["state"]["waiting"]["reason"], "NotBroughtYet");
    assert_eq!(here.life.view("a").want, Want::Run);
    here.end().await;
}

async fn a_call_that_is_wrong_gets_one_plain_sentence() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    let deep = "[".repeat(100_000);
    let bodies = ["", "{", "nonsense", "[1]", "7", r#"{"pod": 7}"#, r#"{"pod": {"metadata": {}}}"#, &deep];
    let large = vec![b' '; (16 << 20) + 1];
    for path in ["/create", "/status", "/delete", "/getLogs"] {
        for body in
            bodies.into_iter().map(|body| Body::from(body.to_owned())).chain([Body::from(large.clone())])
        {
            let Answer { code, text } = here.send("PUT", path, body).await;
            assert!(code == 200 || (400..500).contains(&code), "{path}: {code} {text}");
            assert!(code == 200 || (text.lines().count() == 1 && text.len() < 300), "{path}: {text}");
        }
    }
    let secret = r#"{"pod": {"metadata": {"uid": "a", "name": {"x": "hush"}}}}"#;
    assert!(!here.send("POST", "/create", secret).await.text.contains("hush"));
    for (name, code) in [("a b", 400), ("a\nb", 400), ("", 200)] {
        let mut pod = pod("a", &[], &["main"]);
        pod["metadata"]["name"] = json!(name);
        assert_eq!(here.create(&pod).await.code, code, "{name:?}");
    }
    let two = json!([{ "pod": pod("x", &[], &["main"]) }, { "pod": pod("y", &[], &["main"]) }]);
    assert_eq!(here.send("POST", "/create", two.to_string()).await.code, 400);
    assert_eq!(here.send("GET", "/elsewhere", "").await.code, 404);
    here.end().await;
}

/// All recordings of one version and hop, in order.
fn recordings(folder: &Path) -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        (file.display().to_string(), serde_json::from_str(&text).unwrap())
    };
    files.into_iter().map(read).collect()
}

async fn every_recorded_call_is_answered() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    // What cannot run here, and a word of the reason.
    let refused =
        [("016-create-probes", "lifecycle"), ("020-create-projsecret", "ecret"), ("021-create-pvc", "laim")];
    let mut accepted = 0;
    for version in ["0.4.1", "0.5.2-patch1", "0.6.1-patch1", "0.6.2"] {
        for hop in ["hop1", "hop2"] {
            let scripted = Scripted::new();
            let here = Here::on(&scripted).await;
            for (name, call) in recordings(&root.join(version).join(hop)) {
                let (path, body) = (call["path"].as_str().unwrap(), &call["body"]);
                if body["Opts"]["Follow"] == true {
                    continue; // The pod waits for ever here.
                }
                let text = if body == "" { String::new() } else { body.to_string() };
                let Answer { code, text } = here.send(call["method"].as_str().unwrap(), path, text).await;
                let why_not = refused.iter().find(|(what, _)| path == "/create" && name.contains(what));
                match why_not {
                    Some((_, word)) => assert!(code == 400 && text.contains(word), "{name}: {code} {text}"),
                    None => assert_eq!(code, 200, "{name}: {text}"),
                }
                accepted += usize::from(path == "/create" && code == 200);
                if let (true, Some(pods)) =
                    (path == "/status", body.as_array().filter(|pods| !pods.is_empty()))
                {
                    let told: Vec<Value> = serde_json::from_str(&text).unwrap();
                    let uids = |list: &[Value], of: fn(&Value) -> &Value| {
                        list.iter().map(of).cloned().collect::<Vec<_>>()
                    };
                    assert_eq!(
                        uids(&told, |one| &one["UID"]),
                        uids(pods, |pod| &pod["metadata"]["uid"]),
                        "{name}"
                    );
                }
            }
            here.end().await;
        }
    }
    assert!(accepted > 70, "{accepted}");
}

async fn what_nobody_asks_for_is_taken_away_and_what_is_asked_for_stays() {
    let scripted = Scripted::new();
    // Long enough for a loaded machine to ask in time.
    let settings = Settings { orphan_after: Duration::from_secs(6), ..Settings::default() };
    let here = Here::with(&scripted, settings, options(&scripted.path().join("data"))).await;
    let (mut kept, orphan) = (pod("kept", &[], &["main"]), pod("orphan", &[], &["main"]));
    here.create(&kept).await.json();
    here.create(&orphan).await.json();
    here.life.is_queued("orphan", 0).await;
    let started = Instant::now();
    while here.life.view("orphan").want != Want::Tombstone {
        here.until(&mut kept, "it waits", |_| true).await;
        assert!(started.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(here.life.view("kept").want, Want::Run);
    here.end().await;
}

async fn what_was_taken_in_without_an_answer_goes_soon_unless_somebody_asks_for_it() {
    let scripted = Scripted::new();
    // Nearly every answer comes too early; orphans have a day.
    let (taking_patience, given_up_after) = (Duration::ZERO, Duration::from_secs(3));
    let settings = Settings { taking_patience, given_up_after, ..Settings::default() };
    let here = Here::with(&scripted, settings, options(&scripted.path().join("data"))).await;
    let unanswered = async |name: &str| {
        for n in 0..100 {
            let pod = pod(&format!("{name}-{n}"), &[], &["main"]);
            if here.create(&pod).await.code == 503 {
                return pod;
            }
        }
        panic!("all are answered");
    };
    let mut kept = unanswered("kept").await;
    here.until(&mut kept, "it is asked for", |_| true).await;
    let given_up = unanswered("given-up").await;
    let started = Instant::now();
    let want = |pod: &Value| {
        here.life.engine.view(&uid(pod["metadata"]["uid"].as_str().unwrap())).map(|view| view.want)
    };
    while want(&given_up) != Some(Want::Tombstone) {
        here.until(&mut kept, "it waits", |_| true).await;
        assert!(started.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(want(&kept), Some(Want::Run));
    here.end().await;
}

async fn of_two_virtual_kubelets_each_keeps_what_it_asks_for_and_one_that_is_away_loses_it() {
    let scripted = Scripted::new();
    // Long enough for a loaded machine to ask in time.
    let settings = Settings { orphan_after: Duration::from_secs(5), ..Settings::default() };
    let here = Here::with(&scripted, settings, options(&scripted.path().join("data"))).await;
    let (mut one, mut other) = (pod("one", &[], &["main"]), pod("other", &[], &["main"]));
    here.create(&one).await.json();
    here.create(&other).await.json();
    let is_gone = |name: &str| here.life.view(name).want == Want::Tombstone;
    // Orphans tell how time passes: the second is taken away at a look after the first one's.
    for orphan in ["first", "second"] {
        here.create(&pod(orphan, &[], &["main"])).await.json();
        let started = Instant::now();
        while !is_gone(orphan) {
            here.until(&mut one, "it waits", |_| true).await;
            here.until(&mut other, "it waits", |_| true).await;
            assert!(started.elapsed() < PATIENCE, "{orphan} stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(!is_gone("one") && !is_gone("other"), "each is asked for by its own");
    let started = Instant::now();
    while !is_gone("other") {
        here.until(&mut one, "it waits", |_| true).await;
        assert!(started.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(here.life.view("one").want, Want::Run);
    here.end().await;
}

async fn pings_of_those_who_only_watch_make_no_orphans() {
    let (quiet, busy) = (Scripted::new(), Scripted::new());
    let settings = || Settings {
        orphan_after: Duration::from_secs(2),
        away_after: Duration::from_secs(1),
        ..Settings::default()
    };
    // Nobody but a monitor calls here; there a virtual kubelet pings, which would ask for its pods.
    let here = Here::with(&quiet, settings(), options(&quiet.path().join("data"))).await;
    let there = Here::with(&busy, settings(), options(&busy.path().join("data"))).await;
    here.create(&pod("watched", &[], &["main"])).await.json();
    let paths = ["/pinglink", "/status", "/system-info", "/version"];
    // The second is taken away at a look after the first one's: time has passed here too.
    for orphan in ["first", "second"] {
        there.create(&pod(orphan, &[], &["main"])).await.json();
        let started = Instant::now();
        while there.life.view(orphan).want != Want::Tombstone {
            for path in paths {
                here.ping(path, None).await;
            }
            there.ping("/status", Some("Request-1")).await;
            assert!(started.elapsed() < PATIENCE, "{orphan} stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(here.life.view("watched").want, Want::Run);
    let started = Instant::now();
    while here.life.view("watched").want != Want::Tombstone {
        here.ping("/pinglink", Some("PingInterLink#1")).await;
        assert!(started.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    here.end().await;
    there.end().await;
}

async fn an_end_that_nobody_asks_for_leaves_the_queue_though_nothing_is_ever_taken_away() {
    let scripted = Scripted::new();
    let (orphan_after, given_up_after) = (Duration::ZERO, Duration::from_secs(1));
    let settings = Settings { orphan_after, given_up_after, ..Settings::default() };
    let here = Here::with(&scripted, settings, options(&scripted.path().join("data"))).await;
    let (mut kept, over) = (pod("kept", &[], &["main"]), pod("over", &[], &["main"]));
    here.create(&over).await.json();
    here.life.is_queued("over", 0).await;
    scripted.run_jobs(0);
    here.create(&kept).await.json();
    let started = Instant::now();
    while !here.life.view("over").jobs.iter().any(|job| job.published) {
        here.until(&mut kept, "it is asked for", |_| true).await;
        assert!(started.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut over = over;
    here.until(&mut over, "its end is told all the same", is_over).await;
    here.end().await;
}

async fn what_was_told_as_lost_is_not_taken_in_later() {
    let scripted = Scripted::new();
    let settings = Settings { unknown_waits: Duration::from_millis(100), ..Settings::default() };
    let here = Here::with(&scripted, settings, options(&scripted.path().join("data"))).await;
    let mut late = pod("late", &[], &["main"]);
    here.until(&mut late, "it is told as lost", is_over).await;
    let refused = here.create(&late).await;
    assert!(
        refused.code == 409 && refused.text.contains("make a new one"),
        "{} {}",
        refused.code,
        refused.text
    );
    assert!(is_over(&here.status(&late).await), "an end is not taken back");
    // One that was asked for before it was brought, as virtual kubelets do.
    let early = pod("early", &[], &["main"]);
    here.status(&early).await;
    here.create(&early).await.json();
    here.end().await;
}

async fn outputs_whose_time_is_over_take_their_pod_along() {
    let scripted = Scripted::new();
    let keep =
        Options { keep_outputs: Some(Duration::from_millis(1)), ..options(&scripted.path().join("data")) };
    // Looked at as often as what nobody asks for.
    let settings = Settings { orphan_after: Duration::from_secs(20), ..Settings::default() };
    let here = Here::with(&scripted, settings, keep).await;
    let mut pod = pod("a", &[], &["main"]);
    here.create(&pod).await.json();
    here.life.is_queued("a", 0).await;
    scripted.run_jobs(0);
    here.until(&mut pod, "its end is told", is_over).await;
    here.life.is_gone("a").await;
    assert!(is_over(&here.status(&pod).await), "an end is not taken back");
    here.end().await;
}

fn log(container: &str, opts: Value) -> String {
    json!({ "Namespace": "default", "PodUID": "a", "PodName": "a", "ContainerName": container, "Opts": opts })
        .to_string()
}

async fn a_log_is_read_while_it_is_there_and_a_line_says_why_there_is_none() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    let mut pod = pod("a", &["i"], &["main"]);
    here.create(&pod).await.json();
    here.life.is_queued("a", 0).await;
    let none = here.send("GET", "/getLogs", log("", json!(null))).await;
    assert!(none.code == 200 && none.text.lines().count() == 1, "{} {}", none.code, none.text);
    assert!(none.text.contains("the pod waits in the queue"), "{}", none.text);
    scripted.start_jobs();
    here.life.runs("a", 0).await;
    for n in 1..=3 {
        scripted.write("a/0/0/0", "log.main", &format!("2026-01-01T00:00:0{n}Z stdout F line {n}\n"));
    }
    scripted.finish("a/0/0/0", Ending::code(0));
    here.until(&mut pod, "it has ended", is_over).await;
    let read = async |opts: Value| here.send("GET", "/getLogs", log("", opts)).await.text;
    let all = "line 1\nline 2\nline 3\n";
    assert_eq!(read(json!({})).await, all);
    assert_eq!(read(json!({ "Tail": 1, "Follow": true })).await, "line 3\n");
    assert_eq!(
        read(json!({ "SinceTime": "2026-01-01T00:00:03Z", "Timestamps": true })).await,
        "2026-01-01T00:00:03Z line 3\n"
    );
    assert_eq!(here.send("GET", "/getLogs", log("other", json!({}))).await.code, 404);
    here.delete(&pod).await.json();
    scripted.empties().await;
    scripted.calls_more("condor_q", 3).await;
    assert_eq!(read(json!({})).await, all, "who reads now reads to the end");
    here.end().await;
}

async fn those_who_follow_end_with_their_container() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    here.create(&pod("a", &[], &["main", "side"])).await.json();
    here.life.is_queued("a", 0).await;
    scripted.start_jobs();
    here.life.runs("a", 0).await;
    scripted.write("a/0/0/0", "log.main", "2026-01-01T00:00:01Z stdout F its last words\n");
    here.life.engine.report(report(&[], &[("main", Some(0)), ("side", None)], None)).await.unwrap();
    let whole = here.send("GET", "/getLogs", log("main", json!({ "Follow": true })));
    let whole = tokio::time::timeout(PATIENCE, whole).await.expect("it ends though the other container runs");
    assert_eq!(whole.text, "its last words\n");
    here.end().await;
}

async fn a_ping_fails_only_for_what_the_site_names() {
    let scripted = Scripted::new();
    let here = Here::on(&scripted).await;
    for (path, body) in [("/pinglink", ""), ("/status", ""), ("/status", "[]"), ("/status", "null")] {
        assert_eq!(here.send("GET", path, body).await.json()["status"], "healthy");
    }
    here.end().await;
    let check = PingCheck(Arc::new(|| Some("the proxy has expired".to_owned())));
    let settings = Settings { ping_check: Some(check), ..Settings::default() };
    let here = Here::with(&scripted, settings, options(&scripted.path().join("data"))).await;
    let Answer { code, text } = here.send("POST", "/pinglink", "").await;
    assert_eq!((code, text.as_str()), (503, "the proxy has expired\n"));
    here.end().await;
}
