//! The whole: HTCJobs applied to the API server, taken by the released operator.

use std::time::Instant;

use futures::FutureExt;
use futures::future::try_join_all;
use kube::api::{DeleteParams, ListParams, PostParams};

use crate::harness::{Bed, until};
use crate::queue::{Queue, Took};
use crate::work::htcjob;

/// Applies `n` HTCJobs at once; how long it took until all were staged.
pub async fn submit(bed: &Bed, round: &str, n: usize) -> Result<Took, String> {
    let api = bed.htcjobs();
    let jobs: Vec<_> = (0..n).map(|n| htcjob(&format!("{round}-{n}"))).collect();
    let post = PostParams::default();
    let began = Instant::now();
    let created = try_join_all(jobs.iter().map(|job| api.create(&post, job)));
    let created = created.inspect(|_| tracing::debug!(after = ?began.elapsed(), "created"));
    let intents = bed.data().join("intents");
    let queue = Queue::of(bed.id.clone());
    let (created, staged) = tokio::join!(created, queue.until_staged(n, &intents));
    created.map_err(|e| e.to_string())?;
    Ok(staged?.since(began))
}

/// Deletes all HTCJobs and waits until they and their jobs are gone.
pub async fn clear(bed: &Bed) -> Result<(), String> {
    let api = bed.htcjobs();
    let everything = ListParams::default();
    api.delete_collection(&DeleteParams::default(), &everything).await.map_err(|e| e.to_string())?;
    until("the HTCJobs to be gone", async || {
        match api.list_metadata(&everything).await.map_err(|e| e.to_string())?.items.len() {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        }
    })
    .await;
    bed.until_queue_empty().await;
    Ok(())
}
