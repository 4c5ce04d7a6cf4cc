//! The JSON of InterLink as the released clients write it: null for every list, one thing in three
//! spellings, and fields that nobody here knows. Of what is asked often only that is read which the
//! answer needs.

use k8s_openapi::api::core::v1::{ConfigMap, ContainerState, ContainerStatus, Pod, Secret};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::error::Category;

use crate::http::error::HttpError;

/// A pod that is brought: PodCreateRequests of a virtual kubelet, RetrievedPodData of an API server.
#[derive(Deserialize)]
pub struct Brought {
    /// The pod.
    pub pod: Option<Pod>,
    /// From an API server: what each container mounts.
    #[serde(default, deserialize_with = "nullable")]
    pub container: Vec<Mounted>,
    /// From a virtual kubelet: what the pod's volumes name.
    #[serde(default, alias = "configMaps", deserialize_with = "nullable")]
    pub configmaps: Vec<ConfigMap>,
    /// From a virtual kubelet: what the pod's volumes name.
    #[serde(default, deserialize_with = "nullable")]
    pub secrets: Vec<Secret>,
    /// From a virtual kubelet: projected volumes, as ConfigMaps with the name of the volume and a key for
    /// each path.
    #[serde(default, alias = "projectedvolumemaps", deserialize_with = "nullable")]
    pub projectedvolumesmaps: Vec<ConfigMap>,
    /// Shell text that somebody wrote to be run in the place of the pod's containers.
    #[serde(default, rename = "jobScript", deserialize_with = "nullable")]
    pub job_script: String,
    /// How the API server would have the job run.
    #[serde(default, rename = "jobConfig")]
    pub job_config: Value,
}

/// What one container mounts: RetrievedContainer.
#[derive(Deserialize)]
pub struct Mounted {
    /// ConfigMaps, whole.
    #[serde(default, rename = "configMaps", alias = "configmaps", deserialize_with = "nullable")]
    pub config_maps: Vec<ConfigMap>,
    /// Secrets, whole.
    #[serde(default, deserialize_with = "nullable")]
    pub secrets: Vec<Secret>,
    /// Projected volumes, as ConfigMaps with the name of the volume.
    #[serde(
        default,
        rename = "projectedvolumemaps",
        alias = "projectedvolumesmaps",
        deserialize_with = "nullable"
    )]
    pub projected: Vec<ConfigMap>,
}

/// The answer to a pod that is brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are those of InterLink")]
pub struct CreateStruct {
    #[serde(rename = "PodUID")]
    pub pod_uid: String,
    #[serde(rename = "PodJID")]
    pub pod_jid: String,
}

/// As much of a pod as a question after it needs.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    /// Who it is.
    #[serde(default, deserialize_with = "nullable")]
    pub metadata: AskedMetadata,
    /// Its containers; some callers do not send them.
    pub spec: Option<AskedSpec>,
    /// What it was told to be; some callers do not send it.
    pub status: Option<AskedStatus>,
}

/// Who a pod is.
#[derive(Debug, Default, Deserialize)]
#[allow(missing_docs, reason = "the words are those of Kubernetes")]
pub struct AskedMetadata {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub namespace: String,
    #[serde(default, deserialize_with = "nullable")]
    pub uid: String,
}

/// The containers of a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words are those of Kubernetes")]
pub struct AskedSpec {
    #[serde(default, deserialize_with = "nullable")]
    pub init_containers: Vec<AskedContainer>,
    #[serde(default, deserialize_with = "nullable")]
    pub containers: Vec<AskedContainer>,
}

/// A container of a pod.
#[derive(Debug, Default, Deserialize)]
#[allow(missing_docs, reason = "the words are those of Kubernetes")]
pub struct AskedContainer {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub image: String,
}

/// What the containers of a pod were told to be.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words are those of Kubernetes")]
pub struct AskedStatus {
    #[serde(default, deserialize_with = "nullable")]
    pub init_container_statuses: Vec<AskedContainerStatus>,
    #[serde(default, deserialize_with = "nullable")]
    pub container_statuses: Vec<AskedContainerStatus>,
}

/// What a container was told to be.
#[derive(Debug, Default, Deserialize)]
#[allow(missing_docs, reason = "the words are those of Kubernetes")]
pub struct AskedContainerStatus {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
    #[serde(default)]
    pub state: Option<ContainerState>,
}

/// What is told of a pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are those of InterLink")]
pub struct PodStatus {
    pub name: String,
    #[serde(rename = "UID")]
    pub uid: String,
    pub namespace: String,
    #[serde(rename = "JID")]
    pub jid: String,
    pub containers: Vec<ContainerStatus>,
    #[serde(rename = "initContainers")]
    pub init_containers: Vec<ContainerStatus>,
}

/// Which log is wanted: LogStruct.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the words are those of InterLink")]
pub struct LogStruct {
    #[serde(default, deserialize_with = "nullable")]
    pub namespace: String,
    #[serde(default, rename = "PodUID", deserialize_with = "nullable")]
    pub pod_uid: String,
    #[serde(default, deserialize_with = "nullable")]
    pub pod_name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub container_name: String,
    #[serde(default, deserialize_with = "nullable")]
    pub opts: LogOpts,
}

/// How a log is wanted. What is not set is 0, false, or the first moment of the year 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the words are those of InterLink")]
pub struct LogOpts {
    #[serde(default, deserialize_with = "nullable")]
    pub tail: i64,
    #[serde(default, deserialize_with = "nullable")]
    pub bytes: i64,
    #[serde(default, deserialize_with = "nullable")]
    pub timestamps: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub follow: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub previous: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub since_seconds: i64,
    #[serde(default, deserialize_with = "nullable")]
    pub since_time: String,
}

/// The answer to a ping: PingResponse. A number that is no text makes the callers drop all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are those of InterLink")]
pub struct PingResponse {
    pub status: String,
    pub message: String,
    pub resources: Resources,
    pub taints: Vec<Taint>,
}

/// What the pool has in all, as Kubernetes writes quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are those of InterLink")]
pub struct Resources {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<Accelerator>,
}

/// A kind of accelerator, and how many the pool has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words are those of InterLink")]
pub struct Accelerator {
    pub resource_type: String,
    pub available: String,
}

/// A taint that the node should have; no released virtual kubelet sets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are those of InterLink")]
pub struct Taint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

/// Reads a body: one thing, or an array of them. Nothing, and null, is an empty array.
pub fn one_or_many<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, HttpError> {
    let body = body.trim_ascii();
    let read = match body.first() {
        None => Ok(Vec::new()),
        Some(b'{') => serde_json::from_slice(body).map(|one| vec![one]),
        Some(_) => serde_json::from_slice::<Option<Vec<T>>>(body).map(Option::unwrap_or_default),
    };
    read.map_err(|why| HttpError::BadRequest(told(&why)))
}

/// Why a body cannot be read, without what stands in it: that may be secret.
fn told(why: &serde_json::Error) -> String {
    let place = format!("line {} column {}", why.line(), why.column());
    match why.classify() {
        Category::Eof => format!("the body ends in the middle of its JSON, at {place}"),
        Category::Syntax => format!("the body is no JSON: it goes wrong at {place}"),
        Category::Io | Category::Data => {
            let text = why.to_string();
            let wanted = text.rsplit_once("expected ").map_or("", |(_, wanted)| wanted);
            let wanted = wanted.split(" at line ").next().filter(|wanted| !wanted.is_empty());
            let wanted = wanted.map_or(String::new(), |wanted| format!(", {wanted} was expected"));
            format!("the body has something that does not belong at {place}{wanted}")
        }
    }
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}
