//! What is known of a pod's job → PodStatus. Containers that have ended stay ended, and times that were
//! told never move: the API server refuses the one, and controllers are confused by the other.

use htc_core::workload::progress::{End, Outcome, Progress};
use htc_core::workload::report::{self, Cut, Report};
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::conditions::conditions;

/// What a pod's status is made from.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// What we believe of its job; none before it was handed to HTCondor.
    pub progress: Option<&'a Progress>,
    /// What the job last said of itself.
    pub report: Option<&'a Report>,
    /// Why it waits, a word and a sentence, where somebody knows better than we do here.
    pub waits: Option<(&'a str, &'a str)>,
    /// The time to put on what is new.
    pub now: Timestamp,
}

impl<'a> Known<'a> {
    /// What a job says of a worker that could start nothing of it is no end: it may go to another.
    fn without_workers_fault(self) -> Known<'a> {
        let has_ended = self.progress.and_then(Progress::end).is_some();
        Known { report: self.report.filter(|report| has_ended || report.worker_fault.is_none()), ..self }
    }
}

/// A container as its status needs it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its image, as the pod has it.
    pub image: &'a str,
    /// The state that it was told to be in.
    pub old: Option<&'a k8s::ContainerState>,
    /// Whether the job runs it. One that is run elsewhere waits as long as the job is alive, and has
    /// then ended well.
    pub here: bool,
}

/// The statuses of the containers of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statuses {
    /// Of the init containers.
    pub init: Vec<k8s::ContainerStatus>,
    /// Of the containers.
    pub main: Vec<k8s::ContainerStatus>,
}

/// The exit code of a container that never told how it ended: not one of those that programs use.
const UNKNOWN: i32 = 255;

/// In the words of a kubelet.
const PAST_DEADLINE: &str = "Pod was active on the node longer than the specified deadline";

/// The status of a pod, after the one that it has.
pub fn status(pod: &k8s::Pod, known: Known<'_>) -> k8s::PodStatus {
    let known = known.without_workers_fault();
    let old = pod.status.clone().unwrap_or_default();
    let end = known.progress.and_then(Progress::end);
    let (inits, containers) = containers_of(pod);
    let init_subjects = subjects(inits, &old.init_container_statuses);
    let main_subjects = subjects(containers, &old.container_statuses);
    let Statuses { init: init_statuses, main: statuses } = statuses(&init_subjects, &main_subjects, known);
    let phase = phase(end, &statuses);
    let whole = end.and_then(|end| of_the_whole(end, cut(known)));
    let start_time = old.start_time.clone().or_else(|| known.progress.map(|_| Time(known.now)));
    k8s::PodStatus {
        conditions: Some(conditions(phase, end, &init_statuses, &statuses, &old, known.now)),
        phase: Some(phase.to_owned()),
        reason: whole.as_ref().map(|(reason, _)| (*reason).to_owned()),
        message: whole.map(|(_, message)| message),
        start_time,
        init_container_statuses: (!inits.is_empty()).then_some(init_statuses),
        container_statuses: Some(statuses),
        host_ip: old.host_ip,
        host_ips: old.host_ips,
        pod_ip: old.pod_ip,
        pod_ips: old.pod_ips,
        qos_class: old.qos_class,
        ..k8s::PodStatus::default()
    }
}

/// The statuses of the containers of a pod alone, in their order.
pub fn statuses(inits: &[Subject<'_>], mains: &[Subject<'_>], known: Known<'_>) -> Statuses {
    let known = known.without_workers_fault();
    let end = known.progress.and_then(Progress::end);
    let told = Told { known, end, cut: cut(known), broken: known.report.and_then(broken_init) };
    Statuses {
        init: told.statuses(inits, known.report.map(|r| &r.init_containers), Stage::Init),
        main: told.statuses(mains, known.report.map(|r| &r.containers), Stage::Main),
    }
}

/// The limit of the whole job that was its end.
fn cut<'a>(known: Known<'a>) -> Option<&'a Cut> {
    known.progress.and_then(Progress::end).and(known.report).and_then(|report| report.cut.as_ref())
}

fn containers_of(pod: &k8s::Pod) -> (&[k8s::Container], &[k8s::Container]) {
    let Some(spec) = &pod.spec else { return (&[], &[]) };
    (spec.init_containers.as_deref().unwrap_or_default(), &spec.containers)
}

fn subjects<'a>(
    containers: &'a [k8s::Container],
    old: &'a Option<Vec<k8s::ContainerStatus>>,
) -> Vec<Subject<'a>> {
    let subject = |container: &'a k8s::Container| {
        let old = old.iter().flatten().find(|status| status.name == container.name);
        Subject {
            name: &container.name,
            image: container.image.as_deref().unwrap_or_default(),
            old: old.and_then(|status| status.state.as_ref()),
            here: true,
        }
    };
    containers.iter().map(subject).collect()
}

