//! Volumes of a pod → volumes of a job; one kind, one file.

mod claim;
mod downward_api;
mod empty_dir;
mod files;
mod host_path;
mod object;
mod projected;

use std::collections::{HashMap, HashSet};

use htc_core::workload::container::Mount;
use htc_core::workload::spec::{Volume, VolumeSource};
use k8s_openapi::api::core::v1 as k8s;

use super::context::Context;
use super::delivered::Kind;
use super::env::Variables;
use super::expand::expand;
use super::fields;
use super::refusal::{Refusal, refuse};

/// The volumes of a pod that a container mounts; nobody needs the others, and they may hold secrets.
pub fn translate(
    context: &Context<'_>,
    mounted: &[&Mount],
    notes: &mut Vec<String>,
) -> Result<Vec<Volume>, Refusal> {
    let mounted: HashSet<&str> = mounted.iter().map(|mount| mount.volume.as_str()).collect();
    let volumes = context.spec.volumes.iter().flatten().enumerate();
    let translated = volumes.map(|(n, volume)| {
        let at = format!("spec.volumes[{n}]");
        fields::check(fields::VOLUME, volume, &at, notes)?;
        if !mounted.contains(volume.name.as_str()) {
            return Ok(None);
        }
        let source = source(context, volume, &at)?;
        Ok(Some(Volume { name: volume.name.clone(), source }))
    });
    translated.filter_map(Result::transpose).collect()
}

fn source(context: &Context<'_>, volume: &k8s::Volume, at: &str) -> Result<VolumeSource, Refusal> {
    // The kinds that are not here are refused by the table.
    let k8s::Volume { config_map, csi, downward_api, empty_dir, host_path, name, .. } = volume;
    let k8s::Volume { persistent_volume_claim, projected, secret, .. } = volume;
    if let Some(source) = config_map {
        let k8s::ConfigMapVolumeSource { default_mode, items, name, optional } = source;
        let wanted = object::Wanted { kind: Kind::ConfigMap, name, items, optional: *optional };
        return object::volume(context, wanted, *default_mode, &format!("{at}.configMap"));
    }
    if let Some(source) = secret {
        let k8s::SecretVolumeSource { default_mode, items, optional, secret_name } = source;
        let name = secret_name.as_deref().unwrap_or_default();
        let wanted = object::Wanted { kind: Kind::Secret, name, items, optional: *optional };
        return object::volume(context, wanted, *default_mode, &format!("{at}.secret"));
    }
    if let Some(source) = projected {
        return projected::volume(context, name, source, &format!("{at}.projected"));
    }
    if let Some(source) = downward_api {
        return downward_api::volume(context, source, &format!("{at}.downwardAPI"));
    }
    if let Some(source) = host_path {
        return host_path::volume(context, source, &format!("{at}.hostPath"));
    }
    if let Some(source) = persistent_volume_claim {
        return claim::volume(context, source, &format!("{at}.persistentVolumeClaim"));
    }
    if let Some(source) = csi {
        return claim::cvmfs(source, &format!("{at}.csi"));
    }
    // A volume that names no kind is an emptyDir, as the API server has it.
    empty_dir::volume(empty_dir.as_ref(), &format!("{at}.emptyDir"))
}

/// The mounts of a container at the path `at`.
pub fn mounts(
    context: &Context<'_>,
    mounts: &[k8s::VolumeMount],
    variables: &Variables,
    at: &str,
) -> Result<Vec<Mount>, Refusal> {
    // Of two with one name the first counts.
    let volumes = context.spec.volumes.iter().flatten().rev();
    let volumes: HashMap<&str, &k8s::Volume> = volumes.map(|volume| (volume.name.as_str(), volume)).collect();
    let mount = |(n, mount): (usize, &k8s::VolumeMount)| {
        let at = format!("{at}.volumeMounts[{n}]");
        fields::check(fields::MOUNT, mount, &at, &mut Vec::new())?;
        // No `..`: what is forgotten here would be dropped in silence.
        let k8s::VolumeMount {
            mount_path,
            mount_propagation,
            name,
            read_only,
            recursive_read_only: _,
            sub_path,
            sub_path_expr,
        } = mount;
        if mount_propagation.as_deref().is_some_and(|p| p != "None") {
            return refuse(&at, "mountPropagation", "mounts of a container are its own");
        }
        if !mount_path.starts_with('/') || mount_path.contains('\0') {
            return refuse(&at, "mountPath", format!("{mount_path:?} is no absolute path"));
        }
        let Some(volume) = volumes.get(name.as_str()) else {
            return refuse(&at, "name", format!("the pod has no volume {name:?}"));
        };
        let sub_path = match (sub_path.as_deref().unwrap_or_default(), sub_path_expr.as_deref()) {
            ("", None | Some("")) => None,
            ("", Some(text)) => {
                let path = expand(text, |name| variables.get(name));
                context.carry(path.len(), &at)?;
                Some(files::relative(&path, &at, "subPathExpr")?)
            }
            (path, None | Some("")) => Some(files::relative(path, &at, "subPath")?),
            _ => return refuse(&at, "subPathExpr", "is set as well as subPath"),
        };
        Ok(Mount {
            volume: name.clone(),
            path: mount_path.clone(),
            sub_path,
            read_only: read_only.unwrap_or(false) || is_read_only(volume),
        })
    };
    mounts.iter().enumerate().map(mount).collect()
}

/// Kinds whose files nobody may write, as with a kubelet, and sources that say so themselves.
fn is_read_only(volume: &k8s::Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.csi.is_some()
        || volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true))
}
