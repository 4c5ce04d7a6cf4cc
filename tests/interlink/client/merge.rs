//! What a virtual kubelet makes of an answer to `/status`: a model of the released code, with its bugs
//! (WIRE 3.4), and of the API server behind it.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateWaiting, ContainerStatus};
use serde_json::Value;

use super::dialect::Version;
use super::pods;
use super::wire::PodStatus;

/// How an answer is wasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is logged, and the pod stays as it is, for ever while the answers stay so.
    Unchanged(&'static str),
    /// The API server refuses the new status, again and again.
    Frozen(String),
    /// The virtual kubelet panics, and does so after every restart.
    Panicked(String),
}

/// A virtual kubelet's copy of a pod's status.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// The UID of the pod.
    pub uid: String,
    /// `Pending`, ….
    pub phase: String,
    /// The pod's reason.
    pub reason: String,
    /// The pod's message.
    pub message: String,
    /// The containers.
    pub containers: Vec<ContainerStatus>,
    /// The init containers.
    pub inits: Vec<ContainerStatus>,
    /// An answer has named the init containers.
    inits_named: bool,
    /// The first init container has the second's end, for good.
    slipped: bool,
}

impl Copy {
    /// WIRE 0: before the first answer, waiting since 0.6.1; older ones claim that it runs. Of init
    /// containers nothing is said (as recorded).
    pub fn submitted(pod: &Value, version: Version) -> Copy {
        let waits = || waiting("Remote pod submitted");
        let state = || if version >= Version::V061 { waits() } else { ContainerState::default() };
        let names = pods::names(pod, "containers").into_iter();
        Copy {
            uid: pods::uid_of(pod).to_owned(),
            phase: "Pending".to_owned(),
            reason: String::new(),
            message: String::new(),
            containers: names.map(|name| status(name, state())).collect(),
            inits: Vec::new(),
            inits_named: false,
            slipped: false,
        }
    }

    /// Whether virtual kubelets ask no more.
    pub fn is_over(&self) -> bool {
        ["Succeeded", "Failed"].contains(&self.phase.as_str())
    }

    /// The state of a container, of either list.
    pub fn state(&self, name: &str) -> &ContainerState {
        let all = self.inits.iter().chain(&self.containers);
        let found = all.into_iter().find(|c| c.name == name).and_then(|c| c.state.as_ref());
        found.unwrap_or_else(|| panic!("{name} has no state in {self:?}"))
    }

    /// Takes an answer over.
    pub fn apply(&mut self, version: Version, answer: &[PodStatus]) -> Result<(), Trouble> {
        // WIRE 1.2, 4: only element 0 counts; these change nothing.
        let first = answer.first().ok_or(Trouble::Unchanged("the list is empty"))?;
        if first.name.is_empty() {
            return Err(Trouble::Unchanged("it has no name"));
        }
        if first.uid != self.uid {
            return Err(Trouble::Unchanged("it is another pod's"));
        }
        let mut new = self.clone();
        let inits = first.init_containers.as_deref().unwrap_or_default();
        new.take_inits(inits);
        let is = |what: fn(&ContainerState) -> bool| {
            move |c: &&ContainerStatus| c.state.as_ref().is_some_and(what)
        };
        let ended = inits.iter().filter(is(|state| state.terminated.is_some())).count();
        if inits.iter().any(|c| is(|state| state.running.is_some())(&c)) {
            // WIRE 3.4: regular containers wait, whatever the answer says of them.
            new.force_waiting("Init", &format!("Init:{ended}/{}", inits.len()));
        } else if ended < inits.len() {
            new.force_waiting("Waiting for init containers", "PodInitializing");
        } else {
            new.take_containers(version, first.containers.as_deref().unwrap_or_default())?;
        }
        self.store(new)
    }

    fn force_waiting(&mut self, pod_reason: &str, reason: &str) {
        self.phase = "Pending".to_owned();
        self.reason = pod_reason.to_owned();
        self.containers.iter_mut().for_each(|c| c.state = Some(waiting(reason)));
    }