/// Why the pod as a whole ended, and not only its containers: a word, and a sentence.
fn of_the_whole(end: &End, cut: Option<&Cut>) -> Option<(&'static str, String)> {
    match (end.outcome, cut) {
        (
            Outcome::Removed
            | Outcome::Evicted
            | Outcome::OnHold
            | Outcome::OutOfMemory
            | Outcome::SubmitRefused
            | Outcome::LostTrack
            | Outcome::Signal(_),
            _,
        ) => Some((end.outcome.reason(), end.message.clone())),
        (_, Some(cut @ Cut::Deadline { .. })) => Some((cut.reason(), PAST_DEADLINE.to_owned())),
        (_, Some(cut)) => Some((cut.reason(), cut.to_string())),
        (_, None) => None,
    }
}

/// The init container that failed, and its code: nothing was started after it.
fn broken_init(report: &Report) -> Option<(&str, i32)> {
    report.init_containers.iter().find_map(|status| match &status.state {
        report::ContainerState::Terminated { exit_code, .. } if *exit_code != 0 => {
            Some((status.name.as_str(), *exit_code))
        }
        _ => None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Init,
    Main,
}

/// What is told of every container.
struct Told<'a> {
    known: Known<'a>,
    end: Option<&'a End>,
    cut: Option<&'a Cut>,
    broken: Option<(&'a str, i32)>,
}

impl Told<'_> {
    fn statuses(
        &self,
        subjects: &[Subject<'_>],
        reported: Option<&Vec<report::ContainerStatus>>,
        stage: Stage,
    ) -> Vec<k8s::ContainerStatus> {
        let status = |subject: &Subject<'_>| {
            let reported = reported.into_iter().flatten().find(|status| status.name == subject.name);
            self.status(subject, reported, stage)
        };
        subjects.iter().map(status).collect()
    }

    fn status(
        &self,
        subject: &Subject<'_>,
        reported: Option<&report::ContainerStatus>,
        stage: Stage,
    ) -> k8s::ContainerStatus {
        let Subject { name, image, old, here } = *subject;
        let state =
            if here { self.state(reported.map(|status| &status.state)) } else { self.elsewhere(stage) };
        let state = match old {
            Some(ended) if ended.terminated.is_some() && !is_same_end(ended, &state) => ended.clone(),
            _ => steady(state, old),
        };
        let running = state.running.is_some();
        let succeeded = state.terminated.as_ref().is_some_and(|ended| ended.exit_code == 0);
        let job = self.known.progress.and_then(Progress::job);
        k8s::ContainerStatus {
            name: name.to_owned(),
            image: image.to_owned(),
            container_id: job
                .filter(|_| state.waiting.is_none())
                .map(|job| format!("htcondor://{job}/{name}")),
            ready: match stage {
                Stage::Init => succeeded,
                Stage::Main => running,
            },
            started: Some(running),
            restart_count: 0,
            state: Some(state),
            last_state: Some(k8s::ContainerState::default()),
            ..k8s::ContainerStatus::default()
        }
    }

    fn state(&self, reported: Option<&report::ContainerState>) -> k8s::ContainerState {
        // What last ran there does not run now.
        let stopped = matches!(self.known.progress, Some(Progress::Held { .. } | Progress::Suspended { .. }));
        match (reported, self.end) {
            (Some(ended @ report::ContainerState::Terminated { .. }), _) => translated(ended),
            (Some(living), None) if !stopped => translated(living),
            (_, Some(end)) => self.ended_with_the_job(reported, end),
            (_, None) => self.waiting(),
        }
    }

    /// A container that somebody else runs. An init container is done when those behind it have begun,
    /// or it would seem to hold them up.
    fn elsewhere(&self, stage: Stage) -> k8s::ContainerState {
        let is_up = |status: &report::ContainerStatus| {
            !matches!(status.state, report::ContainerState::Waiting { .. })
        };
        let begun = self.known.report.is_some_and(|report| report.containers.iter().any(is_up));
        match self.end {
            None if stage == Stage::Main || !begun => waiting("RunsElsewhere", "is not a part of this job"),
            end => k8s::ContainerState {
                terminated: Some(k8s::ContainerStateTerminated {
                    exit_code: 0,
                    reason: Some(Outcome::Succeeded.reason().to_owned()),
                    finished_at: Some(Time(end.map_or(self.known.now, |end| end.at))),
                    ..k8s::ContainerStateTerminated::default()
                }),
                ..k8s::ContainerState::default()
            },
        }
    }

    /// The job is over and this container never said that it had ended.
    fn ended_with_the_job(
        &self,
        reported: Option<&report::ContainerState>,
        end: &End,
    ) -> k8s::ContainerState {
        let started_at = match reported {
            Some(report::ContainerState::Running { started_at }) => Some(Time(*started_at)),
            _ => None,
        };
        // A container that is left waiting would keep the pod pending for ever; and callers take the
        // pod's own exit code from its regular containers.
        let (exit_code, reason, message) = match self.broken {
            Some((name, code)) => (code, "Error", format!("not started: init container {name} failed")),
            None => {
                let code = end.outcome.exit_code().unwrap_or(UNKNOWN);
                let reason = self.cut.map_or(end.outcome.reason(), Cut::reason);
                (code, reason, end.message.clone())
            }
        };
        k8s::ContainerState {
            terminated: Some(k8s::ContainerStateTerminated {
                exit_code,
                reason: Some(reason.to_owned()),
                message: (!message.is_empty()).then_some(message),
                started_at,
                finished_at: Some(Time(end.at)),
                ..k8s::ContainerStateTerminated::default()
            }),
            ..k8s::ContainerState::default()
        }
    }

    /// No report tells of this container: the job waits for something.
    fn waiting(&self) -> k8s::ContainerState {
        let own: (&str, String) = match self.known.progress {
            None => ("Submitting", "waits to be handed to HTCondor".to_owned()),
            Some(Progress::Submitting { .. }) => ("Submitting", "is being handed to HTCondor".to_owned()),
            Some(Progress::Queued { job }) => ("Queued", format!("waits in HTCondor's queue as job {job}")),
            Some(Progress::Running { job, .. }) => {
                ("ContainerCreating", format!("HTCondor runs job {job}; it has not reported yet"))
            }
            Some(Progress::Held { job, reason, .. }) => {
                ("JobHeld", format!("job {job} is on hold: {reason}"))
            }
            Some(Progress::Suspended { job, .. }) => {
                ("JobSuspended", format!("job {job} is suspended by the pool"))
            }
            Some(Progress::Ended { .. }) => ("Ended", String::new()),
        };
        let (reason, message) =
            self.known.waits.map_or(own, |(reason, message)| (reason, message.to_owned()));
        waiting(reason, &message)
    }
}

/// Whether two states tell of one end. Callers put words of their own in its reason, which are theirs.
fn is_same_end(one: &k8s::ContainerState, other: &k8s::ContainerState) -> bool {
    let end = |state: &k8s::ContainerState| {
        let ended = state.terminated.as_ref()?;
        Some((ended.exit_code, ended.finished_at.as_ref().map(|at| at.0.as_second())))
    };
    end(one) == end(other)
}

/// A start that was told keeps its time, whatever clock tells of it next.
fn steady(mut state: k8s::ContainerState, old: Option<&k8s::ContainerState>) -> k8s::ContainerState {
    let before = old.and_then(|old| old.running.as_ref()).and_then(|running| running.started_at.clone());
    if let Some(before) = before {
        if let Some(running) = &mut state.running {
            running.started_at = Some(before.clone());
        }
        if let Some(ended) = &mut state.terminated {
            ended.started_at = Some(before);
        }
    }
    state
}

fn translated(state: &report::ContainerState) -> k8s::ContainerState {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    match state {
        report::ContainerState::Waiting { reason, message } => waiting(reason, message),
        report::ContainerState::Running { started_at } => k8s::ContainerState {
            running: Some(k8s::ContainerStateRunning { started_at: Some(Time(*started_at)) }),
            ..k8s::ContainerState::default()
        },
        report::ContainerState::Terminated {
            exit_code,
            signal,
            reason,
            message,
            started_at,
            finished_at,
        } => k8s::ContainerState {
            terminated: Some(k8s::ContainerStateTerminated {
                exit_code: exit_code & 0xff,
                signal: *signal,
                reason: text(reason),
                message: text(message),
                started_at: started_at.map(Time),
                finished_at: Some(Time(*finished_at)),
                ..k8s::ContainerStateTerminated::default()
            }),
            ..k8s::ContainerState::default()
        },
    }
}

fn waiting(reason: &str, message: &str) -> k8s::ContainerState {
    k8s::ContainerState {
        waiting: Some(k8s::ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
        }),
        ..k8s::ContainerState::default()
    }
}

/// The phase: the job's end decides, not the containers' own; a job that was asked to go may still be
/// started again.
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-phase>
fn phase(end: Option<&End>, statuses: &[k8s::ContainerStatus]) -> &'static str {
    match end {
        Some(end) if end.outcome.succeeded() => "Succeeded",
        Some(_) => "Failed",
        None if statuses.iter().any(has_started) => "Running",
        None => "Pending",
    }
}

fn has_started(status: &k8s::ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}
