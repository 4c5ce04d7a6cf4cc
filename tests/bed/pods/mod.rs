//! Pods through the InterLink endpoint, on the real pool: what a virtual kubelet that brings them comes to
//! see. What the in-job program does with each field is told by its own tests, with the same fixtures.

mod capacity;
mod ends;
mod eviction;
mod files;
mod results;
mod rooms;
mod values;

use k8s_openapi::api::core::v1::ContainerStateTerminated;
use serde_json::{Value, json};

use crate::client::dialect::{Dialect, Opts};
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::uid_of;
use crate::client::transport::{Request, Transport};
use crate::client::wire::PodStatus;
use crate::harness::{Bed, Job, on_bed, until};

/// Runs a test with an endpoint that is ready, and a virtual kubelet at its socket.
async fn with_endpoint(claim: impl AsyncFnOnce(&mut Bed, &mut VirtualKubelet)) {
    on_bed(async |bed: &mut Bed| {
        bed.start_endpoint().await;
        let transport = Transport::unix(&bed.data().join("interlink.sock"));
        claim(bed, &mut VirtualKubelet::new(transport, Dialect::NEWEST)).await;
    })
    .await;
}

/// Brings a pod; gives its UID.
async fn create(kubelet: &mut VirtualKubelet, pod: &Value) -> String {
    kubelet.create(pod).await.unwrap().pod_uid
}

/// Brings a pod with what its volumes are made of: ConfigMaps, Secrets, and projected volumes that the
/// virtual kubelet has put together.
async fn create_with(kubelet: &mut VirtualKubelet, pod: &Value, delivered: [Value; 3]) -> String {
    let [configmaps, secrets, projected] = delivered;
    let body = json!({
        "pod": pod, "configmaps": configmaps, "secrets": secrets, "projectedvolumesmaps": projected,
        "jobscriptURL": "",
    });
    let answer = kubelet.transport.send(&Request::json("POST", "/create", &body)).await.unwrap();
    answer.success().unwrap();
    kubelet.hold(pod)
}

/// The pod's job, for HTCondor's tools.
fn job(pod: &Value) -> Job {
    let text = |name: &str| pod["metadata"][name].as_str().unwrap().to_owned();
    Job { name: text("name"), namespace: text("namespace"), uid: uid_of(pod).to_owned() }
}

/// Asks until the pod is in this phase; gives the answer by which it came to it. Virtual kubelets put other
/// words into what they keep, and do not ask again.
async fn ended(kubelet: &mut VirtualKubelet, uid: &str, phase: &str) -> PodStatus {
    let answer = until(phase, async || {
        let answer = kubelet.ask(uid).await;
        if kubelet.held(uid).copy.is_over() { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert_eq!(kubelet.held(uid).copy.phase, phase, "{answer:#?}");
    answer
}

/// How a container ended.
fn end(answer: &PodStatus, container: &str) -> ContainerStateTerminated {
    let mut all = answer.init_containers.iter().chain(&answer.containers).flatten();
    let state = all.find(|status| status.name == container).and_then(|status| status.state.clone());
    state
        .and_then(|state| state.terminated)
        .unwrap_or_else(|| panic!("{container} has not ended: {answer:#?}"))
}

/// Exit code and reason of a container that has ended.
fn code(answer: &PodStatus, container: &str) -> (i32, String) {
    let end = end(answer, container);
    (end.exit_code, end.reason.unwrap_or_default())
}

/// Waits until the log of a container is this.
async fn until_log(kubelet: &VirtualKubelet, uid: &str, container: &str, expected: &str) {
    until(&format!("the log of {container}"), async || {
        let answer = kubelet.logs(uid, container, &Opts::default()).await;
        let text = answer.success().map(|_| answer.text())?;
        if text == expected { Ok(()) } else { Err(text) }
    })
    .await;
}
