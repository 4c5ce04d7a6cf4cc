//! A thousand copies of one HTCJob, and a thousand HTCJobs: to the end, each once.

use std::collections::BTreeMap;

use futures::StreamExt;
use htc_operator::htcjob::types::{HTCJob, Phase};
use kube::api::{DeleteParams, ListParams};

use crate::harness::{Bed, host, until, with_operator};
use crate::requests::assert_bounded_in_time;

const THOUSAND: u32 = 1_000;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_thousand_copies_of_one_htcjob_run_to_the_end() {
    with_operator(async |bed| {
        let mut job = host("thousand", "echo \"$1\"");
        job.spec.queue = Some(1_000);
        let job = bed.apply(job).await;
        ends(bed, 1).await;
        let status = bed.status(&job).await;
        assert_eq!(status.completed_indexes.as_deref(), Some("0-999"), "{status:#?}");
        assert_eq!((status.jobid.len(), status.attempts), (1_000, Some(1_000)));
        assert_bounded_in_time(bed).await;
        bed.assert_committed_once(&job, THOUSAND).await;
        assert_eq!(bed.logs(&job, Some(777)).await.unwrap(), b"777\n");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_thousand_htcjobs_run_to_the_end_and_go() {
    with_operator(async |bed| {
        let jobs: Vec<HTCJob> = (0..THOUSAND).map(|n| host(&format!("job-{n}"), "true")).collect();
        let applied = futures::stream::iter(jobs).map(|job| bed.apply(job)).buffer_unordered(50);
        let jobs: Vec<_> = applied.collect().await;
        ends(bed, jobs.len()).await;
        bed.until_queue_empty().await;
        let once: Vec<_> = jobs.iter().map(|job| (job, 1)).collect();
        bed.assert_all_committed_once(&once).await;
        bed.htcjobs().delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
        until("all to be gone", async || match phases(bed).await {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{left:?}")),
        })
        .await;
        assert!(!bed.data().join("jobs").read_dir().unwrap().any(|_| true), "a folder is left");
    })
    .await;
}

/// Waits until so many HTCJobs have succeeded, as long as any of their copies does.
async fn ends(bed: &Bed, count: usize) {
    let mut before = 0;
    while before < i64::MAX {
        before = until("more to end", async || {
            let all = bed.htcjobs().list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
            let status = |job: &HTCJob| job.status.clone().unwrap_or_default();
            let failed: Vec<_> = all.iter().filter(|j| status(j).failed.unwrap_or(0) > 0).collect();
            assert!(failed.is_empty(), "{failed:#?}");
            let ended = all.iter().filter(|job| status(job).phase == Some(Phase::Succeeded)).count();
            let copies = all.iter().map(|job| status(job).succeeded.unwrap_or(0)).sum::<i64>();
            match () {
                () if ended == count => Ok(i64::MAX),
                () if copies > before => Ok(copies),
                () => Err(format!("{copies} have ended: {:?}", phases(bed).await)),
            }
        })
        .await;
    }
}

/// How many HTCJobs are in which phase.
async fn phases(bed: &Bed) -> BTreeMap<String, usize> {
    let mut phases = BTreeMap::new();
    for job in bed.htcjobs().list(&ListParams::default()).await.unwrap().items {
        *phases.entry(format!("{:?}", job.status.and_then(|status| status.phase))).or_insert(0) += 1;
    }
    phases
}
