//! What other InterLink plugins understand of a pod's annotations, as far as it can be done here: each is
//! carried, or said aloud to be left out. `docs/interlink.md` has the list for people.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, HostPathVolumeSource, Pod, PodSpec, Volume};

use crate::pod::Refusal;

/// Put before images that are paths.
pub const IMAGE_ROOT: &[&str] = &[
    "htcondor-job.vk.io/image-root",
    "htcondor-job.knoc.io/image-root",
    "slurm-job.vk.io/image-root",
    "slurm-job.knoc.io/image-root",
];

/// `cvmfs.vk.io/<volume>`: that volume is this part of CVMFS.
pub const CVMFS: &str = "cvmfs.vk.io/";

/// The pod's address in a virtual private network, and where to look for it.
pub const VPN: (&str, &str) = ("interlink.eu/pod-vpn", "interlink.eu/pod-ip");

/// Annotations, or the beginnings of them, that are left out, and why.
pub const IGNORED: &[(&str, &str)] = &[
    ("fuse.vk.io/", "jobs mount no file systems of their own"),
    ("htcondor-job.vk.io/singularity-options", "how containers run is decided here"),
    ("interlink.eu/wireguard-client-snippet", "jobs are not part of the cluster's network"),
    ("interlink.eu/wg-", "jobs are not part of the cluster's network"),
    ("interlink.eu/wstunnel-client-commands", "jobs open no tunnels to the cluster"),
    ("interlink.eu/wstunnel-extra-ports", "jobs open no tunnels to the cluster"),
    ("slurm-job.vk.io/enroot-", "containers run by apptainer"),
    ("slurm-job.vk.io/flags", "it is for Slurm"),
    ("slurm-job.vk.io/flavor", "it is for Slurm"),
    ("slurm-job.vk.io/mpi-flags", "it is for Slurm"),
    ("slurm-job.vk.io/pre-exec", "nothing is run on the worker before the containers"),
    ("slurm-job.vk.io/singularity-mounts", "a volume of the kind hostPath does the same"),
    ("slurm-job.vk.io/singularity-options", "how containers run is decided here"),
];

/// The toleration by which condorce chooses a pool, and the label by which it chooses a user's cache.
pub const CONDORCE: (&str, &str) = ("pool.vk.io", "user");

/// Bytes of all copies of one annotation, of which each container has one.
const COPIED_MAX: usize = 1 << 20;

/// Carries what can be carried into the pod itself; what cannot is added to `notes`.
pub fn apply(pod: &mut Pod, notes: &mut Vec<String>) -> Result<(), Refusal> {
    let Some(spec) = &mut pod.spec else { return Ok(()) };
    if spec.tolerations.iter().flatten().any(|known| known.key.as_deref() == Some(CONDORCE.0)) {
        notes.push(format!("the toleration {} is ignored: an operator has one pool", CONDORCE.0));
    }
    if pod.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(CONDORCE.1)) {
        notes.push(format!("the label {} is ignored: jobs run as the pool's user", CONDORCE.1));
    }
    let all = pod.metadata.annotations.clone().unwrap_or_default();
    if let Some((name, root)) = IMAGE_ROOT.iter().find_map(|name| Some((name, all.get(*name)?))) {
        check_copied(spec, name, root)?;
        containers(spec).for_each(|container| under_root(container, root));
    }
    if let (true, Some(address)) = (all.contains_key(VPN.0), all.get(VPN.1)) {
        check_copied(spec, VPN.1, address)?;
        for container in containers(spec) {
            let ip = EnvVar { name: "POD_IP".to_owned(), value: Some(address.clone()), value_from: None };
            container.env.get_or_insert_default().push(ip);
        }
    }
    let volumes = spec.volumes.as_deref_mut().unwrap_or_default();
    // Of two with one name the first counts.
    let places = volumes.iter().enumerate().rev().map(|(n, volume)| (volume.name.clone(), n));
    let places: HashMap<String, usize> = places.collect();
    for (name, value) in &all {
        if let Some(volume) = name.strip_prefix(CVMFS) {
            let path = cvmfs_path(value).ok_or_else(|| {
                let why = format!("{value:?} is no repository of CVMFS, nor a path in one");
                Refusal::new(format!("metadata.annotations[{name}]"), why)
            })?;
            match places.get(volume) {
                Some(&place) => volumes[place] = host_path(volume, path),
                None => notes.push(format!("the annotation {name} is ignored: the pod has no such volume")),
            }
        }
        if let Some((_, why)) = IGNORED.iter().find(|(ignored, _)| is_named(name, ignored)) {
            notes.push(format!("the annotation {name} is ignored: {why}"));
        }
    }
    Ok(())
}

