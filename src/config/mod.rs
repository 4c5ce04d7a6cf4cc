//! Settings: every flag has an environment variable. The only reader of our environment.

pub mod crash;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::condor::pool::Pool;
use crate::condor::submit::is_good_folder;
use crate::engine;

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
    /// Only this namespace; by default all.
    #[arg(long, env = "HTC_WATCH_NAMESPACE")]
    pub watch_namespace: Option<String>,

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
    "HTC_SCRIPTED_STATE",
];

impl PoolSettings {
    /// The pool that these settings name.
    pub fn pool(&self) -> Pool {
        let kept = |name: &&str| Some((name.to_string(), std::env::var(name).ok()?));
        let condor = std::env::vars().filter(|(name, _)| name.starts_with("_CONDOR_"));
        Pool {
            schedd: self.schedd_name.clone(),
            collector: self.collector.clone(),
            config: self.condor_config.clone(),
            environment: KEPT_FOR_TOOLS.iter().filter_map(kept).chain(condor).collect(),
        }
    }
}

impl Settings {
    /// The engine's options, once the instance id is known.
    pub fn engine(&self, instance: String) -> anyhow::Result<engine::Options> {
        use anyhow::Context;

        let data = self.data.data_dir.canonicalize()?;
        anyhow::ensure!(
            data.to_str().is_some_and(is_good_folder),
            "the data folder {} has a character that submit files cannot carry; choose another",
            data.display()
        );
        let sender = match &self.sender {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("htc-sender"),
        };
        let sender = sender
            .canonicalize()
            .with_context(|| format!("the in-job program {} is not there; set --sender", sender.display()))?;
        let read_ca = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
        };
        let EventsSettings { events_listen: _, events_url, events_source, events_ca } = &self.events;
        let ca = events_ca.as_ref().map(read_ca).transpose()?;
        Ok(engine::Options {
            instance,
            data,
            sender,
            events: events_url.as_ref().map(|url| engine::EventsOptions {
                url: url.trim_end_matches('/').to_owned(),
                source: events_source.clone(),
                ca,
            }),
            poll: Duration::from_secs_f64(self.pool.poll_seconds.max(0.1)),
            max_jobs_per_submission: self.pool.max_jobs_per_submission as usize,
            max_jobs_in_queue: self.pool.max_jobs_in_queue as usize,
        })
    }
}
