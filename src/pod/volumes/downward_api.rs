//! `downwardAPI`: files with fields of the pod.
//!
//! <https://kubernetes.io/docs/concepts/storage/volumes/#downwardapi>

use htc_core::workload::spec::{File, VolumeSource};
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, DownwardAPIVolumeSource};

use super::files;
use crate::pod::context::Context;
use crate::pod::downward;
use crate::pod::refusal::Refusal;

/// The volume.
pub fn volume(
    context: &Context<'_>,
    source: &DownwardAPIVolumeSource,
    at: &str,
) -> Result<VolumeSource, Refusal> {
    let DownwardAPIVolumeSource { default_mode, items } = source;
    let mode = files::mode(default_mode.unwrap_or(files::MODE), at, "defaultMode")?;
    of_items(context, items.as_deref().unwrap_or_default(), mode, at).map(VolumeSource::Files)
}

/// The files of these items.
pub fn of_items(
    context: &Context<'_>,
    items: &[DownwardAPIVolumeFile],
    default_mode: u32,
    at: &str,
) -> Result<Vec<File>, Refusal> {
    let file = |(n, item): (usize, &DownwardAPIVolumeFile)| {
        let at = format!("{at}.items[{n}]");
        let DownwardAPIVolumeFile { field_ref, mode, path, resource_field_ref } = item;
        let text = match (field_ref, resource_field_ref) {
            (Some(field), _) => downward::field(context.pod, field, &format!("{at}.fieldRef"))?,
            (None, Some(resource)) => {
                let at = format!("{at}.resourceFieldRef");
                downward::resource(&context.containers(), None, resource, &at)?
            }
            (None, None) => return Err(Refusal::new(at, "names no field")),
        };
        context.carry(path.len() + text.len(), &at)?;
        let mode = mode.map_or(Ok(default_mode), |mode| files::mode(mode, &at, "mode"))?;
        Ok(File { path: files::relative(path, &at, "path")?, mode, data: text.into_bytes() })
    };
    items.iter().enumerate().map(file).collect()
}
