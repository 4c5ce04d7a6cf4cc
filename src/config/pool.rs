//! The pool: where it is, and how much is asked of it.

use std::path::PathBuf;

use clap::Args;

/// The HTCondor pool.
#[derive(Args, Clone, Debug)]
pub struct PoolSettings {
    /// The schedd's name; by default the one of this host.
    #[arg(long, env = "HTC_SCHEDD_NAME")]
    pub schedd_name: Option<String>,

    /// The collector, host[:port]; by default the one of HTCondor's configuration.
    #[arg(long, env = "HTC_COLLECTOR", visible_alias = "collector-host")]
    pub collector: Option<String>,

    /// HTCondor's configuration file for the tools.
    #[arg(long, env = "HTC_CONDOR_CONFIG")]
    pub condor_config: Option<PathBuf>,

    /// Seconds between two looks at the pool while jobs are under way.
    #[arg(long, env = "HTC_POLL_SECONDS", default_value_t = 2.0)]
    pub poll_seconds: f64,

    /// Seconds that a job may be missing in the queue, without a word of it in HTCondor's history, before it
    /// counts as lost. A schedd whose spool is not there, or another schedd, has none of our jobs either.
    #[arg(long, env = "HTC_LOST_AFTER_SECONDS", visible_alias = "lost-after", default_value_t = 86_400.0)]
    pub lost_after_seconds: f64,

    /// Seconds that a job which HTCondor refuses is tried again before it has failed. What fails in any other
    /// way is tried again without end.
    #[arg(long, env = "HTC_REFUSED_AFTER_SECONDS", default_value_t = 3600)]
    pub refused_after_seconds: u32,

    /// What the worker of a job with an image must meet, as an expression of ClassAds that is joined to the job's own
    /// requirements, such as HasSingularity =?= True; any worker without.
    #[arg(long, env = "HTC_WORKER_REQUIREMENTS")]
    pub worker_requirements: Option<String>,

    /// Jobs in one call of condor_submit at most; fewer where the schedd takes fewer, or their files travel slowly.
    #[arg(long, env = "HTC_MAX_JOBS_PER_SUBMISSION", default_value_t = 200,
          value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub max_jobs_per_submission: u32,

    /// Jobs in the queue at the same time; the rest waits here.
    #[arg(long, env = "HTC_MAX_JOBS_IN_QUEUE", default_value_t = 5_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_jobs_in_queue: u32,

    /// Jobs of one namespace in the queue at the same time, 0 for any number; the rest waits here.
    #[arg(long, env = "HTC_MAX_JOBS_PER_NAMESPACE", default_value_t = 0)]
    pub max_jobs_per_namespace: u32,
}
