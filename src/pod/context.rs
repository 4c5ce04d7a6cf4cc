//! What every part of the translation of one pod needs.

use std::cell::Cell;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::Settings;
use super::delivered::Delivered;
use super::refusal::Refusal;

/// Bytes of files, words, variables and logins of one job. Many volumes, items and variables can name the same
/// object, so a small pod could ask for any number of copies.
pub const CARRIED_MAX: usize = 16 << 20;

/// A pod, what came with it, and the settings of the site.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its spec.
    pub spec: &'a PodSpec,
    /// What came with it.
    pub delivered: &'a Delivered,
    /// The site's settings.
    pub settings: &'a Settings,
    /// How many bytes its job has by now.
    pub carried: &'a Cell<usize>,
}

impl<'a> Context<'a> {
    /// The pod's namespace; empty where it has none.
    pub fn namespace(&self) -> &'a str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Counts bytes that the job has because of this field.
    pub fn carry(&self, bytes: usize, field: &str) -> Result<(), Refusal> {
        let all = self.carried.get() + bytes;
        self.carried.set(all);
        let most = CARRIED_MAX >> 20;
        let why = || {
            format!("is too much: files and variables of a pod have at most {most} MiB, each copy counted")
        };
        if all > CARRIED_MAX { Err(Refusal::new(field, why())) } else { Ok(()) }
    }

    /// All its containers, init containers first.
    pub fn containers(&self) -> Vec<&'a Container> {
        self.spec.init_containers.iter().flatten().chain(&self.spec.containers).collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
    use serde_json::{Value, json};

    use super::CARRIED_MAX;
    use crate::pod::delivered::{Delivered, Files};
    use crate::pod::{Settings, translate};

    /// Bytes of the object, and of the longest value.
    const SIZE: usize = 100_000;
    /// So many copies are too many.
    const COPIES: usize = CARRIED_MAX / SIZE + 1;

    fn refusal(spec: &Value) -> String {
        let mut delivered = Delivered::default();
        let object = json!({ "metadata": { "name": "o" }, "stringData": { "k": "x".repeat(SIZE) } });
        delivered.add_secret(serde_json::from_value::<Secret>(object).unwrap());
        let object = json!({ "metadata": { "name": "o" }, "data": { "k": "x".repeat(SIZE) } });
        delivered.add_config_map(serde_json::from_value::<ConfigMap>(object).unwrap());
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap();
        translate(&pod, &delivered, &Settings::default()).unwrap_err().to_string()
    }

    fn pod(volumes: Value, containers: impl Fn(usize) -> Value, copies: usize) -> Value {
        let containers: Vec<Value> = (0..copies)
            .map(|n| {
                let mut container = containers(n);
                container["name"] = format!("c{n}").into();
                container["image"] = "busybox".into();
                container
            })
            .collect();
        json!({ "restartPolicy": "Never", "volumes": volumes, "containers": containers })
    }

    /// Where each is compared with each this takes many minutes.
    #[test]
    fn a_pod_may_have_as_many_volumes_and_mounts_and_files_as_there_is_room_for() {
        const COUNT: usize = 30_000;
        let list = |one: &dyn Fn(usize) -> Value| (0..COUNT).map(one).collect::<Value>();
        let mut volumes = list(&|n| json!({ "name": format!("v{n}"), "emptyDir": {} }));
        let items = list(&|n| json!({ "key": format!("{n}"), "path": format!("s{n}") }));
        let fields =
            list(&|n| json!({ "path": format!("f{n}"), "fieldRef": { "fieldPath": "metadata.name" } }));
        let tokens = list(&|n| json!({ "serviceAccountToken": { "path": format!("t{n}") } }));
        let mut sources = vec![
            json!({ "secret": { "name": "o", "optional": true, "items": items } }),
            json!({ "secret": { "name": "o", "optional": true } }),
            json!({ "downwardAPI": { "items": fields } }),
        ];
        sources.extend(tokens.as_array().unwrap().clone());
        volumes[0] = json!({ "name": "v0", "projected": { "sources": sources } });
        let mounts = list(&|n| json!({ "name": format!("v{n}"), "mountPath": format!("/v{n}") }));
        let spec = pod(volumes, |_| json!({ "volumeMounts": mounts }), 1);
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap();
        let mut delivered = Delivered::default();
        let files =
            |letter: &str| (0..COUNT).map(|n| (format!("{letter}{n}"), Vec::new())).collect::<Files>();
        delivered.secrets.insert("o".to_owned(), files(""));
        delivered.projected.insert("v0".to_owned(), files("t"));
        let workload = translate(&pod, &delivered, &Settings::default()).unwrap().workload;
        assert_eq!((workload.volumes.len(), workload.containers[0].mounts.len()), (COUNT, COUNT));
    }

    #[test]
    fn copies_without_bytes_are_bounded_by_their_names() {
        let volumes = vec![json!({ "name": "v", "configMap": { "name": "o" } }); 10_000];
        let mounted = |_| json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] });
        let spec = pod(json!(volumes), mounted, 1);
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap();
        let mut delivered = Delivered::default();
        let files: Files = (0..10_000).map(|n| (format!("{n}"), Vec::new())).collect();
        delivered.config_maps.insert("o".to_owned(), files);
        let why = translate(&pod, &delivered, &Settings::default()).unwrap_err().to_string();
        assert!(why.ends_with("at most 16 MiB, each copy counted"), "{why}");
    }

    #[test]
    fn copies_of_what_came_once_are_bounded_whatever_makes_them() {
        let mounted = |_| json!({ "volumeMounts": [{ "name": "v", "mountPath": "/v" }] });
        let times = |value: &dyn Fn(usize) -> Value| (0..COPIES).map(value).collect::<Value>();
        let items = times(&|n| json!({ "key": "k", "path": format!("{n}") }));
        let projected = times(
            &|n| json!({ "secret": { "name": "o", "items": [{ "key": "k", "path": format!("{n}") }] } }),
        );
        let from = |_| json!({ "envFrom": [{ "configMapRef": { "name": "o" } }] });
        let keyed = |_| json!({ "env": [{ "name": "A", "valueFrom": { "secretKeyRef": { "name": "o", "key": "k" } } }] });
        let named = times(&|n| json!({ "name": format!("A{n}"), "value": "$(k)" }));
        let named = |_| json!({ "envFrom": [{ "configMapRef": { "name": "o" } }], "env": named });
        let words = |_| json!({ "envFrom": [{ "configMapRef": { "name": "o" } }], "args": vec!["$(k)"; 20] });
        for (spec, what) in [
            (
                pod(json!([{ "name": "v", "configMap": { "name": "o", "items": items } }]), mounted, 1),
                "items",
            ),
            (pod(json!([{ "name": "v", "projected": { "sources": projected } }]), mounted, 1), "projected"),
            (pod(json!([]), from, COPIES), "envFrom"),
            (pod(json!([]), keyed, COPIES), "valueFrom"),
            (pod(json!([]), named, 1), "env"),
            (pod(json!([]), words, COPIES / 20), "args"),
        ] {
            let why = refusal(&spec);
            assert!(why.ends_with("at most 16 MiB, each copy counted"), "{what}: {why}");
        }
    }
}