    fn take_inits(&mut self, inits: &[ContainerStatus]) {
        let first_time = !inits.is_empty() && !std::mem::replace(&mut self.inits_named, !inits.is_empty());
        let stuck = self.slipped.then(|| self.inits.first().cloned()).flatten();
        inits.iter().for_each(|status| put(&mut self.inits, status.clone()));
        if let Some(stuck) = stuck {
            self.inits[0] = stuck;
        }
        // WIRE 3.4, init index slip: the second one's state is written into the first as well.
        if let (true, [_, second, ..]) = (first_time, inits)
            && let (Some(over), Some(state)) = (second.state.clone(), self.inits[0].state.as_mut())
        {
            self.slipped = state.terminated.is_some() && over.terminated.is_some();
            state.running = over.running.or(state.running.take());
            state.waiting = over.waiting.or(state.waiting.take());
            state.terminated = over.terminated.or(state.terminated.take());
        }
    }

    fn take_containers(&mut self, version: Version, returned: &[ContainerStatus]) -> Result<(), Trouble> {
        let (mut ended, mut failed) = (0, None);
        for status in returned {
            let mut status = status.clone();
            let state = status.state.get_or_insert_default();
            if let Some(end) = &mut state.terminated {
                // WIRE 3.4: the reason is overwritten; message and times are kept.
                end.reason = Some(end_reason(end.exit_code));
                ended += 1;
                failed = if end.exit_code == 0 { failed } else { Some(end.exit_code) };
            } else if state.running.is_some() {
                status.ready = true;
                self.phase = "Running".to_owned();
            } else if state.waiting.is_some() && version < Version::V061 {
                // WIRE 0: before 0.6.1 whoever waits makes the pod run.
                self.phase = "Running".to_owned();
            }
            put(&mut self.containers, status);
        }
        // WIRE 3.4: of an empty list, too, all have ended.
        if ended < returned.len() {
            return Ok(());
        }
        self.phase = if failed.is_some() { "Failed" } else { "Succeeded" }.to_owned();
        let Some(code) = failed else { return Ok(()) };
        self.reason = end_reason(code);
        for ours in &mut self.containers {
            if !returned.iter().any(|c| c.name == ours.name) {
                return Err(Trouble::Panicked(format!("{} is not in the answer", ours.name)));
            }
            if let Some(end) = ours.state.as_mut().and_then(|state| state.terminated.as_mut()) {
                end.reason = Some(end_reason(code));
            }
        }
        Ok(())
    }

    /// WIRE 3.4: of pods that never restart the API server takes no end back.
    fn store(&mut self, new: Copy) -> Result<(), Trouble> {
        let ended = |c: &ContainerStatus| c.state.as_ref().is_some_and(is_only_terminated);
        for (old, new) in [(&self.inits, &new.inits), (&self.containers, &new.containers)] {
            for old in old.iter().filter(|c| ended(c)) {
                if !new.iter().any(|c| c.name == old.name && ended(c)) {
                    let why = "may not be transitioned to non-terminated state";
                    return Err(Trouble::Frozen(format!("{} {why}", old.name)));
                }
            }
        }
        *self = new;
        Ok(())
    }
}

fn is_only_terminated(state: &ContainerState) -> bool {
    state.terminated.is_some() && state.running.is_none() && state.waiting.is_none()
}

fn end_reason(code: i32) -> String {
    if code == 0 { "Completed".to_owned() } else { format!("Error: {code}") }
}

fn waiting(reason: &str) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message: None };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn status(name: String, state: ContainerState) -> ContainerStatus {
    ContainerStatus { name, state: Some(state), ..ContainerStatus::default() }
}

/// WIRE 3.4: by name; a name that is new is added.
fn put(list: &mut Vec<ContainerStatus>, status: ContainerStatus) {
    match list.iter_mut().find(|c| c.name == status.name) {
        Some(place) => *place = status,
        None => list.push(status),
    }
}
