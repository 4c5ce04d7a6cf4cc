//! `hostPath`: a path of the worker, where the site allows it.
//!
//! <https://kubernetes.io/docs/concepts/storage/volumes/#hostpath>

use std::path::Path;

use htc_core::workload::spec::{HostKind, VolumeSource};
use k8s_openapi::api::core::v1::HostPathVolumeSource;

use crate::pod::context::Context;
use crate::pod::refusal::{Refusal, refuse};

/// The volume.
pub fn volume(
    context: &Context<'_>,
    source: &HostPathVolumeSource,
    at: &str,
) -> Result<VolumeSource, Refusal> {
    let HostPathVolumeSource { path, type_ } = source;
    let kind = match type_.as_deref().unwrap_or_default() {
        "" => HostKind::Any,
        "DirectoryOrCreate" => HostKind::DirectoryOrCreate,
        "Directory" => HostKind::Directory,
        "FileOrCreate" => HostKind::FileOrCreate,
        "File" => HostKind::File,
        "Socket" => HostKind::Socket,
        "CharDevice" => HostKind::CharDevice,
        "BlockDevice" => HostKind::BlockDevice,
        other => return refuse(at, "type", format!("{other:?} is no type")),
    };
    let allowed = &context.settings.host_paths;
    let plain = path.starts_with('/') && !path.contains('\0') && !path.split('/').any(|part| part == "..");
    // By whole parts: /data2 is not below /data.
    if !plain || !allowed.iter().any(|allowed| Path::new(path).starts_with(allowed)) {
        let list = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
        return refuse(at, "path", format!("{path:?} is not among the paths that the site allows: {list}"));
    }
    // The worker compares again, with all links followed.
    Ok(VolumeSource::Host { path: path.clone(), optional: false, kind, below: allowed.clone() })
}
