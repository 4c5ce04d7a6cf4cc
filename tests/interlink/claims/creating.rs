//! `/create`: one object, exactly 200, one job for a pod however often it comes.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;

use crate::client::dialect::{Dialect, Hop, Version};
use crate::client::pods::{self, container, plain, pod};
use crate::client::transport::Request;
use crate::client::wire;
use crate::door::Door;
use crate::pool::{Fault, Outage, Planned};

super::claims![
    every_caller_gets_one_object_and_exactly_200,
    bodies_of_either_caller_are_taken_as_lists_too,
    the_id_is_known_before_submission_and_never_changes,
    the_same_pod_at_once_and_again_is_one_job,
    a_pod_that_comes_again_after_a_crash_is_one_job,
    create_answers_while_no_tool_of_htcondor_does,
    what_cannot_run_is_refused_in_one_sentence,
    a_refused_pod_fails_with_its_reason_for_those_who_ask_on,
    little_is_enough_for_a_pod,
    many_large_bodies_at_once_take_turns,
    copies_of_one_object_without_bound_are_refused,
];

/// As large as a body may be, nearly.
const LARGE: usize = (16 << 20) - 4_096;

async fn every_caller_gets_one_object_and_exactly_200() {
    let door = Door::open().await;
    for dialect in Dialect::all() {
        let mut kubelet = door.kubelet_of(dialect);
        // WIRE 1.1, 1.2, 10.1: the client takes nothing but 200 and an object; 10.2: with the pod's UID.
        let made = kubelet.create(&plain("plain")).await.unwrap_or_else(|why| panic!("{dialect:?}: {why}"));
        door.until_queued(&made.pod_uid).await;
    }
    assert_eq!(door.committed().len(), Dialect::all().count());
}

async fn bodies_of_either_caller_are_taken_as_lists_too() {
    let door = Door::open().await;
    for hop in [Hop::Kubelet, Hop::Server] {
        let pod = plain("listed");
        let one = Dialect { version: Version::V062, hop }.create(&pod);
        let list = [b"[", one.body.as_slice(), b"]"].concat();
        let answer = door.transport().send(&Request { body: list, ..one }).await.unwrap();
        // WIRE 1.4: an array of either; always answers one object.
        let made = wire::create_struct(answer.success().unwrap()).unwrap();
        assert_eq!(made.pod_uid, pods::uid_of(&pod));
        door.until_queued(&made.pod_uid).await;
    }
}

async fn the_id_is_known_before_submission_and_never_changes() {
    let mut door = Door::open().await;
    door.scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    let mut kubelet = door.kubelet();
    let pod = plain("early");
    let first = kubelet.create(&pod).await.unwrap();
    door.scripted.heal();
    door.until_queued(&first.pod_uid).await;
    let uid = &first.pod_uid;
    // The client itself fails the test where the id changes.
    kubelet.bring(uid).await.unwrap();
    door.kill().await;
    door.start().await;
    kubelet.bring(uid).await.unwrap();
    let ad = door.scripted.jobs().remove(0);
    let id = format!("{}.{}", ad["ClusterId"], ad["ProcId"]);
    // `cluster.proc` comes in `/status` once it is known.
    kubelet.ask(uid).await;
    while kubelet.held(uid).jid != id {
        tokio::time::sleep(Duration::from_millis(50)).await;
        kubelet.ask(uid).await;
    }
    assert_eq!(door.committed(), [uid.as_str()]);
}

async fn the_same_pod_at_once_and_again_is_one_job() {
    let door = Door::open().await;
    let pod = plain("again");
    let hops = [Hop::Kubelet, Hop::Server].map(|hop| Dialect { version: Version::V062, hop });
    let transport = door.transport();
    let request = |n: usize| hops[n % 2].create(&pod);
    let requests: Vec<Request> = (0..32).map(request).collect();
    let at_once = join_all(requests.iter().map(|request| transport.send(request))).await;
    let made = |answer: crate::client::transport::Answer| {
        let made = wire::create_struct(answer.success().unwrap()).unwrap();
        (made.pod_uid, made.pod_jid)
    };
    let mut ids: BTreeSet<_> = at_once.into_iter().map(|answer| made(answer.unwrap())).collect();
    door.until_queued(pods::uid_of(&pod)).await;
    ids.insert(made(transport.send(&requests[0]).await.unwrap()));
    assert_eq!(ids.len(), 1, "{ids:?}"); // WIRE 10.3
    // What was doubled would be submitted before this.
    let mut kubelet = door.kubelet();
    let other = kubelet.create(&plain("later")).await.unwrap();
    door.until_queued(&other.pod_uid).await;
    assert_eq!(door.committed(), [pods::uid_of(&pod), &other.pod_uid]);
}

async fn a_pod_that_comes_again_after_a_crash_is_one_job() {
    let mut door = Door::open().await;
    let mut kubelet = door.kubelet();
    let mut all = BTreeSet::new();
    for n in 0..8_u64 {
        let uid = kubelet.create(&plain(&format!("crash-{n}"))).await.unwrap().pod_uid;
        // Somewhere between the answer and the end of the submission.
        tokio::time::sleep(Duration::from_millis(20 * n)).await;
        door.kill().await;
        door.start().await;
        kubelet.bring(&uid).await.unwrap(); // WIRE 3.6: a restarted virtual kubelet brings it again
        all.insert(uid);
    }
    for uid in &all {
        door.until_queued(uid).await;
    }
    let committed = door.committed();
    assert_eq!(committed.len(), all.len());
    assert_eq!(committed.into_iter().collect::<BTreeSet<_>>(), all);
}

