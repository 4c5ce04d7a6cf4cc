//! One golden case.

use std::fs;
use std::path::PathBuf;

use htc_core::workload::spec::{ImageSettings, JobSpec};
use htc_operator::pod::delivered::Delivered;
use htc_operator::pod::{Refusal, Settings, Translated, translate};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::here;
use crate::moments;

/// A folder with a pod.
pub struct Case {
    /// The folder; its name is that of the case.
    pub folder: PathBuf,
    /// The pod.
    pub pod: Pod,
    delivered: Delivered,
}

impl Case {
    /// All cases, in order of their names.
    pub fn all() -> Vec<Case> {
        let mut folders: Vec<PathBuf> =
            fs::read_dir(here().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders.into_iter().map(Case::read).collect()
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap().to_string_lossy().into_owned()
    }

    fn read(folder: PathBuf) -> Case {
        let text = fs::read_to_string(folder.join("pod.yaml")).unwrap();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let (mut pod, mut delivered) = (None, Delivered::default());
        for document in documents {
            match document["kind"].as_str().unwrap() {
                "Pod" => pod = Some(Pod::deserialize(&document).unwrap()),
                "ConfigMap" => delivered.add_config_map(ConfigMap::deserialize(&document).unwrap()),
                "Secret" => delivered.add_secret(Secret::deserialize(&document).unwrap()),
                // A projected volume as a virtual kubelet puts it together, under the volume's name.
                "Projected" => {
                    let files = document["data"].as_object().unwrap().iter();
                    let files = files.map(|(path, text)| (path.clone(), text.as_str().unwrap().into()));
                    let name = document["metadata"]["name"].as_str().unwrap();
                    delivered.projected.insert(name.to_owned(), files.collect());
                }
                other => panic!("{}: a {other} is nothing that comes with a pod", folder.display()),
            }
        }
        Case { folder, pod: pod.expect("a case has a pod"), delivered }
    }

    fn translated(&self) -> Result<Translated, Refusal> {
        let settings = Settings {
            claims: [("default/data".to_owned(), "/data/shared".to_owned())].into(),
            host_paths: vec!["/cvmfs".to_owned(), "/data".to_owned()],
            site_scripts: [("cern".to_owned(), b"#!/bin/sh\nexec join-facility \"$1\"\n".to_vec())].into(),
            ..Settings::default()
        };
        translate(&self.pod, &self.delivered, &settings)
    }

    /// What the pod becomes, as text: `job.json` as the sender gets it, what the pool is asked for, and
    /// what the pod is told; or why it is refused.
    pub fn job(&self) -> String {
        let value = match self.translated() {
            Ok(Translated { workload, notes }) => {
                let key = "11111111-2222-3333-4444-555555555555/0/0/0".parse().unwrap();
                let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
                let asks: serde_json::Map<String, Value> =
                    workload.submit.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                let restart = workload.restart_after_eviction;
                let job = JobSpec::new(
                    &workload,
                    namespace,
                    key,
                    "/data/jobs/0.0.0",
                    None,
                    &ImageSettings::default(),
                    htc_core::workload::spec::MAX_OUTPUT_FILES,
                );
                json!({ "asks": asks, "job": job, "notes": notes, "restartAfterEviction": restart })
            }
            Err(refusal) => json!({ "refused": refusal.to_string() }),
        };
        pretty(&value)
    }

    /// Its status at some moments of its life, a line each; none for a pod that is refused.
    pub fn status(&self) -> Option<String> {
        let workload = self.translated().ok()?.workload;
        let moments = moments::statuses(&self.pod, &workload);
        let line = |(name, status): &(String, Value)| format!("{name}: {status}\n");
        Some(moments.iter().map(line).collect())
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}
