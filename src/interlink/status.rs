//! `/status`: what is known of each pod of the request, in its order, from the board alone.
//!
//! Three habits of virtual kubelets decide what is told. They take a pod whose list lacks a container
//! for ended, so every container is always there. On the first answer that names a pod's init containers
//! they write the state of the second into the first, for good where it has ended; so the first answer
//! has all of them waiting. And they ask for a pod before they have brought it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use htc_core::workload::Workload;
use htc_core::workload::container::{Container, Image};
use htc_core::workload::names::Uid;
use htc_core::workload::progress::{End, Outcome, Progress};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus};

use super::bodies::Call;
use super::owner::NOT_YOURS;
use super::words::{Asked, AskedContainer, AskedContainerStatus, PodStatus};
use super::{DOOR, Door, jid, panicked, ping};
use crate::engine::{JobView, Tracking, View, Want};
use crate::http::callers::Caller;
use crate::http::error::HttpError;
use crate::limits::BARE_ANSWERS;
use crate::pod::status::{Known, Statuses, Subject, statuses};

pub(super) async fn status(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, HttpError> {
    let headers = request.headers().clone();
    let Call { items: pods, share, is_large } = door.asked.read::<Asked>(request).await?;
    if pods.is_empty() {
        return Ok(ping::answer(&door, &headers));
    }
    if pods.iter().all(|pod| pod.metadata.uid.is_empty()) {
        return Err(HttpError::BadRequest("the question names no pod by its UID".to_owned()));
    }
    door.count("status");
    door.heard.call(Instant::now());
    if !is_large {
        return Ok(of_pods(&door, &caller, &pods));
    }
    // The share is kept until it is answered also where the caller leaves.
    let answer = tokio::task::spawn_blocking(move || {
        let _share = share;
        of_pods(&door, &caller, &pods)
    });
    answer.await.map_err(|why| panicked("answering a question", &why))
}

fn of_pods(door: &Door, caller: &Caller, pods: &[Asked]) -> Response {
    let (now, mut told) = (Instant::now(), Vec::new());
    let answers: Vec<PodStatus> = pods.iter().map(|pod| of_pod(door, caller, pod, now, &mut told)).collect();
    door.tell(told);
    Json(answers).into_response()
}

/// The status of one pod; a pod whose end it tells is added to `told`.
fn of_pod(door: &Door, caller: &Caller, pod: &Asked, now: Instant, told: &mut Vec<Uid>) -> PodStatus {
    let uid: Option<Uid> = pod.metadata.uid.parse().ok();
    let view = uid.as_ref().and_then(|uid| door.engine.view(uid)).filter(|view| view.door == DOOR);
    if let (Some(view), Some(uid)) = (&view, &uid)
        && !door.has(caller, uid, view.owner.as_deref())
    {
        // Not lost: a caller whose name has changed by mistake must not lose what runs.
        let statuses = Subjects::of(pod, None).waiting("NotYours", NOT_YOURS);
        return answered(pod, jid(&pod.metadata.uid), statuses);
    }
    let subjects = Subjects::of(pod, view.as_ref().and_then(|view| view.workload.as_deref()));
    let question = uid.as_ref().map(|uid| match view {
        Some(_) => door.heard.question(uid, subjects.bare, now),
        None => door.heard.question_unknown(caller, uid, subjects.bare, now),
    });
    let job = view.as_ref().and_then(|view| view.jobs.first());
    let progress = job.map(|job| &job.progress);
    let statuses = match (&view, question) {
        (Some(view), _) if view.want != Want::Run => {
            subjects.ended(Outcome::Removed, "the pod has been deleted here".to_owned())
        }
        (Some(view), question) => {
            let statuses = subjects.told(live(view, job));
            let early = subjects.bare && question.is_some_and(|question| question.bare < BARE_ANSWERS);
            if early && statuses.init.iter().any(has_begun) {
                subjects.waiting("Starting", "what has become of it comes with the next answer")
            } else {
                let news = job.is_some_and(|job| job.progress.end().is_some() && !job.published);
                told.extend(uid.clone().filter(|_| news));
                if let Some(uid) = uid.as_ref().filter(|_| statuses.main.iter().all(has_ended)) {
                    door.heard.close(uid);
                }
                statuses
            }
        }
        (None, Some(question))
            if door.engine.is_ready() && question.known_for >= door.settings.unknown_waits =>
        {
            uid.iter().for_each(|uid| door.heard.lose(uid));
            subjects.ended(
                Outcome::LostTrack,
                "no such pod was ever brought here, or its record is lost".to_owned(),
            )
        }
        (None, Some(_)) => subjects.waiting("NotBroughtYet", "this pod has not been brought here yet"),
        (None, None) => subjects.waiting("NoUID", "the question names no UID of a pod"),
    };
    let statuses = if door.settings.queued_without_state { stateless(statuses) } else { statuses };
    let jid = progress.and_then(Progress::job).map_or_else(|| jid(&pod.metadata.uid), |job| job.to_string());
    answered(pod, jid, statuses)
}

fn answered(pod: &Asked, jid: String, statuses: Statuses) -> PodStatus {
    PodStatus {
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        namespace: pod.metadata.namespace.clone(),
        jid,
        containers: statuses.main,
        init_containers: statuses.init,
    }
}

/// What the status of a live pod is made from.
fn live<'a>(view: &'a View, job: Option<&'a JobView>) -> Known<'a> {
    let trouble = view.trouble.as_ref().filter(|_| job.is_none());
    let lost = job.and_then(|job| untracked(&job.tracking));
    let runs = job.is_some_and(|job| matches!(job.progress, Progress::Running { .. }));
    let faults = view.worker_faults.values().next().filter(|_| !runs);
    let workers = faults.map(|faults| ("WorkerCannotRun", faults.why.as_str()));
    Known {
        progress: job.map(|job| &job.progress),
        report: job.and_then(|job| job.report.as_deref()),
        waits: lost.or(trouble.map(|obstacle| (obstacle.reason, obstacle.why.as_str()))).or(workers),
        now: now(),
    }
}

/// Why nobody knows what has become of a job: what is said of its containers that wait.
fn untracked(tracking: &Tracking) -> Option<(&'static str, &'static str)> {
    match tracking {
        Tracking::Missing => Some((
            "JobMissing",
            "its job is not in HTCondor's queue, and nothing says how it ended; it may still run",
        )),
        Tracking::Unreadable(_) => {
            Some(("JobUnreadable", "its job is in HTCondor's queue, and its ad cannot be read"))
        }
        Tracking::Good | Tracking::Partly(_) => None,
    }
}

/// A pod that has not begun, for virtual kubelets that would call it running because its containers wait.
fn stateless(mut statuses: Statuses) -> Statuses {
    if !statuses.init.iter().chain(&statuses.main).any(has_begun) {
        statuses.main.iter_mut().for_each(|status| status.state = None);
    }
    statuses
}

fn has_begun(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.waiting.is_none())
}

