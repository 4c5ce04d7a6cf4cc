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
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::condor::pool::Pool;
use crate::condor::submit::is_good_folder;
use crate::config::{EventsSettings, PoolSettings, Settings, beside_us, tool_environment};
use crate::engine::files::make_folder;
use crate::engine::keys::MasterKeys;
use crate::engine::{Engine, EventsOptions, Options};
use crate::htcjob::DoorState;
use crate::limits::SHUTDOWN_PATIENCE;
use crate::metrics::Metrics;
use crate::{callbacks, control, htcjob, http};

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
    let engine =
        Engine::open(options(&settings, instance)?, pool(&settings.pool), keys.clone(), metrics.clone());
    let engine = engine.await?;

    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (doors, stop_doors) = (TaskTracker::new(), CancellationToken::new());
    let registry = settings.kubernetes.image_registry.clone();
    let door = DoorState::new(client, engine.clone(), metrics.clone(), registry);
    let router = callbacks::router(engine.clone(), keys, metrics.clone());
    http::serve_tcp("reports", settings.events.events_listen, router, &doors, &stop_doors).await?;
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
fn pool(settings: &PoolSettings) -> Pool {
    Pool {
        schedd: settings.schedd_name.clone(),
        collector: settings.collector.clone(),
        config: settings.condor_config.clone(),
        environment: tool_environment(),
    }
}

/// The engine's options, once the instance id is known.
fn options(settings: &Settings, instance: String) -> anyhow::Result<Options> {
    let data = settings.data.data_dir.canonicalize()?;
    ensure!(
        data.to_str().is_some_and(is_good_folder),
        "the data folder {} has a character that submit files cannot carry; choose another",
        data.display()
    );
    let sender = settings.sender.clone().map_or_else(|| beside_us("htc-sender"), Ok)?;
    let sender = sender
        .canonicalize()
        .with_context(|| format!("the in-job program {} is not there; set --sender", sender.display()))?;
    let EventsSettings { events_listen: _, events_url, events_source, events_ca } = &settings.events;
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
    };
    let ca = events_ca.as_ref().map(read).transpose()?;
    let source = events_source.clone();
    let url = events_url.as_ref().map(|url| url.trim_end_matches('/').to_owned());
    Ok(Options {
        instance,
        data,
        sender,
        events: url.map(|url| EventsOptions { url, source, ca }),
        poll: Duration::from_secs_f64(settings.pool.poll_seconds.clamp(0.1, 3600.0)),
        lost_after: Duration::from_secs_f64(settings.pool.lost_after_seconds.max(0.0)),
        max_jobs_per_submission: settings.pool.max_jobs_per_submission as usize,
        max_jobs_in_queue: settings.pool.max_jobs_in_queue as usize,
    })
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
            (true, false) => (StatusCode::SERVICE_UNAVAILABLE, "the HTCJobs have not been listed yet\n"),
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
