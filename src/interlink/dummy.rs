//! `--dummy-job`: each pod is a job that only sleeps, so that a chain of callers can be tried without
//! images.

use htc_core::workload::Workload;
use htc_core::workload::container::{Container, Image, Program, Pull};

/// Seconds: long enough to be seen running.
const SLEEP: &str = "60";

/// Lets every container sleep, and every init container do nothing.
pub fn replace(workload: &mut Workload) {
    let idle = |containers: &mut Vec<Container>, words: &[&str]| {
        for container in containers {
            *container = Container {
                name: std::mem::take(&mut container.name),
                image: Image::Host,
                pull: Pull::default(),
                program: Program::Words(words.iter().map(|word| (*word).into()).collect()),
                env: Vec::new(),
                working_dir: None,
                mounts: Vec::new(),
                termination_message: None,
            };
        }
    };
    idle(&mut workload.init_containers, &["true"]);
    idle(&mut workload.containers, &["sleep", SLEEP]);
    workload.volumes.clear();
    workload.registries.clear();
}
