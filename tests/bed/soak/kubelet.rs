//! A node and a pod of the operator behind its Service, as a cluster has them. The bed has no kubelet, so the test
//! asks the readiness probe's question and writes the answer into the pod; whether the endpoint leaves the Service
//! is decided by Kubernetes' own controllers.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{Bed, until};

const SERVICE: &str = include_str!("../../../deploy/service.yaml");
const POD: &str = "htc-operator-0";
const ADDRESS: &str = "192.0.2.1";

/// The operator's Service with one pod behind it.
pub struct Endpoint {
    nodes: Api<Node>,
    pods: Api<Pod>,
    slices: Api<EndpointSlice>,
    node: String,
}

impl Endpoint {
    /// Makes them, and waits until the endpoint is there.
    pub async fn make(bed: &Bed) -> Endpoint {
        let (client, namespace) = (&bed.client, &bed.namespace);
        let endpoint = Endpoint {
            nodes: Api::all(client.clone()),
            pods: Api::namespaced(client.clone(), namespace),
            slices: Api::namespaced(client.clone(), namespace),
            node: bed.id.clone(),
        };
        let mut service: Service = serde_saphyr::from_str(SERVICE).unwrap();
        service.metadata.namespace = Some(namespace.clone());
        let labels = service.spec.as_ref().unwrap().selector.clone();
        let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port });
        let container = json!({
            "name": "htc-operator", "image": "htc-operator", "ports": [port("events", 8080), port("health", 8081)],
        });
        let pod = json!({
            "metadata": { "name": POD, "labels": labels },
            "spec": {
                "nodeName": endpoint.node, "containers": [container], "automountServiceAccountToken": false,
                "tolerations": [{ "operator": "Exists" }],
            },
        });
        let node = json!({ "metadata": { "name": endpoint.node } });
        let new = PostParams::default();
        endpoint.nodes.create(&new, &serde_json::from_value(node).unwrap()).await.unwrap();
        Api::<Service>::namespaced(client.clone(), namespace).create(&new, &service).await.unwrap();
        until("a ServiceAccount for the pod", async || {
            let pod = serde_json::from_value(pod.clone()).unwrap();
            endpoint.pods.create(&new, &pod).await.map(drop).map_err(|why| why.to_string())
        })
        .await;
        until("the endpoint", async || {
            endpoint.probed(true).await;
            endpoint.is_there().await
        })
        .await;
        endpoint
    }

    /// What the kubelet writes: its node lives, and this was the answer to the pod's readiness probe.
    pub async fn probed(&self, ready: bool) {
        let (now, ready) = (Timestamp::now().to_string(), if ready { "True" } else { "False" });
        let condition = |kind: &str, status: &str, more: Value| {
            let mut condition = json!({ "type": kind, "status": status, "reason": "Probed" });
            condition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            condition
        };
        let alive = condition("Ready", "True", json!({ "lastHeartbeatTime": now }));
        let node = json!({ "status": { "conditions": [alive] } });
        let pod = json!({ "status": {
            "phase": "Running", "podIP": ADDRESS, "podIPs": [{ "ip": ADDRESS }],
            "conditions": [condition("Ready", ready, json!({})), condition("ContainersReady", ready, json!({}))],
        }});
        let merge = PatchParams::default();
        self.nodes.patch_status(&self.node, &merge, &Patch::Strategic(node)).await.unwrap();
        self.pods.patch_status(POD, &merge, &Patch::Strategic(pod)).await.unwrap();
    }

    /// Whether the Service has the pod as an endpoint that is ready.
    pub async fn is_there(&self) -> Result<(), String> {
        let slices = self.slices.list(&ListParams::default()).await.map_err(|why| why.to_string())?;
        let endpoints = slices.items.iter().flat_map(|slice| &slice.endpoints);
        let ready = endpoints.filter(|one| one.conditions.as_ref().is_some_and(|c| c.ready == Some(true)));
        let found: Vec<&String> = ready.flat_map(|endpoint| &endpoint.addresses).collect();
        if found == [ADDRESS] { Ok(()) } else { Err(format!("{:?}", slices.items)) }
    }
}
