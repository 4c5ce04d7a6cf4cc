//! What the endpoint answers, decoded as the released callers do it (Go's decoder: unknown fields are
//! fine, an object is no list, a time that cannot be read voids everything).

use k8s_openapi::api::core::v1::ContainerStatus;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The answer to `/create`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CreateStruct {
    /// The pod's UID.
    #[serde(rename = "PodUID", default)]
    pub pod_uid: String,
    /// What the virtual kubelet keeps as the annotation `JobID`.
    #[serde(rename = "PodJID", default)]
    pub pod_jid: String,
}

/// One element of the answer to `/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct PodStatus {
    /// The pod's name.
    #[serde(default)]
    pub name: String,
    /// Its UID.
    #[serde(rename = "UID", default)]
    pub uid: String,
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
    /// The remote job.
    #[serde(rename = "JID", default)]
    pub jid: String,
    /// Its containers.
    #[serde(default)]
    pub containers: Option<Vec<ContainerStatus>>,
    /// Its init containers.
    #[serde(rename = "initContainers", default)]
    pub init_containers: Option<Vec<ContainerStatus>>,
}

/// WIRE 1.2, 2: a create answer is an object; a list fails the pod.
pub fn create_struct(body: &[u8]) -> Result<CreateStruct, String> {
    object(body)
}

/// WIRE 1.2, 4: a status answer is a list; an object instead changes nothing for ever.
pub fn pod_statuses(body: &[u8]) -> Result<Vec<PodStatus>, String> {
    let value: Value = json(body)?;
    if !value.is_array() {
        return Err(format!("a status answer that is no list: {value}"));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The answer to a ping, as 0.6.2 and younger read it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PingResponse {
    /// In words.
    #[serde(default)]
    pub status: String,
    /// What the pool has.
    #[serde(default)]
    pub resources: Option<Resources>,
}

/// WIRE 2: quantities are strings; one number voids the whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Cores.
    pub cpu: String,
    /// Memory.
    pub memory: String,
    /// Pods.
    pub pods: String,
    /// Devices.
    pub accelerators: Option<Vec<Accelerator>>,
}

/// A kind of device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Accelerator {
    /// Its resource name.
    pub resource_type: String,
    /// How many there are.
    pub available: String,
}

/// A ping's answer, or why it says nothing to those who parse it.
pub fn ping_response(body: &[u8]) -> Result<PingResponse, String> {
    object(body)
}

/// Serde takes a list for an object, Go does not.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let value: Value = json(body)?;
    if !value.is_object() {
        return Err(format!("not an object: {value}"));
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Any JSON.
pub fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("{error}: {}", String::from_utf8_lossy(body)))
}