/// Each container has a copy of it.
fn check_copied(spec: &mut PodSpec, name: &str, value: &str) -> Result<(), Refusal> {
    match containers(spec).count().saturating_mul(value.len()) <= COPIED_MAX {
        true => Ok(()),
        false => Err(Refusal::new(
            format!("metadata.annotations[{name}]"),
            "is too long: each container has a copy, and all together at most 1 MiB",
        )),
    }
}

/// Whether an annotation is meant by a row, which may be only its beginning.
fn is_named(name: &str, row: &str) -> bool {
    name == row || (row.ends_with(['/', '-']) && name.starts_with(row))
}

fn containers(spec: &mut PodSpec) -> impl Iterator<Item = &mut Container> {
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers)
}

fn under_root(container: &mut Container, root: &str) {
    if let Some(image) = container.image.as_mut().filter(|image| image.starts_with('/')) {
        *image = format!("{}{image}", root.trim_end_matches('/'));
    }
}

/// `sft.cern.ch`, `sft.cern.ch/lcg`, `/cvmfs/sft.cern.ch`, or nothing for all of it.
fn cvmfs_path(value: &str) -> Option<String> {
    let value = value.trim().trim_matches('/');
    let inside = value.strip_prefix("cvmfs").map_or(value, |rest| rest.trim_start_matches('/'));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/+".contains(c);
    let fine = inside.chars().all(plain) && inside.split('/').all(|part| part != ".." && part != ".");
    fine.then(|| format!("/cvmfs/{inside}").trim_end_matches('/').to_owned())
}

