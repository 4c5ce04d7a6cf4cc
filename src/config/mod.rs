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
    /// What jobs bring home.
    #[command(flatten)]
    pub outputs: OutputSettings,
    /// Reports of jobs.
    #[command(flatten)]
    pub events: EventsSettings,
    /// Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesSettings,
    /// Images of containers.
    #[command(flatten)]
    pub images: ImageSettings,

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

/// What jobs bring home.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputSettings {
    /// Megabytes that one job may bring home, its log among them; 0 for any amount. A job with more is
    /// held by the pool.
    #[arg(long, env = "HTC_MAX_OUTPUT_MB", default_value_t = 1024)]
    pub max_output_mb: u32,

    /// Days that outputs and logs are kept after the end of their HTCJob, 0 for as long as the HTCJob
    /// is there. They always go with the HTCJob.
    #[arg(long, env = "HTC_KEEP_OUTPUTS_DAYS", default_value_t = 30)]
    pub keep_outputs_days: u32,
}

/// Reports of jobs.
#[derive(Args, Clone, Debug)]
pub struct EventsSettings {
    /// Where reports of jobs are received.
    #[arg(long, env = "HTC_EVENTS_LISTEN", default_value = "0.0.0.0:8080")]
    pub events_listen: SocketAddr,

    /// The URL under which workers reach that; without it HTCondor carries the reports of jobs, minutes
    /// later, and their ends are seen a little later.
    #[arg(long, env = "HTC_EVENTS_URL")]
    pub events_url: Option<String>,

    /// The CloudEvents source of reports.
    #[arg(long, env = "HTC_EVENTS_SOURCE", default_value = htc_core::events::DEFAULT_SOURCE)]
    pub events_source: String,

    /// The PEM file of the authority that signed that URL's certificate, if it is not a public one.
    #[arg(long, env = "HTC_EVENTS_CA")]
    pub events_ca: Option<PathBuf>,

    /// Running jobs that may hold a connection on which they wait to be asked for their logs; at most as
    /// many as there are file descriptors for. Jobs beyond that come again every few minutes, and until
    /// then their logs are read by condor_tail.
    #[arg(long, env = "HTC_MAX_POLLS", default_value_t = 4_096,
          value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub max_polls: u32,

    /// Take unsigned events too, as the jobs of this operator's predecessor send them. Nothing in them
    /// is believed: one only makes the operator look at the pool earlier.
    #[arg(long, env = "HTC_ALLOW_UNSIGNED_EVENTS")]
    pub allow_unsigned_events: bool,
}

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
}

/// Images of containers.
#[derive(Args, Clone, Debug)]
pub struct ImageSettings {
    /// The registry of images that are plain names, such as registry.example.org/mirror.
    #[arg(long, env = "HTC_IMAGE_REGISTRY")]
    pub image_registry: Option<String>,

    /// Registries of images, host[:port], that speak plain http instead of https, separated by commas.
    #[arg(long, env = "HTC_INSECURE_REGISTRIES", value_delimiter = ',')]
    pub insecure_registries: Vec<String>,

    /// A folder of the workers, such as /var/cache/htc-images, where pulled images stay: one for each user
    /// of a worker lies in it. It must exist, with mode 1777 where jobs run as several users. A worker
    /// where it cannot be used pulls images for each job, as all do by default.
    #[arg(long, env = "HTC_IMAGE_CACHE", value_parser = absolute)]
    pub image_cache: Option<String>,

    /// GiB that the images of one user may take in that folder of a worker; those used longest ago go.
    #[arg(long, env = "HTC_IMAGE_CACHE_GIB", default_value_t = 20.0)]
    pub image_cache_gib: f64,
}

fn absolute(path: &str) -> Result<String, &'static str> {
    match path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err("it must be an absolute path"),
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
