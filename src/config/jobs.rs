//! What jobs get and bring home, whatever the door.

use clap::Args;

/// What jobs bring home.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputSettings {
    /// Megabytes that one job may bring home, its log among them; 0 for any amount. A job with more is
    /// held by the pool.
    #[arg(long, env = "HTC_MAX_OUTPUT_MB", default_value_t = 1024)]
    pub max_output_mb: u32,

    /// Files, folders and links that one job may bring home. A job that leaves more has failed, and brings its log
    /// home only. HTCondor's tools take 8 kB of the operator's memory for each, up to four times at once.
    #[arg(long, env = "HTC_MAX_OUTPUT_FILES", default_value_t = 20_000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_output_files: u32,

    /// Megabytes that the outputs of one namespace may take in the data folder, 0 for any amount. While they
    /// take more, nothing more of it is submitted; what is in the queue goes on and comes home.
    #[arg(long, env = "HTC_MAX_OUTPUT_MB_PER_NAMESPACE", default_value_t = 0)]
    pub max_output_mb_per_namespace: u32,

    /// Days that HTCondor may refuse to hand over the outputs of an ended job, at each try, before they are given
    /// up and the job leaves its queue; 0 for as long as it has the job, which is 10 days.
    #[arg(long, env = "HTC_GIVE_UP_OUTPUTS_DAYS", default_value_t = 0)]
    pub give_up_outputs_days: u32,

    /// Days that outputs and logs are kept after the end of their HTCJob, 0 for as long as the HTCJob
    /// is there. They always go with the HTCJob.
    #[arg(long, env = "HTC_KEEP_OUTPUTS_DAYS", default_value_t = 30)]
    pub keep_outputs_days: u32,
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

    /// Let jobs of all namespaces share the images of that folder. By default each namespace has its own: all
    /// jobs of a user can change that user's images.
    #[arg(long, env = "HTC_IMAGE_CACHE_SHARED")]
    pub image_cache_shared: bool,

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