fn host_path(name: &str, path: String) -> Volume {
    let source = HostPathVolumeSource { path, type_: None };
    Volume { name: name.to_owned(), host_path: Some(source), ..Volume::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(annotations: serde_json::Value) -> Result<(Pod, Vec<String>), Refusal> {
        let pod = json!({
            "metadata": { "annotations": annotations },
            "spec": {
                "volumes": [{ "name": "sw", "emptyDir": {} }],
                "initContainers": [{ "name": "i", "image": "/images/i" }],
                "containers": [{ "name": "a", "image": "/images/a" }, { "name": "b", "image": "busybox" }],
            },
        });
        let mut pod: Pod = serde_json::from_value(pod).unwrap();
        let mut notes = Vec::new();
        apply(&mut pod, &mut notes)?;
        Ok((pod, notes))
    }

    #[test]
    fn an_image_root_stands_before_images_that_are_paths() {
        for name in IMAGE_ROOT {
            let (pod, notes) = applied(json!({ *name: "/cvmfs/unpacked.cern.ch/" })).unwrap();
            let mut spec = pod.spec.unwrap();
            let images: Vec<_> = containers(&mut spec).map(|c| c.image.clone().unwrap()).collect();
            let expected =
                ["/cvmfs/unpacked.cern.ch/images/i", "/cvmfs/unpacked.cern.ch/images/a", "busybox"];
            assert_eq!((images, notes), (expected.map(str::to_owned).to_vec(), vec![]));
        }
    }

    #[test]
    fn what_every_container_has_a_copy_of_is_not_long() {
        let long = "x".repeat(COPIED_MAX / 2);
        for annotations in [json!({ IMAGE_ROOT[0]: long }), json!({ VPN.0: "on", VPN.1: long })] {
            let why = applied(annotations).unwrap_err().to_string();
            assert!(why.contains("is too long: each container has a copy"), "{why}");
        }
    }

    #[test]
    fn a_volume_becomes_the_part_of_cvmfs_that_its_annotation_names() {
        for (value, expected) in [
            ("sft.cern.ch", "/cvmfs/sft.cern.ch"),
            ("/cvmfs/sft.cern.ch/lcg", "/cvmfs/sft.cern.ch/lcg"),
            ("", "/cvmfs"),
        ] {
            let (pod, _) = applied(json!({ "cvmfs.vk.io/sw": value })).unwrap();
            let volume = pod.spec.unwrap().volumes.unwrap().remove(0);
            assert_eq!(volume.host_path.unwrap().path, expected);
            assert_eq!(volume.empty_dir, None);
        }
        for bad in ["../etc", "a;b", "x/../../etc"] {
            assert!(applied(json!({ "cvmfs.vk.io/sw": bad })).is_err(), "{bad:?}");
        }
        let (_, notes) = applied(json!({ "cvmfs.vk.io/other": "sft.cern.ch" })).unwrap();
        assert!(notes[0].contains("no such volume"), "{notes:?}");
    }

    #[test]
    fn an_address_of_a_virtual_network_is_a_variable() {
        let (pod, _) = applied(json!({ VPN.0: "x", VPN.1: "10.0.0.1" })).unwrap();
        let env = pod.spec.unwrap().containers[1].env.clone().unwrap();
        assert_eq!((env[0].name.as_str(), env[0].value.as_deref()), ("POD_IP", Some("10.0.0.1")));
        let (pod, _) = applied(json!({ VPN.1: "10.0.0.1" })).unwrap();
        assert_eq!(pod.spec.unwrap().containers[0].env, None);
    }

    #[test]
    fn what_cannot_be_done_is_said_and_what_is_not_known_is_not_mentioned() {
        for (row, why) in IGNORED {
            let name = if row.ends_with(['/', '-']) { format!("{row}x") } else { (*row).to_owned() };
            let (_, notes) = applied(json!({ name.clone(): "y" })).unwrap();
            assert_eq!(notes, [format!("the annotation {name} is ignored: {why}")]);
        }
        assert_eq!(applied(json!({ "example.org/x": "y", "JobID": "1" })).unwrap().1, [""; 0]);
    }

    #[test]
    fn what_condorce_reads_besides_annotations_is_said_to_be_left_out() {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": { "labels": { "user": "alice", "app": "x" } },
            "spec": {
                "containers": [{ "name": "a" }],
                "tolerations": [
                    { "key": "virtual-node.interlink/no-schedule", "operator": "Exists" },
                    { "key": "pool.vk.io", "operator": "Equal", "value": "cern", "effect": "NoSchedule" },
                ],
            },
        }))
        .unwrap();
        let before = pod.clone();
        let mut notes = Vec::new();
        apply(&mut pod, &mut notes).unwrap();
        let begins = ["the toleration pool.vk.io is ignored", "the label user is ignored"];
        assert!(
            notes.len() == 2 && notes.iter().zip(begins).all(|(note, begin)| note.starts_with(begin)),
            "{notes:?}"
        );
        assert_eq!(pod, before, "nothing else of it changes");
    }

    #[test]
    fn the_documentation_has_all_of_them() {
        let text = include_str!("../../docs/interlink.md");
        let all = IMAGE_ROOT.iter().chain(IGNORED.iter().map(|(name, _)| name));
        for name in all.chain([&CVMFS, &VPN.0, &VPN.1, &CONDORCE.0, &CONDORCE.1]) {
            assert!(text.contains(&format!("`{name}")), "docs/interlink.md has no row for {name}");
        }
    }
}
