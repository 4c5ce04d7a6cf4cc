//! Storage that workers see under a path: claims that the site maps, and CVMFS.

use htc_core::workload::spec::{HostKind, VolumeSource};
use k8s_openapi::api::core::v1::{CSIVolumeSource, PersistentVolumeClaimVolumeSource};

use super::files;
use crate::pod::context::Context;
use crate::pod::refusal::{Refusal, refuse};

/// The driver of <https://github.com/cvmfs-contrib/cvmfs-csi>.
const CVMFS_DRIVER: &str = "cvmfs.csi.cern.ch";
const CVMFS: &str = "/cvmfs";

/// The path that the settings give for a claim.
pub fn volume(
    context: &Context<'_>,
    source: &PersistentVolumeClaimVolumeSource,
    at: &str,
) -> Result<VolumeSource, Refusal> {
    let PersistentVolumeClaimVolumeSource { claim_name, read_only: _ } = source;
    let key = format!("{}/{claim_name}", context.namespace());
    match context.settings.claims.get(&key) {
        Some(path) => Ok(at_site(path.clone())),
        None => refuse(at, "claimName", format!("the site maps no path of the workers to the claim {key}")),
    }
}

/// CVMFS by its CSI driver: the workers have it themselves.
pub fn cvmfs(source: &CSIVolumeSource, at: &str) -> Result<VolumeSource, Refusal> {
    let CSIVolumeSource { driver, fs_type: _, node_publish_secret_ref: _, read_only: _, volume_attributes } =
        source;
    if driver != CVMFS_DRIVER {
        let why = format!("{driver:?} has no meaning on a worker; only {CVMFS_DRIVER} does, or map a claim");
        return refuse(at, "driver", why);
    }
    let repository = volume_attributes.as_ref().and_then(|attributes| attributes.get("repository"));
    let path = match repository {
        None => CVMFS.to_owned(),
        Some(name) => {
            let name = files::relative(name, at, "volumeAttributes[repository]")?;
            format!("{CVMFS}/{name}")
        }
    };
    Ok(at_site(path))
}

/// A folder that the site names.
fn at_site(path: String) -> VolumeSource {
    VolumeSource::Host { path, optional: false, kind: HostKind::Directory, below: Vec::new() }
}
