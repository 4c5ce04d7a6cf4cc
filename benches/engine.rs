//! The engine alone, in this process: from the wish to the schedd, without Kubernetes.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use htc_core::events::DEFAULT_SOURCE;
use htc_core::workload::spec::{ImageSettings, Route};
use htc_operator::engine::files::make_folder;
use htc_operator::engine::keys::MasterKeys;
use htc_operator::engine::{Engine, Options, Wish};
use htc_operator::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::harness::until;
use crate::queue::{Corner, Took};
use crate::submit::CALLS;
use crate::work::{key, workload};

/// All workers of this process.
static WORKERS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Waits for the end of workers that were asked to stop: before, no job may be taken from the queue,
/// or it would be submitted again.
pub async fn all_ended() {
    WORKERS.close();
    WORKERS.wait().await;
    WORKERS.reopen();
}

/// Wishes `n` workloads at once; how long it took until all were staged, and how many calls of
/// `condor_submit` that were.
pub async fn submit(corner: &Corner, sender: &Path, round: &str, n: usize) -> Result<(Took, u64), String> {
    let data = corner.folder.join(round);
    make_folder(&data).map_err(|e| e.to_string())?;
    let options = Options {
        max_jobs_per_namespace: None,
        max_output_mb_per_namespace: None,
        worker_requirements: None,
        image_cache_shared: false,
        instance: corner.queue.instance.clone(),
        data: data.clone(),
        sender: sender.to_owned(),
        images: ImageSettings::default(),
        route: Some(Route { url: "http://127.0.0.1:1".into(), source: DEFAULT_SOURCE.into(), ca: None }),
        poll: Duration::from_secs(2),
        max_jobs_per_submission: 200,
        max_jobs_in_queue: 5_000,
        max_output_mb: None,
        max_output_files: 20_000,
        give_up_outputs: None,
        keep_outputs: None,
        sole_record: false,
        lost_after: Duration::from_secs(3_600),
        refused_after: Duration::from_secs(3_600),
        polls: 0,
    };
    let keys = MasterKeys::parse("k1:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
    let metrics = Arc::new(Metrics::default());
    let engine = Engine::open(options, corner.queue.pool.clone(), keys, metrics.clone()).await;
    let engine = engine.map_err(|e| e.to_string())?;
    let stop = CancellationToken::new();
    let _stop_anyway = stop.clone().drop_guard();
    engine.start(&WORKERS, &stop, &CancellationToken::new());
    until("the engine to be ready", async || engine.is_ready().then_some(()).ok_or_else(String::new)).await;

    let began = Instant::now();
    let wishes = (0..n).map(|n| {
        let engine = engine.clone();
        let wish = wish(corner, round, n);
        async move { engine.run(wish).await.map_err(|e| e.to_string()) }
    });
    let wished = try_join_all(wishes).await.map(drop);
    let staged = corner.queue.until_staged(n, &data.join("intents")).await;
    stop.cancel();
    all_ended().await;
    wished?;
    let text = metrics.text();
    let calls = text.lines().find_map(|line| line.strip_prefix(CALLS)?.strip_prefix(' '));
    Ok((staged?.since(began), calls.and_then(|n| n.parse().ok()).unwrap_or(0)))
}

fn wish(corner: &Corner, round: &str, n: usize) -> Wish {
    let name = format!("wish-{n}");
    Wish {
        uid: key(round, n).uid,
        door: "bench",
        namespace: corner.queue.instance.clone(),
        workload: workload(&name),
        name,
        seen_before: false,
        settled: Vec::new(),
        owner: None,
    }
}
