//! What concerns the whole cluster or the whole pool: no other test may run meanwhile. `make test` runs
//! this module by itself, one test at a time.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use htc_operator::htcjob::types::{HTCJob, Phase};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::harness::{Bed, Job, host, kubectl, on_bed, until};

const CRD: &str = "htcjobs.htc.cern.ch";

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn deleting_the_crd_takes_fifty_htcjobs_and_all_their_jobs_along() {
    crd_comes_back(async |bed: &mut Bed, crd| {
        bed.start().await;
        for n in 0..50 {
            let namespace = if n % 2 == 0 { &bed.namespace } else { &bed.other_namespace };
            bed.apply_in(namespace, host(&format!("live-{n}"), "sleep 1000")).await;
        }
        until("all to be in the queue", async || match bed.queue().await.len() {
            50 => Ok(()),
            n => Err(format!("{n}")),
        })
        .await;
        kubectl(&["delete", "crd", CRD, "--timeout=170s"], "").await.unwrap();
        assert!(bed.queue().await.is_empty());

        until_without_crd(bed).await;
        bed.assert_alive();
        create(bed, crd).await;
        bed.until_ready().await;
        let job = bed.apply(host("next", "echo again")).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&job).await, "again\n");
        let told = |words: &str| bed.log().lines().filter(|line| line.contains(words)).count();
        assert_eq!((told("the API server has no HTCJobs"), told("the API server has HTCJobs now")), (1, 1));
        assert_eq!(told("failed to reconcile"), 0, "{}", bed.log());
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn without_the_crd_nothing_follows_for_what_was_there() {
    crd_comes_back(async |bed: &mut Bed, crd| {
        bed.start().await;
        let job = bed.apply(host("vanished", "sleep 1000")).await;
        bed.until_queued(&job, 2, 1).await;
        bed.kill().await;
        strip_all(bed).await;
        kubectl(&["delete", "crd", CRD, "--timeout=170s"], "").await.unwrap();

        bed.spawn();
        bed.until_alive().await;
        until_without_crd(bed).await;
        bed.until_looks(3).await;
        assert_eq!(bed.queued(&job).await.len(), 1, "the CRD may come back with all that was there");
        create(bed, crd).await;
        bed.until_queue_empty().await;
        bed.until_ready().await;
    })
    .await;
}

/// Runs a test that deletes the CRD; it is there again afterwards, whatever happens.
async fn crd_comes_back(claim: impl AsyncFnOnce(&mut Bed, &CustomResourceDefinition)) {
    on_bed(async |bed: &mut Bed| {
        let crds: Api<CustomResourceDefinition> = Api::all(bed.client.clone());
        let found = crds.get(CRD).await.unwrap();
        let metadata = ObjectMeta { name: Some(CRD.to_owned()), ..ObjectMeta::default() };
        let crd = CustomResourceDefinition { metadata, spec: found.spec, status: None };
        // What others have left would keep the CRD, as nobody is there to let it go.
        strip_all(bed).await;
        let result = AssertUnwindSafe(claim(bed, &crd)).catch_unwind().await;
        if result.is_err() {
            strip_all(bed).await;
        }
        create(bed, &crd).await;
        result.unwrap_or_else(|panic| resume_unwind(panic));
    })
    .await;
}

/// Deletes all HTCJobs of the cluster; no operator is asked.
async fn strip_all(bed: &Bed) {
    let all: Api<HTCJob> = Api::all(bed.client.clone());
    // Without the CRD there are none.
    let Ok(list) = all.list_metadata(&ListParams::default()).await else { return };
    for object in list.items {
        let (name, namespace) = (object.name_any(), object.namespace().unwrap());
        let job = Job { name, namespace, uid: String::new() };
        let one: Api<HTCJob> = Api::namespaced(bed.client.clone(), &job.namespace);
        let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        let _gone_already = one.delete(&job.name, &DeleteParams::default()).await;
        let _gone_already = one.patch_metadata(&job.name, &PatchParams::default(), &free).await;
    }
}

/// Creates the CRD, if it is not there, and waits until HTCJobs are served.
async fn create(bed: &Bed, crd: &CustomResourceDefinition) {
    let crds: Api<CustomResourceDefinition> = Api::all(bed.client.clone());
    let all: Api<HTCJob> = Api::all(bed.client.clone());
    until("the CRD", async || {
        let there = crds.get_opt(CRD).await.map_err(|e| e.to_string())?;
        match there {
            Some(there) if there.metadata.deletion_timestamp.is_some() => {
                return Err("it is going".to_owned());
            }
            Some(_) => {}
            None => drop(crds.create(&PostParams::default(), crd).await.map_err(|e| e.to_string())?),
        }
        all.list_metadata(&ListParams::default()).await.map_err(|e| e.to_string())
    })
    .await;
}

/// Waits until the operator has found more than once that there is no CRD, and says so.
async fn until_without_crd(bed: &Bed) {
    until("the operator to miss the CRD", async || {
        let answer = bed.get("/readyz").await?;
        let log = bed.log();
        let again = log.lines().filter(|line| line.contains("still has no HTCJobs")).count();
        match (answer.code, again) {
            (503, 2..) if answer.text.contains("CRD") => Ok(()),
            _ => Err(format!("{answer:?}, {again} times")),
        }
    })
    .await;
}
