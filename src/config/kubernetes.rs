//! Kubernetes.

use clap::Args;

use super::path;

/// Where the Lease is where nobody says otherwise: the namespace of `deploy/`.
pub const LEASE_NAMESPACE: &str = "htc-operator";
/// Paths of the workers for images of HTCJobs where nobody says otherwise.
pub const IMAGE_PATHS: &str = "/cvmfs";
/// Folders of the workers that containers see where nobody says otherwise.
pub const SITE_FOLDERS: &str = "/cvmfs,/afs,/eos";

/// Kubernetes, which is found as kubectl finds it: KUBECONFIG, ~/.kube/config, or the pod's account.
#[derive(Args, Clone, Debug)]
pub struct KubernetesSettings {
    /// Only these namespaces, separated by commas; by default all.
    #[arg(long, env = "HTC_WATCH_NAMESPACE", value_delimiter = ',')]
    pub watch_namespace: Vec<String>,

    /// The namespace of the Lease by which a second operator with the same instance id finds that another one runs.
    /// Whoever could have the same instance id must have the same here.
    #[arg(long, env = "HTC_LEASE_NAMESPACE", default_value = LEASE_NAMESPACE)]
    pub lease_namespace: String,

    /// Attributes of jobs that users may not set by `+Name`, besides those that nobody may, separated
    /// by commas; a `*` at an end stands for anything.
    #[arg(long, env = "HTC_DENY_ATTRIBUTES", value_delimiter = ',')]
    pub deny_attributes: Vec<String>,

    /// Attributes of jobs that users may set although HTCondor knows them, such as KeepClaimIdle, separated by
    /// commas; a `*` at an end stands for anything. What is the operator's own or about credentials stays
    /// denied, and what is denied above as well. `JobPrio` allows priorities above 0.
    #[arg(long, env = "HTC_ALLOW_ATTRIBUTES", value_delimiter = ',')]
    pub allow_attributes: Vec<String>,

    /// Namespaces whose HTCJobs may use the image `host`, which runs on the worker without a container,
    /// separated by commas; `*` for all, by default none.
    #[arg(long, env = "HTC_HOST_IMAGE_NAMESPACES", value_delimiter = ',')]
    pub host_image_namespaces: Vec<String>,

    /// Paths of the workers that an HTCJob's image may be or lie below, links followed, separated by commas;
    /// `/` for any path.
    #[arg(long, env = "HTC_IMAGE_PATHS", value_delimiter = ',', default_value = IMAGE_PATHS,
          value_parser = path)]
    pub image_paths: Vec<String>,

    /// Folders that every container of an HTCJob sees, and may write as far as the job's account may, where
    /// the worker has them, separated by commas.
    #[arg(long, env = "HTC_SITE_FOLDERS", value_delimiter = ',', default_value = SITE_FOLDERS,
          value_parser = path)]
    pub site_folders: Vec<String>,

    /// Follow jobs of the predecessor that only the status of an HTCJob names, and no row of its database.
    /// Who may write `htcjobs/status` could then have any job of our account removed.
    #[arg(long, env = "HTC_INHERIT_FROM_STATUS")]
    pub inherit_from_status: bool,
}