async fn create_answers_while_no_tool_of_htcondor_does() {
    let door = Door::open().await;
    door.scripted.plan(Planned::everywhere(Fault::Hang));
    let mut kubelet = door.kubelet();
    let soon = tokio::time::timeout(Duration::from_secs(30), kubelet.create(&plain("hanging"))).await;
    // WIRE 10.4: well under 120 s, whatever the pool does.
    soon.expect("an answer").unwrap();
    door.scripted.heal();
}

/// A pod with a claim that no setting maps.
fn claimed() -> serde_json::Value {
    let mut pod = plain("claimed");
    pod["spec"]["volumes"] =
        json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "the-claim" } }]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    pod
}

async fn what_cannot_run_is_refused_in_one_sentence() {
    let door = Door::open().await;
    for dialect in Dialect::all() {
        let answer = door.transport().send(&dialect.create(&claimed())).await.unwrap();
        assert_eq!(answer.code, 400, "{}", answer.text());
        let text = answer.text();
        // WIRE 1.1, 3.3: short plain text, cause first; the user sees it, quoted, in the pod's message.
        assert!(text.contains("the-claim") || text.contains("persistentVolumeClaim"), "{text}");
        assert!(!text.trim().contains('\n') && text.len() < 500, "{text}");
        assert!(!text.starts_with(['{', '[', '<']), "{text}");
    }
    assert!(door.committed().is_empty());
}

async fn a_refused_pod_fails_with_its_reason_for_those_who_ask_on() {
    let mut door = Door::open().await;
    let mut kubelet = door.kubelet_of(Dialect { version: Version::V05, hop: Hop::Kubelet });
    let pod = claimed();
    kubelet.create(&pod).await.unwrap_err();
    let uid = pods::uid_of(&pod);
    for _ in 0..2 {
        // WIRE 0 (1): a 0.5 virtual kubelet asks on, and the answer must end the pod, with words.
        kubelet.until_phase(uid, "Failed").await;
        let end = kubelet.held(uid).copy.state("main").terminated.clone().unwrap();
        let message = end.message.unwrap_or_default();
        assert!(message.contains("the-claim") || message.contains("persistentVolumeClaim"), "{message}");
        door.kill().await;
        door.start().await;
        // WIRE 3.6: after its restart it brings the pod again.
        kubelet.bring(uid).await.unwrap_err();
    }
    assert!(door.committed().is_empty());
}

async fn little_is_enough_for_a_pod() {
    let door = Door::open().await;
    // WIRE 1.4: no status, no node, no resources, no containers in the list of the API server.
    let uid = pods::uid();
    let pod = json!({
        "metadata": { "name": "little", "namespace": "default", "uid": uid },
        "spec": { "containers": [{ "name": "main", "image": "docker://busybox", "command": ["true"] }] },
    });
    let request = Request::json("POST", "/create", &json!({ "pod": pod, "container": [] }));
    let answer = door.transport().send(&request).await.unwrap();
    assert_eq!(wire::create_struct(answer.success().unwrap()).unwrap().pod_uid, uid);
    door.until_queued(&uid).await;
    // WIRE 2: lists may be null, fields may be unknown.
    let mut odd = super::creating::pod("odd", &[], &[container("main", "busybox", &["true"])]);
    for (list, value) in
        [("volumes", json!(null)), ("initContainers", json!(null)), ("later", json!({"a": 1}))]
    {
        odd["spec"][list] = value;
    }
    odd["metadata"]["annotations"] = json!(null);
    let made = door.kubelet().create(&odd).await.unwrap();
    door.until_queued(&made.pod_uid).await;
}

async fn many_large_bodies_at_once_take_turns() {
    let door = Door::open().await;
    let large = |n: usize| {
        // Nobody mounts it, so nothing of it stays.
        let map = json!({ "metadata": { "name": "large" }, "data": { "key": "x".repeat(LARGE) } });
        let body = json!({ "pod": plain(&format!("large-{n}")), "configmaps": [map] });
        Request::json("POST", "/create", &body)
    };
    let transport = door.transport();
    let calls = (0..24).map(|n| {
        let (transport, request) = (&transport, large(n));
        async move { transport.send(&request).await.unwrap() }
    });
    let answers = join_all(calls).await;
    for answer in answers {
        answer.success().unwrap();
    }
    // Each needs its body and what is read from it at the same time: together that would be 768 MiB.
    assert!(door.peak() < 400, "{} MiB", door.peak());
}

async fn copies_of_one_object_without_bound_are_refused() {
    let door = Door::open().await;
    let map = json!({ "metadata": { "name": "map" }, "data": { "key": "x".repeat(1 << 20) } });
    let mounted = |volumes: usize| {
        let name = |n: usize| format!("copy-{n}");
        let mounts: Vec<_> =
            (0..volumes).map(|n| json!({ "name": name(n), "mountPath": format!("/{n}") })).collect();
        let mut main = container("main", "busybox", &["true"]);
        main["volumeMounts"] = mounts.into();
        let mut pod = pod("copies", &[], &[main]);
        let volume = |n: usize| json!({ "name": name(n), "configMap": { "name": "map" } });
        pod["spec"]["volumes"] = (0..volumes).map(volume).collect();
        Request::json("POST", "/create", &json!({ "pod": pod, "configmaps": [map] }))
    };
    door.transport().send(&mounted(4)).await.unwrap().success().unwrap();
    let answer = door.transport().send(&mounted(200)).await.unwrap();
    assert_eq!(answer.code, 400, "{}", answer.text());
    assert!(answer.text().contains("spec.volumes[15].configMap"), "{}", answer.text());
    assert!(answer.text().contains("16 MiB"), "{}", answer.text());
    assert!(door.peak() < 128, "{} MiB", door.peak());
}
