//! What a pod shows whose job did not end by itself.

use htc_core::workload::progress::{End, Outcome, Progress};
use htc_core::workload::report::{ContainerState, Phase};
use htc_operator::pod::delivered::Delivered;
use htc_operator::pod::status::{Known, status};
use htc_operator::pod::{Settings, translate};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use rstest::rstest;
use serde_json::json;

use crate::moments::{JOB, at, ended_well, report};

/// The status of a running pod whose job then ends like this, before and after; in between the job
/// said, or did not, that its container was asked to stop and took it.
fn shown(outcome: Outcome, told: bool) -> (PodStatus, PodStatus) {
    let container = json!({"name": "main", "image": "host", "command": ["true"]});
    let spec = json!({"restartPolicy": "Never", "containers": [container.clone()], "initContainers": [
        {"name": "first", "image": "host", "command": ["true"]}
    ]});
    let mut pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
    let workload = translate(&pod, &Delivered::default(), &Settings::default()).unwrap().workload;
    let up = ContainerState::Running { started_at: at(2) };
    let running = Progress::Running { job: JOB, start: 1, since: at(1) };
    let said = report(&workload, Phase::Running, ended_well(2), up);
    let known = Known { progress: Some(&running), report: Some(&said), waits: None, now: at(2) };
    let before = status(&pod, known);
    let end = End { outcome, message: "what happened".to_owned(), at: at(4) };
    let over = Progress::Ended { job: Some(JOB), end };
    let stopped = ContainerState::Terminated {
        exit_code: 143,
        signal: Some(15),
        reason: "Error".to_owned(),
        message: String::new(),
        started_at: Some(at(2)),
        finished_at: at(3),
    };
    let last = report(&workload, Phase::Stopping, ended_well(2), stopped);
    pod.status = Some(before.clone());
    let report = if told { &last } else { &said };
    let known = Known { progress: Some(&over), report: Some(report), waits: None, now: at(5) };
    (before, status(&pod, known))
}

/// Exit code, reason and message of its only container.
fn ended(status: &PodStatus) -> (i32, String, Option<String>) {
    let state = status.container_statuses.as_ref().unwrap()[0].state.clone().unwrap();
    let ended = state.terminated.expect("it has ended");
    assert_eq!(ended.started_at.map(|time| time.0), Some(at(2)), "times that were told stay");
    (ended.exit_code, ended.reason.unwrap(), ended.message)
}

fn disruption(status: &PodStatus) -> Option<String> {
    let target = status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget")?;
    assert_eq!((target.status.as_str(), &target.last_transition_time.as_ref().unwrap().0), ("True", &at(5)));
    target.reason.clone()
}

#[rstest]
#[case::evicted(Outcome::Evicted, "Evicted", 255, Some("TerminationByKubelet"))]
#[case::removed(Outcome::Removed, "Removed", 255, Some("DeletionByHTCondor"))]
#[case::on_hold(Outcome::OnHold, "JobHeld", 255, None)]
#[case::memory(Outcome::OutOfMemory, "OOMKilled", 137, None)]
#[case::lost(Outcome::LostTrack, "LostTrack", 255, None)]
fn a_pod_that_was_taken_away_has_failed_and_says_why(
    #[case] outcome: Outcome,
    #[case] reason: &str,
    #[case] code: i32,
    #[case] target: Option<&str>,
) {
    let (before, after) = shown(outcome, false);
    assert_eq!((before.phase.as_deref(), disruption(&before)), (Some("Running"), None));
    assert_eq!(after.phase.as_deref(), Some("Failed"));
    assert_eq!((after.reason.as_deref(), after.message.as_deref()), (Some(reason), Some("what happened")));
    assert_eq!(ended(&after), (code, reason.to_owned(), Some("what happened".to_owned())));
    assert_eq!(disruption(&after).as_deref(), target);
}

#[test]
fn an_end_that_a_caller_hands_back_in_other_words_is_told_in_our_own() {
    let mut pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "host", "command": ["true"]}]},
    }))
    .unwrap();
    let workload = translate(&pod, &Delivered::default(), &Settings::default()).unwrap().workload;
    let running = Progress::Running { job: JOB, start: 1, since: at(1) };
    let said = report(&workload, Phase::Running, ended_well(2), ended_well(3));
    let known = Known { progress: Some(&running), report: Some(&said), waits: None, now: at(3) };
    let told = status(&pod, known);
    let reworded = |code: i32| {
        let mut theirs = told.clone();
        let state = theirs.container_statuses.as_mut().unwrap()[0].state.as_mut().unwrap();
        let end = state.terminated.as_mut().unwrap();
        (end.exit_code, end.reason) = (code, Some("Error: 0".to_owned()));
        theirs
    };
    pod.status = Some(reworded(0));
    assert_eq!(status(&pod, known).container_statuses, told.container_statuses);
    // Another end than the job tells of is none of ours to change.
    pod.status = Some(reworded(9));
    assert_eq!(status(&pod, known).container_statuses, reworded(9).container_statuses);
}

#[test]
fn a_container_that_told_how_it_took_the_request_to_stop_keeps_its_own_end() {
    let (_, after) = shown(Outcome::Evicted, true);
    assert_eq!(ended(&after), (143, "Error".to_owned(), None));
    assert_eq!((after.phase.as_deref(), after.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    assert_eq!(disruption(&after).as_deref(), Some("TerminationByKubelet"));
}
