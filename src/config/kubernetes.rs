//! Kubernetes.

use clap::Args;

/// Kubernetes, which is found as kubectl finds it: KUBECONFIG, ~/.kube/config, or the pod's account.
#[derive(Args, Clone, Debug)]
pub struct KubernetesSettings {
    /// Only these namespaces, separated by commas; by default all.
    #[arg(long, env = "HTC_WATCH_NAMESPACE", value_delimiter = ',')]
    pub watch_namespace: Vec<String>,

    /// Attributes of jobs that users may not set by `+Name`, besides those that nobody may, separated
    /// by commas; a `*` at an end stands for anything.
    #[arg(long, env = "HTC_DENY_ATTRIBUTES", value_delimiter = ',')]
    pub deny_attributes: Vec<String>,

    /// Attributes of jobs that users may set although HTCondor knows them, such as KeepClaimIdle, separated by
    /// commas; a `*` at an end stands for anything. What is the operator's own or about credentials stays
    /// denied, and what is denied above as well. `JobPrio` allows priorities above 0.
    #[arg(long, env = "HTC_ALLOW_ATTRIBUTES", value_delimiter = ',')]
    pub allow_attributes: Vec<String>,
}
