//! Settings: every flag has an environment variable. The only reader of our environment.

pub mod crash;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Settings of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where we keep what must outlive us.
    #[command(flatten)]
    pub data: DataSettings,
    /// The HTCondor pool.
    #[command(flatten)]
    pub pool: PoolSettings,
    /// Reports of jobs.
    #[command(flatten)]
    pub events: EventsSettings,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesSettings,

    /// Marks our jobs in the queue. By default the UID of the namespace kube-system. Two operators
    /// must never have the same.
    #[arg(long, env = "HTC_INSTANCE")]
    pub instance: Option<String>,

    /// The file with the keys that sign reports: lines of `<key id>:<base64 of 32 bytes or more>`; the
    /// first signs, all are accepted.
    #[arg(long, env = "HTC_MASTER_KEY_FILE")]
    pub master_key_file: PathBuf,

    /// The static in-job program; by default `htc-sender` beside this program.
    #[arg(long, env = "HTC_SENDER")]
    pub sender: Option<PathBuf>,

    /// Where health, readiness and metrics are served.
    #[arg(long, env = "HTC_HEALTH_LISTEN", default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,
}

/// Where we keep what must outlive us.
#[derive(Args, Clone, Debug)]
pub struct DataSettings {
    /// The data folder: database, job folders, control socket. On a local disk, for us alone.
    #[arg(long, env = "HTC_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// The HTCondor pool.
#[derive(Args, Clone, Debug)]
pub struct PoolSettings {
    /// The schedd's name; by default the one of this host.
    #[arg(long, env = "HTC_SCHEDD_NAME")]
    pub schedd_name: Option<String>,

    /// The collector, host[:port]; by default the one of HTCondor's configuration.
    #[arg(long, env = "HTC_COLLECTOR")]
    pub collector: Option<String>,

    /// HTCondor's configuration file for the tools.
    #[arg(long, env = "HTC_CONDOR_CONFIG")]
    pub condor_config: Option<PathBuf>,

    /// Seconds between two looks at the pool while jobs are under way.
    #[arg(long, env = "HTC_POLL_SECONDS", default_value_t = 2.0)]
    pub poll_seconds: f64,

    /// Seconds that a job may be missing in complete answers of the pool before it counts as lost.
    #[arg(long, env = "HTC_LOST_AFTER_SECONDS", default_value_t = 60.0)]
    pub lost_after_seconds: f64,

    /// Jobs in one call of condor_submit.
    #[arg(long, env = "HTC_MAX_JOBS_PER_SUBMISSION", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub max_jobs_per_submission: u32,

    /// Jobs in the queue at the same time; the rest waits here.
    #[arg(long, env = "HTC_MAX_JOBS_IN_QUEUE", default_value_t = 5_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_jobs_in_queue: u32,
}

/// Reports of jobs.
#[derive(Args, Clone, Debug)]
pub struct EventsSettings {
    /// Where reports of jobs are received.
    #[arg(long, env = "HTC_EVENTS_LISTEN", default_value = "0.0.0.0:8080")]
    pub events_listen: SocketAddr,

    /// The URL under which workers reach that; without it jobs do not report and their ends are
    /// seen a little later.
    #[arg(long, env = "HTC_EVENTS_URL")]
    pub events_url: Option<String>,

    /// The CloudEvents source of reports.
    #[arg(long, env = "HTC_EVENTS_SOURCE", default_value = htc_core::events::DEFAULT_SOURCE)]
    pub events_source: String,

    /// The PEM file of the authority that signed that URL's certificate, if it is not a public one.
    #[arg(long, env = "HTC_EVENTS_CA")]
    pub events_ca: Option<PathBuf>,
}

/// Kubernetes, which is found as kubectl finds it: KUBECONFIG, ~/.kube/config, or the pod's account.
#[derive(Args, Clone, Debug)]
pub struct KubernetesSettings {
    /// Only these namespaces, separated by commas; by default all.
    #[arg(long, env = "HTC_WATCH_NAMESPACE", value_delimiter = ',')]
    pub watch_namespace: Vec<String>,

    /// The registry of images that are plain names, such as registry.example.org/mirror.
    #[arg(long, env = "HTC_IMAGE_REGISTRY")]
    pub image_registry: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Variables of our own environment that HTCondor's tools need: where they and their credentials
/// are. Nothing else of it reaches them.
const KEPT_FOR_TOOLS: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "CONDOR_CONFIG",
    "KRB5CCNAME",
    "KRB5_CONFIG",
    "BEARER_TOKEN",
    "BEARER_TOKEN_FILE",
    "X509_USER_PROXY",
    "X509_CERT_DIR",
];

/// What of our own environment HTCondor's tools get.
pub fn tool_environment() -> Vec<(String, String)> {
    let kept = |name: &str| KEPT_FOR_TOOLS.contains(&name) || name.starts_with("_CONDOR_");
    std::env::vars().filter(|(name, _)| kept(name)).collect()
}

/// The file beside this program.
pub fn beside_us(name: &str) -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
