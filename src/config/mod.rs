//! Settings: every flag has an environment variable. The only reader of our environment.

pub mod callers;
pub mod crash;
mod environment;
mod jobs;
mod kubernetes;
mod pods;
mod pool;
mod reports;
pub mod standalone;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub use callers::CallerSettings;
pub use environment::{beside_us, state_folder, tool_environment, variables};
pub use jobs::{ImageSettings, OutputSettings};
pub use kubernetes::{IMAGE_PATHS, KubernetesSettings, LEASE_NAMESPACE, SITE_FOLDERS};
pub use pods::PodSettings;
pub use pool::PoolSettings;
pub use reports::{EVENTS_LISTEN, EventsSettings};
pub use standalone::StandaloneSettings;

/// Where health is served where nobody says otherwise: probes come from outside of a pod.
pub const HEALTH_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8081);

/// Settings of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where we keep what must outlive us.
    #[command(flatten)]
    pub data: DataSettings,
    /// What every kind of operator has.
    #[command(flatten)]
    pub operator: OperatorSettings,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesSettings,

    /// The file with the keys that sign reports: lines of `<key id>:<base64 of 32 bytes or more>`; the
    /// first signs, all are accepted.
    #[arg(long, env = "HTC_MASTER_KEY_FILE")]
    pub master_key_file: PathBuf,
}

/// Settings of every kind of operator: with Kubernetes and without.
#[derive(Args, Clone, Debug)]
pub struct OperatorSettings {
    /// The HTCondor pool.
    #[command(flatten)]
    pub pool: PoolSettings,
    /// What jobs bring home.
    #[command(flatten)]
    pub outputs: OutputSettings,
    /// Reports of jobs.
    #[command(flatten)]
    pub events: EventsSettings,
    /// Images of containers.
    #[command(flatten)]
    pub images: ImageSettings,
    /// What the site decides about pods.
    #[command(flatten)]
    pub pods: PodSettings,
    /// The InterLink endpoint.
    #[command(flatten)]
    pub callers: CallerSettings,

    /// Marks our jobs in the queue. By default the UID of the namespace kube-system; without Kubernetes one
    /// is made at the first start. Two operators must never have the same.
    #[arg(long, env = "HTC_INSTANCE")]
    pub instance: Option<String>,

    /// The static in-job program; by default `htc-sender` beside this program.
    #[arg(long, env = "HTC_SENDER")]
    pub sender: Option<PathBuf>,

    /// Where health, readiness and metrics are served; by default 0.0.0.0:8081, and with `interlink`
    /// 127.0.0.1:8081.
    #[arg(long, env = "HTC_HEALTH_LISTEN")]
    pub health_listen: Option<SocketAddr>,
}

/// Where we keep what must outlive us.
#[derive(Args, Clone, Debug)]
pub struct DataSettings {
    /// The data folder: database, job folders, control socket. On a local disk, for us alone.
    #[arg(long, env = "HTC_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// A path of a setting: absolute, plain, and without a slash at its end unless it is the root. Nothing is
/// taken as it is: so a list can be made empty.
fn path(text: &str) -> Result<String, &'static str> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    match text.is_empty() || (text.starts_with('/') && !parts.iter().any(|part| matches!(*part, "." | "..")))
    {
        true if text.is_empty() => Ok(String::new()),
        true => Ok(format!("/{}", parts.join("/"))),
        false => Err("it must be an absolute path without `.` and `..`"),
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