fn has_ended(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

/// In whole seconds, as Kubernetes has it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The containers of a pod that is asked for.
struct Subjects<'a> {
    inits: Vec<Subject<'a>>,
    mains: Vec<Subject<'a>>,
    /// The caller has a status of the pod and does not know its init containers yet.
    bare: bool,
}

impl<'a> Subjects<'a> {
    /// Those that the question names; where it names none, those of the workload.
    fn of(pod: &'a Asked, workload: Option<&'a Workload>) -> Subjects<'a> {
        let status = pod.status.as_ref();
        let old_inits = status.map(|status| &*status.init_container_statuses).unwrap_or_default();
        let old_mains = status.map(|status| &*status.container_statuses).unwrap_or_default();
        let spec = pod.spec.as_ref().filter(|spec| !spec.containers.is_empty());
        let (inits, mains): (Vec<Subject<'a>>, Vec<Subject<'a>>) = match (spec, workload) {
            (Some(spec), workload) => {
                let run = |list: fn(&Workload) -> &Vec<Container>| workload.map(list);
                let inits = run(|workload| &workload.init_containers);
                let mains = run(|workload| &workload.containers);
                (asked(&spec.init_containers, old_inits, inits), asked(&spec.containers, old_mains, mains))
            }
            (None, Some(workload)) => {
                (stored(&workload.init_containers, old_inits), stored(&workload.containers, old_mains))
            }
            (None, None) => (remembered(old_inits), remembered(old_mains)),
        };
        let old: HashSet<&str> = old_inits.iter().map(|old| old.name.as_str()).collect();
        let bare = status.is_some() && !inits.iter().all(|subject| old.contains(subject.name));
        Subjects { inits, mains, bare }
    }

    fn told(&self, known: Known<'_>) -> Statuses {
        let mut statuses = statuses(&self.inits, &self.mains, known);
        for status in statuses.init.iter_mut().chain(&mut statuses.main) {
            if status.container_id.is_some() {
                status.image_id.clone_from(&status.image);
            }
        }
        statuses
    }

    fn waiting(&self, reason: &str, message: &str) -> Statuses {
        self.told(Known { progress: None, report: None, waits: Some((reason, message)), now: now() })
    }

    fn ended(&self, outcome: Outcome, message: String) -> Statuses {
        let progress = Progress::Ended { job: None, end: End { outcome, message, at: now() } };
        self.told(Known { progress: Some(&progress), report: None, waits: None, now: now() })
    }
}

