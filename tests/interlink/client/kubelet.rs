//! A virtual kubelet with its pods: brings them, sweeps through them, takes them away, and fails the test
//! wherever a released one would be led astray.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus};
use serde_json::{Value, json};

use super::dialect::{Dialect, Opts, Version};
use super::merge::Copy;
use super::pods;
use super::transport::{Answer, Transport};
use super::wire::{self, CreateStruct, PodStatus};

/// How long something may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN: Duration = Duration::from_millis(50);

/// A pod of a virtual kubelet.
#[derive(Clone, Debug)]
pub struct Held {
    /// As it would be sent.
    pub pod: Value,
    /// The annotation `JobID`, with which a pod is adopted after a restart.
    pub job_id: Option<String>,
    /// The copy of its status.
    pub copy: Copy,
    /// The `JID` of the last answer.
    pub jid: String,
    /// What was answered before, by container.
    told: BTreeMap<String, ContainerStatus>,
}

/// A virtual kubelet.
#[derive(Clone, Debug)]
pub struct VirtualKubelet {
    /// The way to the endpoint.
    pub transport: Transport,
    /// Which one it is.
    pub dialect: Dialect,
    /// Its pods by UID.
    pub pods: BTreeMap<String, Held>,
    /// The endpoint is set to send queued containers without a state.
    pub stateless_waiting: bool,
}

impl VirtualKubelet {
    /// One without pods.
    pub fn new(transport: Transport, dialect: Dialect) -> VirtualKubelet {
        VirtualKubelet { transport, dialect, pods: BTreeMap::new(), stateless_waiting: false }
    }

    /// A pod of it.
    pub fn held(&self, uid: &str) -> &Held {
        &self.pods[uid]
    }

    /// The pod is in the cluster; from here on it is asked for, whether `/create` has gone out or not.
    pub fn hold(&mut self, pod: &Value) -> String {
        let uid = pods::uid_of(pod).to_owned();
        let copy = Copy::submitted(pod, self.dialect.version);
        let held = Held { pod: pod.clone(), job_id: None, copy, jid: String::new(), told: BTreeMap::new() };
        self.pods.insert(uid.clone(), held);
        uid
    }

    /// Brings a pod; what becomes of a failure is the released one's way.
    pub async fn create(&mut self, pod: &Value) -> Result<CreateStruct, String> {
        let uid = self.hold(pod);
        self.bring(&uid).await
    }

    /// Sends a pod's `/create`, once or again.
    pub async fn bring(&mut self, uid: &str) -> Result<CreateStruct, String> {
        let answer = self.transport.send(&self.dialect.create(&self.pods[uid].pod)).await;
        let made = answer.and_then(|answer| wire::create_struct(answer.success()?));
        let held = self.pods.get_mut(uid).unwrap();
        match &made {
            // WIRE 3.3: another UID leaves the pod without its annotation, to be created again.
            Ok(made) if made.pod_uid != uid => panic!("{uid} was answered as {made:?}"),
            Ok(made) => {
                // WIRE 10.2, 3.3: an empty id would count as adopted.
                assert!(!made.pod_jid.is_empty(), "{made:?}");
                if let Some(before) = held.job_id.replace(made.pod_jid.clone()) {
                    assert_eq!(before, made.pod_jid, "a pod's id never changes");
                }
            }
            // WIRE 0: 0.5 stays Pending and goes on asking; later ones end the pod at once.
            Err(_) if self.dialect.version == Version::V05 => {}
            Err(why) => {
                held.copy.phase = "Failed".to_owned();
                held.copy.reason = "ProviderFailed".to_owned();
                held.copy.message.clone_from(why);
            }
        }
        made
    }

    /// WIRE 1.2, 3.2: one look at all pods that are not over, one call after the other.
    pub async fn sweep(&mut self) {
        let open: Vec<String> =
            self.pods.iter().filter(|(_, held)| !held.copy.is_over()).map(|(uid, _)| uid.clone()).collect();
        for uid in open {
            self.ask(&uid).await;
        }
    }

    /// Asks for one pod and takes the answer over.
    pub async fn ask(&mut self, uid: &str) -> PodStatus {
        let asked = self.as_sent(uid);
        let answer = self.transport.send(&self.dialect.status(std::slice::from_ref(&asked))).await;
        let answer = answer.unwrap_or_else(|why| panic!("status of {uid}: {why}"));
        let body = answer.success().unwrap_or_else(|why| panic!("status of {uid}: {why}"));
        self.take(&[asked], body).remove(0)
    }

    /// WIRE 0: 0.4 asks for all pods at once, finished ones too.
    pub async fn ask_all(&mut self) -> Vec<PodStatus> {
        let asked: Vec<Value> = self.pods.keys().map(|uid| self.as_sent(uid)).collect();
        let answer = self.transport.send(&self.dialect.status(&asked)).await.unwrap();
        self.take(&asked, answer.success().unwrap())
    }

    fn take(&mut self, asked: &[Value], body: &[u8]) -> Vec<PodStatus> {
        let answers = wire::pod_statuses(body).unwrap_or_else(|why| panic!("{why}"));
        assert_times(&wire::json(body).unwrap());
        // WIRE 1.4: same order and length as the request.
        assert_eq!(answers.len(), asked.len(), "{answers:?}");
        for (pod, answer) in asked.iter().zip(&answers) {
            self.assert_good(pod, answer);
            let held = self.pods.get_mut(&answer.uid).unwrap();
            let taken = held.copy.apply(self.dialect.version, std::slice::from_ref(answer));
            taken.unwrap_or_else(|trouble| panic!("{trouble:?} by {answer:#?}"));
            held.jid.clone_from(&answer.jid);
        }
        answers
    }

