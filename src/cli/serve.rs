//! `htc-operator serve`: the wiring, from settings to doors, and the way down again.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use clap::Args;
use htc_core::workload::spec::{ImageCache, ImageSettings, Route};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::condor::pool::Pool;
use crate::condor::submit::is_good_folder;
use crate::config::{
    self, EventsSettings, OutputSettings, PoolSettings, Settings, beside_us, tool_environment,
};
use crate::engine::files::make_folder;
use crate::engine::keys::MasterKeys;
use crate::engine::{Engine, Options};
use crate::htcjob::{DoorState, Site};
use crate::limits::{CONNECTIONS, SHUTDOWN_PATIENCE};
use crate::metrics::Metrics;
use crate::{callbacks, control, htcjob, http};

const DAY: Duration = Duration::from_secs(86_400);

/// The settings of the operator.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = arguments.settings;
    let data = &settings.data.data_dir;
    make_folder(data).with_context(|| format!("failed to make the data folder {}", data.display()))?;
    // It may have been made by somebody else: what is in it is for us alone.
    std::fs::set_permissions(data, PermissionsExt::from_mode(0o700))
        .with_context(|| format!("the data folder {} is not ours", data.display()))?;
    let _lock = lock(data)?;
    let keys = Arc::new(MasterKeys::read(&settings.master_key_file)?);
    let metrics = Arc::new(Metrics::default());
    let client =
        Client::try_default().await.context("failed to find a Kubernetes cluster; set KUBECONFIG")?;
    let instance = match &settings.instance {
        Some(instance) => instance.clone(),
        None => cluster_id(&client).await?,
    };
    tracing::info!(instance, data = %data.display(), version = env!("CARGO_PKG_VERSION"), "starting");
    let polls = polls(&settings.events);
    let options = options(&settings, instance, polls)?;
    let engine = Engine::open(options, pool(&settings.pool), keys.clone(), metrics.clone()).await?;

    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (doors, stop_doors) = (TaskTracker::new(), CancellationToken::new());
    let door = DoorState::new(client, engine.clone(), metrics.clone(), site(&settings));
    let receiving = callbacks::Options {
        allow_unsigned: settings.events.allow_unsigned_events,
        ..callbacks::Options::default()
    };
    let router = callbacks::router(engine.clone(), keys, metrics.clone(), receiving);
    let (address, room) = (settings.events.events_listen, CONNECTIONS + polls);
    http::serve_many("reports", address, room, router, &doors, &stop_doors).await?;
    let router = health(engine.clone(), door.clone(), metrics);
    http::serve_tcp("health", settings.health_listen, router, &doors, &stop_doors).await?;
    http::serve_unix(&control::socket(data), control::router(engine.clone()), &doors, &stop_doors)?;
    let broken = CancellationToken::new();
    engine.start(&tasks, &stop, &broken);
    let (namespaces, token) = (settings.kubernetes.watch_namespace.clone(), stop_doors.clone());
    doors.spawn(async move { htcjob::run(door, &namespaces, token).await });

    tokio::select! {
        asked = wait_for_signal() => asked?,
        () = broken.cancelled() => {}
    }
    tracing::info!("stopping: first the doors close, then the workers end");
    engine.close_polls();
    for (tasks, stop) in [(doors, stop_doors), (tasks, stop)] {
        stop.cancel();
        tasks.close();
        if timeout(SHUTDOWN_PATIENCE, tasks.wait()).await.is_err() {
            tracing::warn!("something did not end in time; the next start finds out where it was");
        }
    }
    ensure!(!broken.is_cancelled(), "a part of the operator has failed; see the log; start it again");
    Ok(())
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

/// What the site says of all HTCJobs.
fn site(settings: &Settings) -> Site {
    Site {
        image_registry: settings.images.image_registry.clone(),
        denied_attributes: settings.kubernetes.deny_attributes.clone(),
    }
}

/// The engine's options, once the instance id is known.
fn options(settings: &Settings, instance: String, polls: usize) -> anyhow::Result<Options> {
    let data = settings.data.data_dir.canonicalize()?;
    ensure!(
        data.to_str().is_some_and(is_good_folder),
        "the data folder {} has a character that submit files cannot carry; choose another",
        data.display()
    );
    let OutputSettings { max_output_mb, keep_outputs_days } = settings.outputs;
    Ok(Options {
        instance,
        data,
        sender: sender(settings)?,
        route: route(&settings.events)?,
        polls,
        images: image_settings(&settings.images),
        poll: Duration::from_secs_f64(settings.pool.poll_seconds.clamp(0.1, 3600.0)),
        lost_after: Duration::from_secs_f64(settings.pool.lost_after_seconds.max(0.0)),
        max_jobs_per_submission: settings.pool.max_jobs_per_submission as usize,
        max_jobs_in_queue: settings.pool.max_jobs_in_queue as usize,
        max_output_mb: (max_output_mb > 0).then_some(max_output_mb),
        keep_outputs: (keep_outputs_days > 0).then(|| DAY * keep_outputs_days),
    })
}

/// The in-job program.
pub(super) fn sender(settings: &Settings) -> anyhow::Result<PathBuf> {
    let sender = settings.sender.clone().map_or_else(|| beside_us("htc-sender"), Ok)?;
    let missing = || format!("the in-job program {} is not there; set --sender", sender.display());
    sender.canonicalize().with_context(missing)
}

/// How many polls there is room for.
fn polls(settings: &EventsSettings) -> usize {
    let wanted = settings.max_polls as usize;
    let polls = http::room::make_room(wanted);
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
    let config::ImageSettings { image_registry: _, insecure_registries, image_cache, image_cache_gib } =
        settings;
    let bytes = (image_cache_gib.max(0.0) * f64::from(1 << 30)) as u64;
    let cache = image_cache.clone().map(|path| ImageCache { path, bytes });
    ImageSettings { insecure_registries: insecure_registries.clone(), cache }
}

/// One data folder, one operator.
fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join("lock");
    let file = File::create(&path).with_context(|| format!("failed to make {}", path.display()))?;
    if file.try_lock().is_err() {
        bail!("another operator uses the data folder {}", data.display());
    }
    Ok(file)
}

/// The UID of kube-system: as old as the cluster, and no other cluster has it.
async fn cluster_id(client: &Client) -> anyhow::Result<String> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces.get("kube-system").await;
    let system = system.context("failed to read the namespace kube-system for its UID; set --instance")?;
    system.metadata.uid.context("the namespace kube-system has no UID; set --instance")
}

fn health(engine: Engine, door: Arc<DoorState>, metrics: Arc<Metrics>) -> Router {
    let ready = move || async move {
        match (engine.is_ready(), door.is_ready()) {
            (true, true) => (StatusCode::OK, "ready\n"),
            (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "the pool has not answered yet\n"),
            (true, false) => {
                (StatusCode::SERVICE_UNAVAILABLE, "HTCJobs cannot be listed; is their CRD there?\n")
            }
        }
    };
    let content = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(move || async move { (content, metrics.text()) }))
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    Ok(())
}
