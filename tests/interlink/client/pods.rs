//! Pods as virtual kubelets bring them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A UID that nobody had before.
pub fn uid() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let ours = u64::from(std::process::id()) << 24 | NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-{:04x}-4000-8000-{:012x}", now as u32, (now >> 32) as u16, ours & 0xffff_ffff_ffff)
}

/// A container.
pub fn container(name: &str, image: &str, command: &[&str]) -> Value {
    json!({
        "name": name, "image": image, "command": command, "resources": {},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    })
}

/// A pod with these init containers and containers.
pub fn pod(name: &str, inits: &[Value], containers: &[Value]) -> Value {
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": "default", "uid": uid(), "creationTimestamp": "2026-11-21T01:50:23Z",
        },
        "spec": {
            "containers": containers, "restartPolicy": "Never", "terminationGracePeriodSeconds": 5,
            "dnsPolicy": "ClusterFirst", "serviceAccountName": "default", "nodeName": "virtual-node",
            "securityContext": {}, "schedulerName": "default-scheduler", "enableServiceLinks": true,
        },
        "status": { "phase": "Pending" },
    });
    if !inits.is_empty() {
        pod["spec"]["initContainers"] = inits.into();
    }
    pod
}

/// A pod with one container `main` that does nothing for a while.
pub fn plain(name: &str) -> Value {
    pod(name, &[], &[container("main", "docker.io/library/busybox:1.36", &["sleep", "60"])])
}

/// A pod's UID.
pub fn uid_of(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap()
}

/// The names of a pod's containers (`containers`, `initContainers`), in order.
pub fn names(pod: &Value, list: &str) -> Vec<String> {
    let containers = pod["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
    containers.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
}
