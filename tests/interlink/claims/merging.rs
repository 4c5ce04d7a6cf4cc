//! The client itself: it is led astray by the answers that lead the released ones astray. Without these
//! the other tests would prove little.

use k8s_openapi::api::core::v1::ContainerStatus;
use serde_json::{Value, json};

use crate::client::dialect::Version;
use crate::client::merge::{Copy, Trouble};
use crate::client::wire::{self, PodStatus};
use crate::client::{pods, recordings};

super::claims![
    an_empty_list_is_a_success_that_never_was,
    a_container_left_out_while_another_failed_is_a_panic,
    an_end_taken_back_freezes_the_pod,
    what_is_no_answer_changes_nothing,
    who_waits_makes_the_pod_run_before_0_6_1,
    without_a_state_the_pod_stays_pending_everywhere,
    the_end_of_the_second_init_slips_into_the_first,
    a_first_answer_of_all_waiting_comes_right,
    init_containers_hide_what_regular_ones_say,
    a_failed_init_ends_the_pod_only_with_all_ended,
    lists_and_objects_are_not_confused,
    every_version_and_hop_has_recordings,
];

fn statuses(states: &[(&str, Value)]) -> Option<Vec<ContainerStatus>> {
    let one = |(name, state): &(&str, Value)| json!({ "name": name, "state": state, "image": "busybox" });
    Some(states.iter().map(|status| serde_json::from_value(one(status)).unwrap()).collect())
}

fn ended(code: i32) -> Value {
    json!({ "terminated": { "exitCode": code, "message": "words" } })
}

fn runs() -> Value {
    json!({ "running": { "startedAt": "2026-11-21T01:50:23Z" } })
}

fn waits() -> Value {
    json!({ "waiting": { "reason": "Queued" } })
}

/// A pod with `inits` init containers `i0`, … and the containers `a` and `b`, brought but never asked for.
fn submitted(inits: usize, version: Version) -> Copy {
    let container = |name: &str| pods::container(name, "busybox", &[]);
    let inits: Vec<Value> = (0..inits).map(|n| container(&format!("i{n}"))).collect();
    Copy::submitted(&pods::pod("a", &inits, &[container("a"), container("b")]), version)
}

