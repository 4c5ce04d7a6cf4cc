//! The words for work: who it belongs to, what shall run, how far it has come.

pub mod container;
pub mod names;
pub mod progress;
pub mod report;
pub mod spec;

use serde::{Deserialize, Serialize};

use container::Container;
use spec::{RegistryLogin, Volume};

/// What somebody wants run, in our words: one HTCJob or one pod.
///
/// It is stored as JSON with its wish, so a field that is added later needs a serde default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The name that people know it by.
    pub name: String,
    /// How many copies run, as indices `0..indices`.
    pub indices: u32,
    /// Run in order before `containers`; the first failure ends the job.
    pub init_containers: Vec<Container>,
    /// Run side by side.
    pub containers: Vec<Container>,
    /// What the containers mount.
    pub volumes: Vec<Volume>,
    /// Seconds between the request to end and the kill.
    pub grace_seconds: u32,
    /// The variable that tells containers where their job's files come home to; none if unset.
    pub folder_variable: Option<String>,
    /// Whether the pool may start a job again after it evicted it.
    pub restart_after_eviction: bool,
    /// Seconds that its containers may run, all together, before the job is ended as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u32>,
    /// What its containers see as the name of their machine; the worker's where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Who it is to the registries of its images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistryLogin>,
    /// What images that are paths of the worker must lie below, once their links are followed; none: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_paths: Vec<String>,
    /// Submit commands of the user, checked: name and value, in their order.
    pub submit: Vec<(String, String)>,
}
