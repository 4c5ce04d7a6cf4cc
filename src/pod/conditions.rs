//! The conditions of a pod.
//!
//! <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-conditions>

use htc_core::workload::progress::{End, Outcome};
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The conditions of a pod, after those that it has.
pub(super) fn conditions(
    phase: &str,
    end: Option<&End>,
    inits: &[k8s::ContainerStatus],
    statuses: &[k8s::ContainerStatus],
    old: &k8s::PodStatus,
    now: Timestamp,
) -> Vec<k8s::PodCondition> {
    let initialized = inits.iter().all(|status| status.ready);
    let ready = phase == "Running" && statuses.iter().all(|status| status.ready);
    let done = (phase == "Succeeded").then_some("PodCompleted");
    let failed = (phase == "Failed").then_some("PodFailed");
    let unready = done.or(failed).unwrap_or("ContainersNotReady");
    let drafts = [
        ("PodScheduled", true, None),
        ("Initialized", initialized, (!initialized).then_some("ContainersNotInitialized")),
        ("ContainersReady", ready, (!ready).then_some(unready)),
        ("Ready", ready, (!ready).then_some(unready)),
    ];
    let own = drafts.map(|(kind, holds, reason)| condition(kind, holds, reason, old, now));
    // Conditions of others, such as readiness gates, are not ours to take away.
    let others = old.conditions.iter().flatten().filter(|c| own.iter().all(|o| o.type_ != c.type_)).cloned();
    let disruption = end
        .and_then(|end| disruption(end.outcome))
        .map(|reason| condition("DisruptionTarget", true, Some(reason), old, now))
        .filter(|_| old.conditions.iter().flatten().all(|c| c.type_ != "DisruptionTarget"));
    own.iter().cloned().chain(others).chain(disruption).collect()
}

/// Why a pod ended for which it can do nothing, so that its controller may make another at no cost: its
/// pool took it away. What a pod did itself, such as using too much memory, would only happen again.
/// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>
fn disruption(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Removed => Some("DeletionByHTCondor"),
        // What a kubelet says of pods that its machine cannot keep.
        Outcome::Evicted => Some("TerminationByKubelet"),
        Outcome::Succeeded
        | Outcome::ExitCode(_)
        | Outcome::Signal(_)
        | Outcome::CannotRun
        | Outcome::OnHold
        | Outcome::OutOfMemory
        | Outcome::SubmitRefused
        | Outcome::LostTrack => None,
    }
}

/// Keeps the time of a condition that has not changed its mind.
fn condition(
    kind: &str,
    holds: bool,
    reason: Option<&str>,
    old: &k8s::PodStatus,
    now: Timestamp,
) -> k8s::PodCondition {
    let status = if holds { "True" } else { "False" };
    let same = old.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == status);
    k8s::PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.map(str::to_owned),
        last_transition_time: same.and_then(|c| c.last_transition_time.clone()).or(Some(Time(now))),
        ..k8s::PodCondition::default()
    }
}
