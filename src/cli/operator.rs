//! An operator: data folder, engine, listeners, signals, and the way down again. What `serve` and
//! `interlink` have in common; each opens its doors.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use htc_core::workload::spec::{ImageCache, ImageSettings, Route};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::condor::pool::Pool;
use crate::condor::submit::{check_requirements, is_good_folder};
use crate::config::{
    self, EventsSettings, OperatorSettings, OutputSettings, PoolSettings, beside_us, tool_environment,
};
use crate::engine::files::make_folder;
use crate::engine::keys::MasterKeys;
use crate::engine::{Engine, Options};
use crate::limits::{CONNECTIONS, SHUTDOWN_PATIENCE};
use crate::metrics::Metrics;
use crate::{callbacks, control, http};

const DAY: Duration = Duration::from_secs(86_400);

/// An operator that is being started, or runs.
pub(super) struct Operator {
    /// The waist.
    pub engine: Engine,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// What serves callers; it ends first.
    pub doors: TaskTracker,
    /// Ends the doors.
    pub stop_doors: CancellationToken,
    /// Ends everything, because a part of it cannot go on.
    pub broken: CancellationToken,
    keys: Arc<MasterKeys>,
    /// How many jobs may hold a poll.
    polls: usize,
    data: PathBuf,
    tasks: TaskTracker,
    stop: CancellationToken,
    signals: [Signal; 2],
    _lock: File,
}

/// Why something is not ready, if it is not.
pub(super) type Ready = Box<dyn Fn() -> Option<&'static str> + Send + Sync>;

/// Makes the data folder and takes it: one data folder, one operator.
pub(super) fn take_folder(data: &Path) -> anyhow::Result<File> {
    make_folder(data).with_context(|| format!("failed to make the data folder {}", data.display()))?;
    // It may have been made by somebody else: what is in it is for us alone.
    std::fs::set_permissions(data, PermissionsExt::from_mode(0o700))
        .with_context(|| format!("the data folder {} is not ours", data.display()))?;
    let path = data.join("lock");
    let file = File::create(&path).with_context(|| format!("failed to make {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("another operator uses the data folder {}", data.display());
    }
    Ok(file)
}

impl Operator {
    /// Opens the store in the data folder that was taken; nothing runs yet.
    pub async fn open(
        lock: File,
        data: &Path,
        settings: &OperatorSettings,
        instance: String,
        keys: MasterKeys,
        pool: Pool,
        sole_record: bool,
    ) -> anyhow::Result<Operator> {
        tracing::info!(instance, data = %data.display(), version = env!("CARGO_PKG_VERSION"), "starting");
        let (keys, metrics) = (Arc::new(keys), Arc::new(Metrics::default()));
        let polls = polls(&settings.events);
        let options = options(data, settings, instance, polls, sole_record)?;
        let engine = Engine::open(options, pool, keys.clone(), metrics.clone()).await?;
        Ok(Operator {
            engine,
            metrics,
            keys,
            polls,
            doors: TaskTracker::new(),
            stop_doors: CancellationToken::new(),
            broken: CancellationToken::new(),
            data: data.to_owned(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            // Before anybody can call: from then on the way down is an orderly one.
            signals: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?],
            _lock: lock,
        })
    }

    /// Receives reports of jobs there.
    pub async fn receive_reports(
        &self,
        settings: &EventsSettings,
        address: std::net::SocketAddr,
    ) -> anyhow::Result<()> {
        let receiving = callbacks::Options {
            allow_unsigned: settings.allow_unsigned_events,
            ..callbacks::Options::default()
        };
        let router =
            callbacks::router(self.engine.clone(), self.keys.clone(), self.metrics.clone(), receiving);
        let room = CONNECTIONS + self.polls;
        http::serve_many("reports", address, room, router, &self.doors, &self.stop_doors).await?;
        Ok(())
    }

    /// Serves health, readiness and metrics there.
    pub async fn serve_health(
        &self,
        address: std::net::SocketAddr,
        ready: Ready,
    ) -> Result<(), http::ListenError> {
        let router = health(self.engine.clone(), ready, self.metrics.clone());
        http::serve_tcp("health", address, router, &self.doors, &self.stop_doors).await.map(drop)
    }

    /// Starts the workers, and runs until SIGTERM or SIGINT.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let router = control::router(self.engine.clone());
        http::serve_unix(&control::socket(&self.data), router, &self.doors, &self.stop_doors)?;
        let broken = self.broken.clone();
        self.engine.start(&self.tasks, &self.stop, &broken);
        let [term, int] = &mut self.signals;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            () = broken.cancelled() => {}
        }
        tracing::info!("stopping: first the doors close, then the workers end");
        self.engine.let_go();
        for (tasks, stop) in [(self.doors, self.stop_doors), (self.tasks, self.stop)] {
            stop.cancel();
            tasks.close();
            if timeout(SHUTDOWN_PATIENCE, tasks.wait()).await.is_err() {
                tracing::warn!("something did not end in time; the next start finds out where it was");
            }
        }
        ensure!(!broken.is_cancelled(), "a part of the operator has failed; see the log; start it again");
        Ok(())
    }
}

