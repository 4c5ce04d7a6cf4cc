//! What is kept of a pod that was refused: the names of its containers, to answer questions by.

use htc_core::workload::Workload;
use htc_core::workload::container::{Container, Image, Program, Pull};
use k8s_openapi::api::core::v1 as k8s;

use crate::pod::in_brief;

/// A workload with the containers of a pod, of which nothing will ever run.
pub fn workload(pod: &k8s::Pod) -> Workload {
    let spec = pod.spec.as_ref();
    let list = |list: &[k8s::Container]| list.iter().map(container).collect();
    Workload {
        name: pod.metadata.name.clone().unwrap_or_default(),
        indices: 1,
        init_containers: list(spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default()),
        containers: list(spec.map(|spec| &*spec.containers).unwrap_or_default()),
        volumes: Vec::new(),
        grace_seconds: 0,
        folder_variable: None,
        restart_after_eviction: false,
        deadline_seconds: None,
        hostname: None,
        registries: Vec::new(),
        image_paths: Vec::new(),
        submit: Vec::new(),
    }
}

fn container(container: &k8s::Container) -> Container {
    Container {
        name: container.name.clone(),
        image: Image::Apptainer(in_brief(container.image.clone().unwrap_or_default())),
        pull: Pull::default(),
        program: Program::EntryPoint(Vec::new()),
        env: Vec::new(),
        working_dir: None,
        mounts: Vec::new(),
        termination_message: None,
    }
}
