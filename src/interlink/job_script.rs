//! What callers would decide about how a job runs: a script in the place of its containers, and settings
//! of the API server.

use htc_core::workload::Workload;
use htc_core::workload::container::{Arg, Container, Image, Mount, Program, Pull};
use htc_core::workload::spec::{File, Volume, VolumeSource};
use serde_json::Value;

use crate::pod::Refusal;

/// No volume of a pod has a colon in its name.
const VOLUME: &str = "interlink:script";
const FILE: &str = "script";
const PLACE: &str = "/htc_job_script";

/// Runs the script on the worker in the place of all containers, where that is allowed.
pub fn replace(workload: &mut Workload, script: &str, allowed: bool) -> Result<(), Refusal> {
    if !allowed {
        let why = "came with the pod, and scripts that replace the containers are not run here; leave the \
                   job-script builder out, or ask the site's administrator to allow them";
        return Err(Refusal::new("jobScript", why));
    }
    let mount = Mount {
        volume: VOLUME.to_owned(),
        path: PLACE.to_owned(),
        sub_path: Some(FILE.to_owned()),
        read_only: true,
    };
    let shell = (!script.starts_with("#!")).then(|| Arg::from("/bin/sh"));
    let words = shell.into_iter().chain([Arg::Mount(PLACE.to_owned())]).collect();
    let first = workload.containers.drain(..).next();
    let (name, env) = first.map(|first| (first.name, first.env)).unwrap_or_default();
    workload.containers = vec![Container {
        name,
        image: Image::Host,
        pull: Pull::default(),
        program: Program::Words(words),
        env,
        working_dir: None,
        mounts: vec![mount],
        termination_message: None,
    }];
    workload.init_containers.clear();
    let file = File { path: FILE.to_owned(), mode: 0o555, data: script.as_bytes().to_vec() };
    workload.volumes = vec![Volume { name: VOLUME.to_owned(), source: VolumeSource::Files(vec![file]) }];
    Ok(())
}

/// What of a `jobConfig` is set and has no effect, a sentence each. Values may be secrets.
pub fn ignored(config: &Value) -> Vec<String> {
    let groups = config.as_object().into_iter().flatten();
    let fields = groups.flat_map(|(group, fields)| {
        let set = fields.as_object().into_iter().flatten().filter(|(_, value)| is_set(value));
        set.map(move |(field, _)| format!("{group}.{field}"))
    });
    fields.map(|field| format!("jobConfig.{field} is ignored: how containers run is decided here")).collect()
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::super::refused;
    use super::*;

    fn workload() -> Workload {
        let containers = json!([{ "name": "a" }, { "name": "b" }]);
        let pod = json!({ "spec": { "initContainers": [{ "name": "i" }], "containers": containers } });
        refused::workload(&serde_json::from_value::<Pod>(pod).unwrap())
    }

    #[test]
    fn a_script_is_refused_unless_the_site_allows_it() {
        let why = replace(&mut workload(), "#!/bin/sh\ntrue\n", false).unwrap_err().to_string();
        assert!(why.starts_with("jobScript: came with the pod") && !why.contains('\n'), "{why}");
    }

    #[test]
    fn a_script_takes_the_place_of_all_containers() {
        for (script, words) in [
            ("#!/bin/bash\ntrue\n", vec![Arg::Mount(PLACE.to_owned())]),
            ("true\n", vec![Arg::from("/bin/sh"), Arg::Mount(PLACE.to_owned())]),
        ] {
            let mut workload = workload();
            replace(&mut workload, script, true).unwrap();
            assert!(workload.init_containers.is_empty());
            let [only] = &workload.containers[..] else { panic!("one container") };
            assert_eq!((only.name.as_str(), &only.image), ("a", &Image::Host));
            assert_eq!(only.program, Program::Words(words));
            let [Volume { source: VolumeSource::Files(files), .. }] = &workload.volumes[..] else { panic!() };
            assert_eq!((files[0].data.as_slice(), files[0].mode), (script.as_bytes(), 0o555));
        }
    }

    #[test]
    fn settings_of_the_api_server_are_named_without_their_values() {
        let config = json!({
            "SingularityHubProxy": { "server": "", "master_token": "hush", "cache_validity_seconds": 0 },
            "ApptainerOptions": { "fakeroot": true, "executable": "", "noHome": false },
            "Volumes": { "additional_directories_in_path": null, "fuse_sleep_seconds": 5 },
        });
        let notes = ignored(&config);
        let named: Vec<&str> = notes.iter().filter_map(|note| note.split(' ').next()).collect();
        let expected =
            ["ApptainerOptions.fakeroot", "SingularityHubProxy.master_token", "Volumes.fuse_sleep_seconds"];
        assert_eq!(named, expected.map(|field| format!("jobConfig.{field}")));
        assert!(!notes.concat().contains("hush"));
        assert_eq!(ignored(&Value::Null), [""; 0]);
    }
}
