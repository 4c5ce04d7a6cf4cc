//! `/status`: from memory, all pods and all containers, in order, at every moment.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::client::dialect::{Dialect, Version};
use crate::client::pods::{self, container, plain, pod};
use crate::client::recordings;
use crate::client::wire;
use crate::door::Door;
use crate::pool::{Ending, Fault, Planned};

super::claims![
    every_caller_gets_a_list_in_its_order,
    finished_pods_are_answered_for_as_well,
    status_answers_while_no_tool_of_htcondor_does,
    no_tool_is_started_for_a_question,
    every_container_is_listed_at_every_moment,
    init_containers_wait_in_the_first_answer,
    queue_words_are_on_the_init_containers,
    an_unknown_pod_waits_and_then_is_lost,
    containers_that_were_not_offered_wait_and_end_with_0,
    a_held_job_says_why,
    a_queued_pod_stays_pending_where_waiting_would_make_it_run,
];

fn several(name: &str) -> Value {
    let one = |name| container(name, "busybox", &["sleep", "60"]);
    pod(name, &[one("i0"), one("i1")], &[one("a"), one("b"), one("c")])
}

async fn every_caller_gets_a_list_in_its_order() {
    let door = Door::open().await;
    for dialect in Dialect::all() {
        let mut kubelet = door.kubelet_of(dialect);
        for n in 0..5 {
            kubelet.create(&plain(&format!("plain-{n}"))).await.unwrap();
        }
        kubelet.ask_all().await; // WIRE 1.4: the client compares order and length
        kubelet.sweep().await; // WIRE 1.2: one by one as well
    }
    // Also backwards, and one pod twice, and one that nobody knows in the middle.
    let mut kubelet = door.kubelet();
    let [a, b, unknown] = ["a", "b", "unknown"].map(plain);
    kubelet.create(&a).await.unwrap();
    kubelet.create(&b).await.unwrap();
    let asked = [b.clone(), unknown.clone(), a, b];
    let answer = door.transport().send(&Dialect::NEWEST.status(&asked)).await.unwrap();
    let answers = wire::pod_statuses(answer.success().unwrap()).unwrap();
    let uids: Vec<&str> = answers.iter().map(|answer| answer.uid.as_str()).collect();
    assert_eq!(uids, asked.iter().map(pods::uid_of).collect::<Vec<_>>());
}

async fn finished_pods_are_answered_for_as_well() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet_of(Dialect { version: Version::V04, ..Dialect::NEWEST });
    let done = kubelet.create(&plain("done")).await.unwrap().pod_uid;
    door.until_queued(&done).await;
    door.scripted.run_jobs(0);
    kubelet.until_phase(&done, "Succeeded").await;
    let waits = kubelet.create(&plain("waits")).await.unwrap().pod_uid;
    door.until_queued(&waits).await;
    kubelet.ask_all().await; // WIRE 0, 10.14: 0.4 asks for all, finished ones included
    assert_eq!(kubelet.held(&done).copy.phase, "Succeeded");
    assert!(!kubelet.held(&waits).copy.is_over());
}

async fn status_answers_while_no_tool_of_htcondor_does() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    for n in 0..10 {
        kubelet.create(&plain(&format!("plain-{n}"))).await.unwrap();
    }
    door.scripted.plan(Planned::everywhere(Fault::Hang));
    let sweeps = async {
        for _ in 0..3 {
            kubelet.sweep().await;
        }
    };
    // WIRE 10.5: from memory.
    tokio::time::timeout(Duration::from_secs(30), sweeps).await.expect("answers from memory");
    door.scripted.heal();
}

async fn no_tool_is_started_for_a_question() {
    // So slow that it looks by itself only at the start.
    let mut door = Door::closed(&[]).set("HTC_POLL_SECONDS", "600");
    door.start().await;
    let mut kubelet = door.kubelet();
    let mut uids = Vec::new();
    for n in 0..20 {
        uids.push(kubelet.create(&plain(&format!("asked-{n}"))).await.unwrap().pod_uid);
    }
    for uid in &uids {
        door.until_queued(uid).await;
    }
    let calls = || door.scripted.state().calls.len();
    let mut before = calls();
    loop {
        for _ in 0..10 {
            kubelet.sweep().await; // one by one
            kubelet.ask_all().await;
        }
        let after = calls();
        // What the submissions still had to do may fall into the first two hundred, never into all.
        if after == before {
            break;
        }
        assert!(after - before < 20, "{} calls for 210 questions", after - before);
        before = after;
    }
}

async fn every_container_is_listed_at_every_moment() {
    let mut door = Door::open().await;
    let mut kubelet = door.kubelet();
    let pod = several("several");
    let uid = kubelet.hold(&pod);
    // The client compares names, count and order in each answer.
    kubelet.ask(&uid).await; // before it is brought
    kubelet.bring(&uid).await.unwrap();
    kubelet.ask(&uid).await; // before it is submitted
    door.until_queued(&uid).await;
    kubelet.ask(&uid).await;
    door.run_jobs();
    for _ in 0..20 {
        kubelet.ask(&uid).await;
    }
    door.kill().await;
    door.start().await;
    kubelet.ask(&uid).await; // first of a new life
    door.scripted.finish_jobs(Ending::code(3));
    kubelet.until_phase(&uid, "Failed").await;
    kubelet.ask(&uid).await;
    let pod = kubelet.as_sent(&uid);
    door.transport().send(&Dialect::NEWEST.delete(&pod)).await.unwrap().success().unwrap();
    kubelet.ask(&uid).await; // after its delete
}

