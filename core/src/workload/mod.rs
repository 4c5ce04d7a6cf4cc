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

impl Workload {
    /// What its status needs once nothing of it will be submitted any more: names and images of its containers. What
    /// they were given is left out: variables, words and files may be secrets, and are the larger part of it.
    pub fn told_only(&self) -> Workload {
        // No `..`: a field that is added must say whether a status needs it.
        let Workload {
            name,
            indices,
            init_containers,
            containers,
            volumes: _,
            grace_seconds,
            folder_variable: _,
            restart_after_eviction,
            deadline_seconds,
            hostname: _,
            registries: _,
            image_paths: _,
            submit: _,
        } = self;
        let told = |list: &[Container]| list.iter().map(Container::told_only).collect();
        Workload {
            name: name.clone(),
            indices: *indices,
            init_containers: told(init_containers),
            containers: told(containers),
            volumes: Vec::new(),
            grace_seconds: *grace_seconds,
            folder_variable: None,
            restart_after_eviction: *restart_after_eviction,
            deadline_seconds: *deadline_seconds,
            hostname: None,
            registries: Vec::new(),
            image_paths: Vec::new(),
            submit: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use container::{Arg, EnvVar, Image, Mount, Program, Pull};
    use spec::{File, VolumeSource};

    #[test]
    fn what_only_the_job_needed_is_left_out_and_what_a_status_says_is_not() {
        let secret = || "hunter2".to_owned();
        let container = Container {
            name: "main".to_owned(),
            image: Image::Apptainer("docker://x".to_owned()),
            pull: Pull::Always,
            program: Program::Words(vec![Arg::Text(secret())]),
            env: vec![EnvVar { name: "PASSWORD".to_owned(), value: secret() }],
            working_dir: Some(Arg::Text(secret())),
            mounts: Vec::<Mount>::new(),
            termination_message: None,
        };
        let file = File { path: secret(), mode: 0o400, data: secret().into_bytes() };
        let login = RegistryLogin { registry: "r".to_owned(), username: "u".to_owned(), password: secret() };
        let whole = Workload {
            name: "x".to_owned(),
            indices: 3,
            init_containers: vec![container.clone()],
            containers: vec![container],
            volumes: vec![Volume { name: "v".to_owned(), source: VolumeSource::Files(vec![file]) }],
            grace_seconds: 30,
            folder_variable: Some(secret()),
            restart_after_eviction: false,
            deadline_seconds: Some(5),
            hostname: Some(secret()),
            registries: vec![login],
            image_paths: vec![],
            submit: vec![("environment".to_owned(), secret())],
        };
        let told = whole.told_only();
        let text = serde_json::to_string(&told).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
        let names = |w: &Workload| {
            (w.name.clone(), w.indices, w.containers[0].name.clone(), w.containers[0].image.clone())
        };
        assert_eq!(names(&told), names(&whole));
        assert_eq!((told.init_containers.len(), told.told_only()), (1, told.clone()));
    }
}
