//! What every test stands on: one operator with everything of its own on the shared bed, and verbs
//! for both sides, Kubernetes and HTCondor.

mod bed;
mod cluster;
mod http;
mod jobs;
mod operator;
mod patience;
mod pool;
mod sweep;

pub use bed::{Bed, on_bed, with_operator};
pub use cluster::{Job, client};
pub use jobs::{example, host, image};
pub use operator::kubectl;
pub use patience::until;
pub use pool::{AWAY, HERE};

use std::path::PathBuf;

/// The folder of the test bed, as testbed/README.md has it.
pub fn bed_folder() -> PathBuf {
    std::env::var_os("HTC_BED").map_or_else(|| "/var/cache/htc-operator".into(), PathBuf::from)
}

/// A kubeconfig of the bed: `admin` for the harness, `operator` for the operator.
pub fn kubeconfig(who: &str) -> PathBuf {
    bed_folder().join(format!("state/kube/{who}.conf"))
}
