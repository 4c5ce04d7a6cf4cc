//! What every test stands on: one operator with everything of its own on the shared bed, and verbs
//! for both sides, Kubernetes and HTCondor.

mod bed;
mod cluster;
mod http;
mod jobs;
mod operator;
mod patience;
mod pool;
mod proxy;
mod stranger;
mod sweep;
pub mod table;
mod tools;

pub use bed::{Bed, on_bed, with_operator};
pub use cluster::{Job, client};
pub use jobs::{example, host, image};
pub use operator::kubectl;
pub use patience::{throughout, until};
pub use pool::{AWAY, HERE, tool};
pub use proxy::{Fault, Proxy};
pub use stranger::BOB;
pub use tools::{DYING_SUBMIT, FAILING_SUBMIT, SLOW_SUBMIT};

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the test bed, as testbed/README.md has it.
pub fn bed_folder() -> PathBuf {
    std::env::var_os("HTC_BED").map_or_else(|| "/var/cache/htc-operator".into(), PathBuf::from)
}

/// A kubeconfig of the bed: `admin` for the harness, `operator` for the operator.
pub fn kubeconfig(who: &str) -> PathBuf {
    bed_folder().join(format!("state/kube/{who}.conf"))
}

/// The repository, which is seen inside under the same path.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder of the repository: name and text.
pub fn files_below(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository().join(folder)).unwrap().map(|entry| entry.unwrap()) {
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files_below(&name));
        } else {
            found.push((name, fs::read_to_string(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}