type States<'a> = &'a [(&'a str, Value)];

fn answer(copy: &Copy, inits: States, containers: States) -> Vec<PodStatus> {
    vec![PodStatus {
        name: "a".to_owned(),
        uid: copy.uid.clone(),
        namespace: "default".to_owned(),
        jid: "1.0".to_owned(),
        containers: statuses(containers),
        init_containers: statuses(inits),
    }]
}

fn apply(copy: &mut Copy, inits: States, containers: States) -> Result<(), Trouble> {
    let answer = answer(copy, inits, containers);
    copy.apply(Version::V062, &answer)
}

async fn an_empty_list_is_a_success_that_never_was() {
    let mut copy = submitted(0, Version::V062);
    apply(&mut copy, &[], &[]).unwrap();
    assert_eq!(copy.phase, "Succeeded"); // WIRE 3.4: 0 == 0
    assert!(copy.state("a").waiting.is_some());
}

async fn a_container_left_out_while_another_failed_is_a_panic() {
    let mut copy = submitted(0, Version::V062);
    let trouble = apply(&mut copy, &[], &[("a", ended(3))]); // WIRE 3.4: nil pointer
    assert!(matches!(trouble, Err(Trouble::Panicked(_))), "{trouble:?}");
    apply(&mut copy, &[], &[("a", ended(0))]).unwrap(); // WIRE 3.4: and a success where it ended well
    assert_eq!(copy.phase, "Succeeded");
}

async fn an_end_taken_back_freezes_the_pod() {
    let mut copy = submitted(0, Version::V062);
    apply(&mut copy, &[], &[("a", ended(0)), ("b", runs())]).unwrap();
    let before = copy.clone();
    let trouble = apply(&mut copy, &[], &[("a", runs()), ("b", ended(0))]);
    assert!(matches!(trouble, Err(Trouble::Frozen(_))), "{trouble:?}"); // WIRE 3.4: never un-terminate
    assert_eq!(copy, before);
}

async fn what_is_no_answer_changes_nothing() {
    let mut copy = submitted(0, Version::V062);
    let before = copy.clone();
    let good = answer(&copy, &[], &[("a", runs()), ("b", runs())]);
    let other = PodStatus { uid: "another".to_owned(), ..good[0].clone() };
    let nameless = PodStatus { name: String::new(), ..good[0].clone() };
    for wasted in [vec![], vec![other.clone()], vec![nameless], vec![other, good[0].clone()]] {
        let trouble = copy.apply(Version::V062, &wasted); // WIRE 4
        assert!(matches!(trouble, Err(Trouble::Unchanged(_))), "{trouble:?}");
    }
    assert_eq!(copy, before);
}

async fn who_waits_makes_the_pod_run_before_0_6_1() {
    for (version, phase) in [(Version::V060, "Running"), (Version::V061, "Pending")] {
        let mut copy = submitted(0, version);
        let answer = answer(&copy, &[], &[("a", waits()), ("b", waits())]);
        copy.apply(version, &answer).unwrap();
        assert_eq!(copy.phase, phase, "{version:?}"); // WIRE 0, the table of callers
    }
}

async fn without_a_state_the_pod_stays_pending_everywhere() {
    for version in [Version::V04, Version::V05, Version::V060, Version::V062] {
        let mut copy = submitted(0, version);
        let answer = answer(&copy, &[], &[("a", json!({})), ("b", json!({}))]);
        copy.apply(version, &answer).unwrap();
        assert_eq!(copy.phase, "Pending", "{version:?}"); // WIRE 0 (2)
    }
}

async fn the_end_of_the_second_init_slips_into_the_first() {
    let mut copy = submitted(2, Version::V062);
    let failed = [("i0", ended(7)), ("i1", ended(1))];
    let regular = [("a", ended(7)), ("b", ended(7))];
    apply(&mut copy, &failed, &regular).unwrap();
    apply(&mut copy, &failed, &regular).unwrap();
    let code = |name| copy.state(name).terminated.as_ref().unwrap().exit_code;
    assert_eq!((code("i0"), code("i1")), (1, 1)); // WIRE 3.4: 7 became 1, for good
}

async fn a_first_answer_of_all_waiting_comes_right() {
    let mut copy = submitted(2, Version::V062);
    apply(&mut copy, &[("i0", waits()), ("i1", waits())], &[("a", waits()), ("b", waits())]).unwrap();
    apply(&mut copy, &[("i0", ended(7)), ("i1", ended(1))], &[("a", ended(7)), ("b", ended(7))]).unwrap();
    let code = |name| copy.state(name).terminated.as_ref().unwrap().exit_code;
    assert_eq!((code("i0"), code("i1"), copy.phase.as_str()), (7, 1, "Failed"));
}

async fn init_containers_hide_what_regular_ones_say() {
    let mut copy = submitted(1, Version::V062);
    let reason = |copy: &Copy| copy.state("a").waiting.clone().unwrap().reason.unwrap();
    apply(&mut copy, &[("i0", waits())], &[("a", waits()), ("b", waits())]).unwrap();
    assert_eq!(reason(&copy), "PodInitializing"); // WIRE 3.4: the queue's words are lost here
    apply(&mut copy, &[("i0", runs())], &[("a", runs()), ("b", runs())]).unwrap();
    assert_eq!((reason(&copy).as_str(), copy.phase.as_str()), ("Init:0/1", "Pending"));
}

async fn a_failed_init_ends_the_pod_only_with_all_ended() {
    let mut copy = submitted(2, Version::V062);
    apply(&mut copy, &[("i0", waits()), ("i1", waits())], &[("a", waits()), ("b", waits())]).unwrap();
    apply(&mut copy, &[("i0", ended(7)), ("i1", waits())], &[("a", ended(7)), ("b", ended(7))]).unwrap();
    assert_eq!(copy.phase, "Pending"); // WIRE 4, failed in init: any left waiting is Pending for ever
    apply(&mut copy, &[("i0", ended(7)), ("i1", ended(0))], &[("a", ended(7)), ("b", ended(7))]).unwrap();
    assert_eq!((copy.phase.as_str(), copy.reason.as_str()), ("Failed", "Error: 7"));
}

async fn lists_and_objects_are_not_confused() {
    assert!(wire::create_struct(br#"{"PodUID":"a","PodJID":"b","more":1}"#).is_ok()); // WIRE 3.3
    assert!(wire::create_struct(br#"[{"PodUID":"a","PodJID":"b"}]"#).is_err()); // WIRE 1.4
    assert!(wire::create_struct(b"").is_err() && wire::create_struct(b"OK").is_err()); // WIRE 3.3
    assert!(wire::pod_statuses(br#"{"name":"a"}"#).is_err() && wire::pod_statuses(b"null").is_err()); // WIRE 4
    let status =
        r#"[{"name":"a","UID":"b","containers":[{"name":"m","state":{"running":{"startedAt":"T"}}}]}]"#;
    assert!(wire::pod_statuses(&status.replace('T', "2026-11-21T01:50:23Z").into_bytes()).is_ok());
    assert!(wire::pod_statuses(&status.replace('T', "yesterday").into_bytes()).is_err()); // WIRE 3.4
    assert!(wire::ping_response(br#"{"resources":{"cpu":"8"}}"#).is_ok());
    assert!(wire::ping_response(br#"{"resources":{"cpu":8}}"#).is_err()); // WIRE 2: numbers void it all
}

async fn every_version_and_hop_has_recordings() {
    let all = recordings::VERSIONS.iter().flat_map(|v| ["hop1", "hop2"].map(|hop| recordings::all(v, hop)));
    assert_eq!(all.flatten().count(), 255);
}
