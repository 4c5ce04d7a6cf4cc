//! What a pod shows whose job reached a limit of the whole.

use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use htc_core::workload::report::{ContainerState, ContainerStatus, Cut, Phase, Report};
use htc_operator::pod::status::{Known, status};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};

/// The status of a pod of two containers: one took the request to end well, the other never started.
fn shown(cut: Cut, ended: bool) -> PodStatus {
    let container = |name: &str| Container { name: name.to_owned(), ..Container::default() };
    let spec = PodSpec { containers: vec![container("a"), container("b")], ..PodSpec::default() };
    let pod = Pod { spec: Some(spec), ..Pod::default() };
    let state = ContainerState::Terminated {
        exit_code: 0,
        signal: None,
        reason: cut.reason().to_owned(),
        message: String::new(),
        started_at: None,
        finished_at: Timestamp::UNIX_EPOCH,
    };
    let waiting = ContainerState::Waiting { reason: "PodInitializing".to_owned(), message: String::new() };
    let told = |name: &str, state| ContainerStatus { name: name.to_owned(), state };
    let end = End { outcome: Outcome::ExitCode(143), message: cut.to_string(), at: Timestamp::UNIX_EPOCH };
    let report = Report {
        name: String::new(),
        namespace: String::new(),
        jobid: None,
        retcode: ended.then_some(143),
        key: "u/0/0/0".parse().unwrap(),
        start: 1,
        seq: 1,
        now: Timestamp::UNIX_EPOCH,
        phase: if ended { Phase::Done } else { Phase::Running },
        cut: Some(cut),
        left_out: None,
        worker_fault: None,
        init_containers: vec![],
        containers: vec![told("a", state), told("b", waiting)],
    };
    let job = JobId { cluster: 1, proc: 0 };
    let progress = match ended {
        true => Progress::Ended { job: Some(job), end },
        false => Progress::Running { job, start: 1, since: Timestamp::UNIX_EPOCH },
    };
    let now = Timestamp::UNIX_EPOCH;
    status(&pod, Known { progress: Some(&progress), report: Some(&report), waits: None, now })
}

fn reasons(status: &PodStatus) -> Vec<String> {
    let ended = status.container_statuses.iter().flatten();
    let ended = ended.filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.reason.clone());
    ended.collect()
}

#[test]
fn a_pod_past_its_deadline_says_so_in_the_words_of_a_kubelet() {
    let status = shown(Cut::Deadline { seconds: 5 }, true);
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    let sentence = "Pod was active on the node longer than the specified deadline";
    assert_eq!(status.message.as_deref(), Some(sentence));
    assert_eq!(reasons(&status), ["DeadlineExceeded", "DeadlineExceeded"]);
}

#[test]
fn a_pod_whose_volume_held_too_much_is_evicted_and_names_it() {
    let status = shown(Cut::Volume { name: "data".to_owned(), bytes: 20, limit: 10 }, true);
    assert_eq!(status.reason.as_deref(), Some("Evicted"));
    assert_eq!(status.message.as_deref(), Some("volume data holds 20 bytes, more than its limit of 10"));
}

#[test]
fn the_reason_of_a_pod_is_not_told_before_its_job_has_ended() {
    let status = shown(Cut::Deadline { seconds: 5 }, false);
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Running"), None));
    assert_eq!(reasons(&status), ["DeadlineExceeded"]);
}