fn asked<'a>(
    containers: &'a [AskedContainer],
    old: &'a [AskedContainerStatus],
    run: Option<&Vec<Container>>,
) -> Vec<Subject<'a>> {
    let old = Before::of(old);
    let run: Option<HashSet<&str>> = run.map(|run| run.iter().map(|run| run.name.as_str()).collect());
    let subject = |container: &'a AskedContainer| Subject {
        name: &container.name,
        image: &container.image,
        old: old.state(&container.name),
        here: run.as_ref().is_none_or(|run| run.contains(container.name.as_str())),
    };
    containers.iter().map(subject).collect()
}

fn stored<'a>(containers: &'a [Container], old: &'a [AskedContainerStatus]) -> Vec<Subject<'a>> {
    let old = Before::of(old);
    let subject = |container: &'a Container| Subject {
        name: &container.name,
        image: match &container.image {
            Image::Host => "host",
            Image::Apptainer(image) => image,
        },
        old: old.state(&container.name),
        here: true,
    };
    containers.iter().map(subject).collect()
}

fn remembered<'a>(old: &'a [AskedContainerStatus]) -> Vec<Subject<'a>> {
    let states = Before::of(old);
    let subject = |status: &'a AskedContainerStatus| {
        let name = status.name.as_str();
        Subject { name, image: "", old: states.state(name), here: true }
    };
    old.iter().map(subject).collect()
}

/// What containers were told to be, by name. A question may name any number.
struct Before<'a>(HashMap<&'a str, &'a AskedContainerStatus>);

impl<'a> Before<'a> {
    /// Of two with one name the first counts.
    fn of(old: &'a [AskedContainerStatus]) -> Before<'a> {
        Before(old.iter().rev().map(|status| (status.name.as_str(), status)).collect())
    }

    /// Two states at once are a slip of the virtual kubelet, and say nothing.
    fn state(&self, name: &str) -> Option<&'a ContainerState> {
        let state = self.0.get(name)?.state.as_ref()?;
        let states = [state.waiting.is_some(), state.running.is_some(), state.terminated.is_some()];
        (states.into_iter().filter(|is_set| *is_set).count() == 1).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Where each is compared with each this takes many minutes.
    #[test]
    fn a_question_may_name_any_number_of_containers() {
        const COUNT: usize = 200_000;
        let list = |one: &dyn Fn(usize) -> Value| (0..COUNT).map(one).collect::<Value>();
        let containers = list(&|n| json!({ "name": format!("c{n}"), "image": "i" }));
        let old = list(&|n| json!({ "name": format!("c{n}"), "state": { "running": {} } }));
        let asked: Asked = serde_json::from_value(json!({
            "metadata": { "uid": "a" },
            "spec": { "initContainers": containers, "containers": containers },
            "status": { "initContainerStatuses": old, "containerStatuses": old },
        }))
        .unwrap();
        let subjects = Subjects::of(&asked, None);
        assert!(!subjects.bare);
        assert!(subjects.mains.iter().all(|subject| subject.old.is_some_and(|old| old.running.is_some())));
    }
}
