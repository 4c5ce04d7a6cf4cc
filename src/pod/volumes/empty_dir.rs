//! `emptyDir`: a folder that goes with the pod.
//!
//! <https://kubernetes.io/docs/concepts/storage/volumes/#emptydir>

use htc_core::workload::spec::VolumeSource;
use k8s_openapi::api::core::v1::EmptyDirVolumeSource;

use crate::pod::quantity::Quantity;
use crate::pod::refusal::{Refusal, refuse};

/// The volume.
pub fn volume(source: Option<&EmptyDirVolumeSource>, at: &str) -> Result<VolumeSource, Refusal> {
    let Some(EmptyDirVolumeSource { medium, size_limit }) = source else {
        return Ok(VolumeSource::Empty { memory: false, limit: None });
    };
    let memory = match medium.as_deref().unwrap_or_default() {
        "" => false,
        "Memory" => true,
        other => return refuse(at, "medium", format!("{other:?} is not supported; Memory is")),
    };
    let limit = match size_limit {
        None => None,
        Some(limit) => {
            let limit = limit.0.parse().ok().and_then(Quantity::ceil);
            Some(limit.ok_or_else(|| Refusal::new(format!("{at}.sizeLimit"), "is no number of bytes"))?)
        }
    };
    // 0 limits nothing, as with a kubelet.
    Ok(VolumeSource::Empty { memory, limit: limit.filter(|&bytes| bytes > 0) })
}