/// The pool that the settings name.
pub(super) fn pool(settings: &PoolSettings) -> Pool {
    Pool {
        schedd: settings.schedd_name.clone(),
        collector: settings.collector.clone(),
        config: settings.condor_config.clone(),
        environment: tool_environment(),
    }
}

/// The engine's options, once the instance id is known.
fn options(
    data: &Path,
    settings: &OperatorSettings,
    instance: String,
    polls: usize,
    sole_record: bool,
) -> anyhow::Result<Options> {
    let data = data.canonicalize()?;
    ensure!(
        data.to_str().is_some_and(is_good_folder),
        "the data folder {} has a character that submit files cannot carry; choose another",
        data.display()
    );
    let OutputSettings {
        max_output_mb,
        max_output_files,
        max_output_mb_per_namespace,
        give_up_outputs_days,
        keep_outputs_days,
    } = settings.outputs;
    let days = |days: u32| (days > 0).then(|| DAY * days);
    Ok(Options {
        instance,
        data,
        sender: sender(settings)?,
        route: route(&settings.events)?,
        polls,
        images: image_settings(&settings.images),
        poll: Duration::from_secs_f64(settings.pool.poll_seconds.clamp(0.1, 3600.0)),
        lost_after: Duration::from_secs_f64(settings.pool.lost_after_seconds.max(0.0)),
        refused_after: Duration::from_secs(settings.pool.refused_after_seconds.into()),
        max_jobs_per_submission: settings.pool.max_jobs_per_submission as usize,
        max_jobs_in_queue: settings.pool.max_jobs_in_queue as usize,
        max_jobs_per_namespace: (settings.pool.max_jobs_per_namespace > 0)
            .then_some(settings.pool.max_jobs_per_namespace as usize),
        max_output_mb_per_namespace: (max_output_mb_per_namespace > 0)
            .then_some(max_output_mb_per_namespace.into()),
        worker_requirements: worker_requirements(&settings.pool)?,
        image_cache_shared: settings.images.image_cache_shared,
        max_output_mb: (max_output_mb > 0).then_some(max_output_mb),
        max_output_files,
        sole_record,
        give_up_outputs: days(give_up_outputs_days),
        keep_outputs: days(keep_outputs_days),
    })
}

/// What the workers of jobs with an image must meet, checked.
pub(super) fn worker_requirements(settings: &PoolSettings) -> anyhow::Result<Option<String>> {
    let text = settings.worker_requirements.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if let Some(Err(why)) = text.map(check_requirements) {
        bail!(
            "--worker-requirements (HTC_WORKER_REQUIREMENTS) is no expression that a job can have: it {why}"
        );
    }
    Ok(text.map(str::to_owned))
}

/// The in-job program.
pub(super) fn sender(settings: &OperatorSettings) -> anyhow::Result<PathBuf> {
    let sender = settings.sender.clone().map_or_else(|| beside_us("htc-sender"), Ok)?;
    let missing = || format!("the in-job program {} is not there; set --sender", sender.display());
    sender.canonicalize().with_context(missing)
}

/// How many polls there is room for.
fn polls(settings: &EventsSettings) -> usize {
    let wanted = settings.max_polls as usize;
    let polls = http::descriptors::make_room(wanted);
    if polls < wanted {
        tracing::warn!(
            polls,
            wanted,
            "fewer jobs can wait to be asked for their logs than --max-polls says: \
             the limit of open files is too low (ulimit -n)"
        );
    }
    polls
}

/// The way from jobs to us.
pub(super) fn route(settings: &EventsSettings) -> anyhow::Result<Option<Route>> {
    let EventsSettings {
        events_listen: _,
        events_url,
        events_source,
        events_ca,
        max_polls: _,
        allow_unsigned_events: _,
    } = settings;
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
    };
    let ca = events_ca.as_ref().map(read).transpose()?;
    let url = events_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
    Ok(url.map(|url| Route { url, source: events_source.clone(), ca }))
}

/// What jobs know of getting images.
fn image_settings(settings: &config::ImageSettings) -> ImageSettings {
    let config::ImageSettings {
        image_registry: _,
        insecure_registries,
        image_cache,
        image_cache_shared: _,
        image_cache_gib,
    } = settings;
    let bytes = (image_cache_gib.max(0.0) * f64::from(1 << 30)) as u64;
    let cache = image_cache.clone().map(|path| ImageCache { path, bytes, folder: None });
    ImageSettings { insecure_registries: insecure_registries.clone(), paths: Vec::new(), cache }
}

fn health(engine: Engine, ready: Ready, metrics: Arc<Metrics>) -> Router {
    let ready = Arc::new(ready);
    let ready = move || async move {
        match (ready(), engine.no_room().map(str::to_owned).or_else(|| engine.pool_trouble())) {
            (Some(why), _) => (StatusCode::SERVICE_UNAVAILABLE, why.to_owned()),
            (None, None) => (StatusCode::OK, "ready\n".to_owned()),
            // Callers and running jobs are served all the same, and lose their pods and reports where they are not.
            (None, Some(why)) => (StatusCode::OK, format!("ready, but {why}\n")),
        }
    };
    let content = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(move || async move { (content, metrics.text()) }))
}
