//! `/delete`: recorded before it is answered, tried until it is done, in any order with `/create`.

use serde_json::json;

use crate::client::dialect::Dialect;
use crate::client::pods::plain;
use crate::client::transport::Request;
use crate::client::wire;
use crate::door::Door;
use crate::pool::{Ending, Fault, Outage, Planned};

super::claims![
    delete_answers_both_verbs_with_an_empty_list,
    a_body_without_a_spec_gets_the_predecessors_answer,
    a_delete_of_nobody_is_a_success,
    a_create_after_its_delete_starts_nothing,
    a_delete_is_tried_again_until_the_job_is_gone,
    a_delete_survives_a_crash,
    a_delete_of_a_finished_pod_tidies_up,
    a_pod_that_nobody_asks_for_is_collected_and_others_stay,
];

/// Waits until nothing of it is in the queue.
async fn until_empty(door: &Door) {
    door.until("an empty queue", || door.scripted.jobs().is_empty().then_some(())).await;
}

async fn delete_answers_both_verbs_with_an_empty_list() {
    let door = Door::open().await;
    for dialect in Dialect::all() {
        let mut kubelet = door.kubelet_of(dialect);
        let uid = kubelet.create(&plain("deleted")).await.unwrap().pod_uid;
        door.until_queued(&uid).await;
        let answer = kubelet.delete(&uid).await;
        // WIRE 0 (3): what every version decodes cleanly.
        assert_eq!(wire::json(answer.success().unwrap()).unwrap(), json!([]), "{dialect:?}");
    }
    until_empty(&door).await;
}

async fn a_body_without_a_spec_gets_the_predecessors_answer() {
    let door = Door::open().await;
    let pod = plain("recipe");
    let uid = door.kubelet().create(&pod).await.unwrap().pod_uid;
    let metadata = json!({ "metadata": pod["metadata"] });
    let answer = door.transport().send(&Request::json("POST", "/delete", &metadata)).await.unwrap();
    let answer = wire::json(answer.success().unwrap()).unwrap();
    assert_eq!((answer["podUID"].as_str(), answer["podName"].as_str()), (Some(uid.as_str()), Some("recipe")));
    assert!(answer["message"].is_string());
    until_empty(&door).await;
}

async fn a_delete_of_nobody_is_a_success() {
    let door = Door::open().await;
    for dialect in Dialect::all() {
        let mut kubelet = door.kubelet_of(dialect);
        let uid = kubelet.hold(&plain("nobody"));
        // WIRE 3.5: it is sent once; a failure would say nothing to anybody.
        kubelet.delete(&uid).await.success().unwrap();
    }
}

async fn a_create_after_its_delete_starts_nothing() {
    let mut door = Door::open().await;
    let mut kubelet = door.kubelet();
    let pod = plain("late");
    let uid = kubelet.hold(&pod);
    kubelet.delete(&uid).await.success().unwrap();
    for _ in 0..2 {
        // WIRE 10.9: a tombstone, so that a late create starts no orphan. What it is answered is free.
        let late = door.transport().send(&Dialect::NEWEST.create(&pod)).await.unwrap();
        assert!(late.code < 500, "{}: {}", late.code, late.text());
        let other = kubelet.create(&plain("other")).await.unwrap().pod_uid;
        door.until_queued(&other).await;
        assert!(!door.committed().contains(&uid));
        door.kill().await;
        door.start().await;
    }
}

async fn a_delete_is_tried_again_until_the_job_is_gone() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("stubborn")).await.unwrap().pod_uid;
    door.until_queued(&uid).await;
    door.scripted.plan(Planned::everywhere(Fault::Outage(Outage::ScheddKilled)));
    kubelet.delete(&uid).await.success().unwrap(); // WIRE 10.9: 200 once recorded
    let tries = door.scripted.calls("condor_q").len();
    door.until("it has tried", || (door.scripted.calls("condor_q").len() > tries + 2).then_some(())).await;
    assert_eq!(door.scripted.jobs().len(), 1);
    door.scripted.heal();
    until_empty(&door).await;
}

async fn a_delete_survives_a_crash() {
    let mut door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("crash")).await.unwrap().pod_uid;
    door.until_queued(&uid).await;
    door.scripted.plan(Planned::everywhere(Fault::Outage(Outage::ScheddKilled)));
    kubelet.delete(&uid).await.success().unwrap();
    door.kill().await;
    door.scripted.heal();
    assert_eq!(door.scripted.jobs().len(), 1);
    door.start().await;
    until_empty(&door).await;
}

async fn a_delete_of_a_finished_pod_tidies_up() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("finished")).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    door.run_jobs();
    door.scripted.finish(&key, Ending::code(0));
    kubelet.until_phase(&uid, "Succeeded").await;
    kubelet.delete(&uid).await.success().unwrap(); // WIRE 3.5: phase Succeeded
    until_empty(&door).await;
    kubelet.hold(&plain("later"));
    kubelet.sweep().await;
}

/// WIRE 3.5: force deletes while the virtual kubelet is down are never announced.
async fn a_pod_that_nobody_asks_for_is_collected_and_others_stay() {
    let mut door = Door::closed(&[]).set("HTC_INTERLINK_ORPHAN_HOURS", "0.0006");
    door.start().await;
    let mut kubelet = door.kubelet();
    let orphan = kubelet.create(&plain("orphan")).await.unwrap().pod_uid;
    let kept = kubelet.create(&plain("kept")).await.unwrap().pod_uid;
    door.until_queued(&orphan).await;
    door.until_queued(&kept).await;
    kubelet.ask(&orphan).await;
    let left = door.until_left(&orphan, async || drop(kubelet.ask(&kept).await)).await;
    assert!(left.contains(&kept), "the other one stays: {left:?}");
}
