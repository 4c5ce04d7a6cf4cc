//! The life of a pod's job in a few moments, each with the status that follows from the one before.

use htc_core::workload::Workload;
use htc_core::workload::container::Container;
use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use htc_core::workload::report::{ContainerState, ContainerStatus, Phase, Report};
use htc_operator::pod::status::{Known, status};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

/// The job of the pods here.
pub const JOB: JobId = JobId { cluster: 12, proc: 0 };

/// The statuses, each with the name of its moment.
pub fn statuses(pod: &Pod, workload: &Workload) -> Vec<(String, Value)> {
    let mut pod = pod.clone();
    let mut told = Vec::new();
    for (n, (name, progress, report)) in life(workload).into_iter().enumerate() {
        let known = Known { progress: progress.as_ref(), report: report.as_ref(), waits: None, now: at(n) };
        let now = status(&pod, known);
        told.push((name.to_owned(), serde_json::to_value(&now).unwrap()));
        pod.status = Some(now);
    }
    told
}

/// Handed over, queued, all containers run, all have ended well.
fn life(workload: &Workload) -> Vec<(&'static str, Option<Progress>, Option<Report>)> {
    let running = Progress::Running { job: JOB, start: 1, since: at(2) };
    let end = End { outcome: Outcome::Succeeded, message: String::new(), at: at(3) };
    let up = || ContainerState::Running { started_at: at(2) };
    vec![
        ("submitting", Some(Progress::Submitting { job: None }), None),
        ("queued", Some(Progress::Queued { job: JOB }), None),
        ("running", Some(running), Some(report(workload, Phase::Running, ended_well(2), up()))),
        (
            "succeeded",
            Some(Progress::Ended { job: Some(JOB), end }),
            Some(report(workload, Phase::Done, ended_well(2), ended_well(3))),
        ),
    ]
}

/// A container that has ended well at moment n.
pub fn ended_well(n: usize) -> ContainerState {
    ContainerState::Terminated {
        exit_code: 0,
        signal: None,
        reason: "Completed".to_owned(),
        message: String::new(),
        started_at: Some(at(2)),
        finished_at: at(n),
    }
}

/// A report in which all init containers are in one state, and all containers in another.
pub fn report(
    workload: &Workload,
    phase: Phase,
    inits: ContainerState,
    containers: ContainerState,
) -> Report {
    let all = |list: &[Container], state: &ContainerState| {
        let status = |c: &Container| ContainerStatus { name: c.name.clone(), state: state.clone() };
        list.iter().map(status).collect()
    };
    Report {
        name: workload.name.clone(),
        namespace: "default".to_owned(),
        jobid: Some(JOB.to_string()),
        retcode: (phase == Phase::Done).then_some(0),
        key: "11111111-2222-3333-4444-555555555555/0/0/0".parse().unwrap(),
        start: 1,
        seq: 1,
        now: at(3),
        phase,
        cut: None,
        worker_fault: None,
        left_out: None,
        init_containers: all(&workload.init_containers, &inits),
        containers: all(&workload.containers, &containers),
    }
}

/// Moment n, by whatever clock.
pub fn at(n: usize) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + n as i64 * 10).unwrap()
}
