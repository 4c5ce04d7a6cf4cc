//! What every part of the translation of one pod needs.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::Settings;
use super::delivered::Delivered;

/// A pod, what came with it, and the settings of the site.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its spec.
    pub spec: &'a PodSpec,
    /// What came with it.
    pub delivered: &'a Delivered,
    /// The site's settings.
    pub settings: &'a Settings,
}

impl<'a> Context<'a> {
    /// The pod's namespace; empty where it has none.
    pub fn namespace(&self) -> &'a str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// All its containers, init containers first.
    pub fn containers(&self) -> Vec<&'a Container> {
        self.spec.init_containers.iter().flatten().chain(&self.spec.containers).collect()
    }
}