async fn init_containers_wait_in_the_first_answer() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let mut uids = Vec::new();
    for name in ["good", "bad"] {
        let uid = kubelet.create(&several(name)).await.unwrap().pod_uid;
        let key = door.until_queued(&uid).await;
        door.run_jobs();
        door.scripted.finish(&key, Ending::code(i32::from(name == "bad")));
        uids.push(uid);
    }
    // All is over long before anybody asks.
    door.until("the outputs are fetched", || door.scripted.calls("condor_transfer_data").first().cloned())
        .await;
    door.looks(5).await;
    for (uid, phase) in uids.iter().zip(["Succeeded", "Failed"]) {
        // WIRE 3.4, 10.5: the client fails the test if init containers do not wait here.
        kubelet.ask(uid).await;
        assert_eq!(kubelet.held(uid).copy.phase, "Pending");
        kubelet.until_phase(uid, phase).await;
    }
}

async fn queue_words_are_on_the_init_containers() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&several("queued")).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    let reason = "no machine wants it: marker-4711";
    door.scripted.hold(&key, 34, 0, reason);
    // WIRE 3.4: what regular containers say meanwhile is lost.
    kubelet
        .until(&uid, "told on an init container", |copy| {
            copy.state("i0")
                .waiting
                .as_ref()
                .is_some_and(|w| w.message.iter().any(|m| m.contains("marker-4711")))
        })
        .await;
    assert_eq!(kubelet.held(&uid).copy.phase, "Pending");
}

async fn an_unknown_pod_waits_and_then_is_lost() {
    let mut door = Door::closed(&[]).set("HTC_INTERLINK_UNKNOWN_WAITS_SECONDS", "2");
    door.start().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.hold(&several("unknown"));
    kubelet.ask(&uid).await;
    assert_eq!(kubelet.held(&uid).copy.phase, "Pending"); // WIRE 4: /create may be on its way
    kubelet.until_phase(&uid, "Failed").await; // WIRE 4, 10.6: then terminated, non-zero, with a message
    let end = kubelet.held(&uid).copy.state("a").terminated.clone().unwrap();
    assert!(end.exit_code != 0 && end.message.is_some_and(|message| !message.is_empty()));
    // One that is brought while it waits is a pod like any other.
    let late = kubelet.hold(&plain("late"));
    kubelet.ask(&late).await;
    kubelet.bring(&late).await.unwrap();
    door.until_queued(&late).await;
    let lost = kubelet.hold(&plain("lost"));
    kubelet.until_phase(&lost, "Failed").await;
    kubelet.ask(&late).await;
    assert_eq!(kubelet.held(&late).copy.phase, "Pending");
    // With the time that is shipped it waits for minutes.
    let mut door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.hold(&plain("unknown"));
    for _ in 0..20 {
        kubelet.ask(&uid).await;
        assert_eq!(kubelet.held(&uid).copy.phase, "Pending");
    }
    door.assert_alive();
}

async fn containers_that_were_not_offered_wait_and_end_with_0() {
    let door = Door::open().await;
    let create = recordings::one("0.6.2", "hop1", "022-create-disable");
    let asked = recordings::one("0.6.2", "hop1", "034-status-disable-offload");
    let offered: BTreeSet<String> = pods::names(create.pods()[0], "containers").into_iter().collect();
    let all: BTreeSet<String> = pods::names(asked.pods()[0], "containers").into_iter().collect();
    assert!(offered.len() < all.len(), "the recording shows what it is for");

    door.transport().send(&create.request()).await.unwrap().success().unwrap();
    let mut kubelet = door.kubelet();
    let uid = kubelet.hold(asked.pods()[0]);
    door.until_queued(&uid).await;
    door.run_jobs();
    // WIRE 10.7: waiting while the pod lives, ended with 0 when it has.
    let runs = |name: &String| offered.contains(name);
    kubelet
        .until(&uid, "running", |copy| {
            all.iter().filter(|name| runs(name)).all(|name| copy.state(name).running.is_some())
        })
        .await;
    for name in all.iter().filter(|name| !runs(name)) {
        assert!(kubelet.held(&uid).copy.state(name).waiting.is_some(), "{name}");
    }
    door.scripted.finish_jobs(Ending::code(0));
    kubelet.until_phase(&uid, "Succeeded").await;
    for name in &all {
        assert_eq!(kubelet.held(&uid).copy.state(name).terminated.as_ref().unwrap().exit_code, 0, "{name}");
    }
}

async fn a_held_job_says_why() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("held")).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    door.scripted.hold(&key, 34, 0, "too much memory: marker-4712");
    // WIRE 4, held: all waiting, with reason and message.
    kubelet
        .until(&uid, "told as held", |copy| {
            copy.state("main")
                .waiting
                .as_ref()
                .is_some_and(|w| w.message.iter().any(|m| m.contains("marker-4712")))
        })
        .await;
    assert_eq!(kubelet.held(&uid).copy.phase, "Pending");
}

async fn a_queued_pod_stays_pending_where_waiting_would_make_it_run() {
    let mut door = Door::closed(&[]).set("HTC_INTERLINK_QUEUED_WITHOUT_STATE", "true");
    door.start().await;
    for version in [Version::V04, Version::V05, Version::V060] {
        let mut kubelet = door.kubelet_of(Dialect { version, ..Dialect::NEWEST });
        kubelet.stateless_waiting = true;
        let uid = kubelet.create(&plain("queued")).await.unwrap().pod_uid;
        let key = door.until_queued(&uid).await;
        for _ in 0..5 {
            kubelet.ask(&uid).await;
            // WIRE 0 (2): there *waiting* makes the phase Running; without any state it stays.
            assert_eq!(kubelet.held(&uid).copy.phase, "Pending", "{version:?}");
        }
        door.run_jobs();
        kubelet.until_phase(&uid, "Running").await;
        door.scripted.finish(&key, Ending::code(0));
        kubelet.until_phase(&uid, "Succeeded").await;
    }
}