    /// The pod with its status, as it travels.
    pub fn as_sent(&self, uid: &str) -> Value {
        let held = &self.pods[uid];
        let mut pod = held.pod.clone();
        if let Some(id) = &held.job_id {
            pod["metadata"]["annotations"]["JobID"] = id.as_str().into();
        }
        let Copy { phase, containers, inits, .. } = &held.copy;
        pod["status"] = json!({ "phase": phase, "containerStatuses": containers });
        if !inits.is_empty() {
            pod["status"]["initContainerStatuses"] = json!(inits);
        }
        pod
    }

    fn assert_good(&mut self, pod: &Value, answer: &PodStatus) {
        let (metadata, uid) = (&pod["metadata"], pods::uid_of(pod));
        // WIRE 3.4: another UID or an empty name leaves the pod as it is.
        let named = (metadata["name"].as_str().unwrap(), metadata["namespace"].as_str().unwrap(), uid);
        assert_eq!((answer.name.as_str(), answer.namespace.as_str(), answer.uid.as_str()), named);
        let (inits, containers) = (&answer.init_containers, &answer.containers);
        // WIRE 10.5: every container of the pod, in its order; an empty list is a success that never was.
        for (list, statuses) in [("initContainers", inits), ("containers", containers)] {
            let answered = statuses.iter().flatten().map(|c| c.name.clone());
            assert_eq!(answered.collect::<Vec<_>>(), pods::names(pod, list), "{list} of {answer:#?}");
        }
        let held = self.pods.get_mut(uid).unwrap_or_else(|| panic!("{uid} was not asked for"));
        let first_answer = held.told.is_empty();
        for status in inits.iter().flatten() {
            let waits = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
            // WIRE 3.4, 10.5: else the first one takes over the second's end. A restarted virtual kubelet
            // has the list already.
            assert!(!first_answer || waits || held.copy.phase != "Pending", "first answer: {status:?}");
        }
        for status in inits.iter().flatten().chain(containers.iter().flatten()) {
            assert_status(status, self.stateless_waiting);
            if let Some(before) = held.told.insert(status.name.clone(), status.clone()) {
                assert_follows(&before, status);
            }
        }
    }

    /// Asks until it is so.
    pub async fn until(&mut self, uid: &str, what: &str, is_so: impl Fn(&Copy) -> bool) {
        let began = Instant::now();
        loop {
            self.ask(uid).await;
            if is_so(&self.pods[uid].copy) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {:?}", self.pods[uid].copy);
            tokio::time::sleep(BETWEEN).await;
        }
    }

    /// Asks until the pod is in this phase.
    pub async fn until_phase(&mut self, uid: &str, phase: &str) {
        self.until(uid, phase, |copy| copy.phase == phase).await;
    }

    /// WIRE 3.5: once; whatever the answer is, the pod leaves the cluster.
    pub async fn delete(&mut self, uid: &str) -> Answer {
        let pod = self.as_sent(uid);
        self.pods.remove(uid);
        self.transport.send(&self.dialect.delete(&pod)).await.unwrap()
    }

    /// A log, whole.
    pub async fn logs(&self, uid: &str, container: &str, opts: &Opts) -> Answer {
        let request = self.dialect.logs(&self.pods[uid].pod, container, opts);
        self.transport.send(&request).await.unwrap()
    }

    /// The same, of success, as text.
    pub async fn log(&self, uid: &str, container: &str, opts: &Opts) -> String {
        let answer = self.logs(uid, container, opts).await;
        answer.success().unwrap_or_else(|why| panic!("{container}: {why}"));
        answer.text()
    }
}

/// WIRE 4: what a container's status must have.
fn assert_status(status: &ContainerStatus, may_be_stateless: bool) {
    let state = status.state.clone().unwrap_or_default();
    let states = [state.waiting.is_some(), state.running.is_some(), state.terminated.is_some()];
    let count = states.iter().filter(|there| **there).count();
    assert!(count == 1 || count == 0 && may_be_stateless, "one state: {status:?}");
    if let Some(end) = &state.terminated {
        assert!((0..=255).contains(&end.exit_code), "{status:?}");
    }
    if let Some(waiting) = &state.waiting {
        assert!(waiting.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{status:?}");
    }
    let id = status.container_id.as_deref().unwrap_or_default();
    assert!(id.is_empty() || id.contains("://"), "{status:?}");
    assert!(!status.image.is_empty(), "{status:?}");
}

/// WIRE 3.4, 10.8: an end is never taken back, and neither it nor a start moves.
fn assert_follows(before: &ContainerStatus, now: &ContainerStatus) {
    let (before, after) = (before.state.clone().unwrap_or_default(), now.state.clone().unwrap_or_default());
    if let Some(before) = before.terminated {
        // The reason is the virtual kubelet's own in any case (WIRE 3.4).
        let after = after
            .terminated
            .clone()
            .map(|end| ContainerStateTerminated { reason: before.reason.clone(), ..end });
        assert_eq!(after, Some(before), "{}: an end that moved", now.name);
    }
    if let (Some(was), Some(is)) = (before.running, after.running) {
        assert_eq!(was.started_at, is.started_at, "{}: a start that moved", now.name);
    }
}

/// WIRE 4: times are RFC 3339 in UTC with whole seconds; null is fine.
fn assert_times(value: &Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let ("startedAt" | "finishedAt", Some(time)) = (name.as_str(), value.as_str()) {
                    let parsed: jiff::Timestamp = time.parse().unwrap_or_else(|e| panic!("{time}: {e}"));
                    assert_eq!(parsed.to_string(), time, "{name}");
                    assert_eq!(time.len(), "2026-11-21T01:50:23Z".len(), "{name}: {time}");
                }
                assert_times(value);
            }
        }
        Value::Array(values) => values.iter().for_each(assert_times),
        _ => {}
    }
}
