//! What the predecessor left behind: its database, its objects, and its jobs in the queue.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use htc_operator::htcjob::FINALIZER;
use htc_operator::htcjob::types::{HTCJob, HTCJobStatus, Phase};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::harness::{Bed, Job, host, on_bed, tool, until};

/// Submits jobs as the predecessor did; gives their cluster. Copy n ends with code n once the gate
/// is open. What a failed test leaves goes by itself.
async fn submit(bed: &Bed, name: &str, copies: u32) -> u64 {
    let folder = bed.folder.join(format!("old-{name}"));
    fs::create_dir_all(&folder).unwrap();
    let (script, description) = (folder.join("job.sh"), folder.join("job.sub"));
    fs::write(&script, format!("#!/bin/sh\n{}exit $1\n", bed.gate("go"))).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let text = format!(
        "universe = vanilla\nexecutable = {}\narguments = $(ProcId)\ninitialdir = {}\n\
         should_transfer_files = YES\nwhen_to_transfer_output = ON_EXIT\n\
         periodic_remove = time() - QDate > 900\nqueue {copies}\n",
        script.display(),
        folder.display()
    );
    fs::write(&description, text).unwrap();
    let said = tool("condor_submit", &["-spool", "-terse", description.to_str().unwrap()]).await.unwrap();
    said.split('.').next().unwrap().trim().parse().unwrap()
}

/// An object as the predecessor left it.
async fn leave(bed: &Bed, mut object: HTCJob, status: Value) -> Job {
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    let job = bed.apply(object).await;
    let api: Api<HTCJob> = Api::namespaced(bed.client.clone(), &job.namespace);
    let patch = Patch::Merge(json!({ "status": status }));
    api.patch_status(&job.name, &PatchParams::default(), &patch).await.unwrap();
    job
}

fn is_inherited(status: &HTCJobStatus) -> bool {
    status.conditions.iter().any(|c| c.type_ == "Inherited" && c.status == "True")
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn jobs_of_the_predecessor_are_followed_and_deleted_and_never_submitted() {
    on_bed(async |bed| {
        let (with_rows, without) = (submit(bed, "rows", 2).await, submit(bed, "bare", 1).await);
        let mut object = host("old", "true");
        object.spec.queue = Some(2);
        let ids = [format!("{with_rows}.0"), format!("{with_rows}.1")];
        let status = json!({ "uniqid": "old-1", "active": 2, "succeeded": 0, "failed": 0, "jobid": ids });
        let old = leave(bed, object, status).await;
        // A spec that would be refused today, and no rows.
        let mut object = host("refused", "true");
        object.spec.script.command = "bash 'x".to_owned();
        let status = json!({ "active": 1, "succeeded": 0, "failed": 0, "jobid": [format!("{without}.0")] });
        let refused = leave(bed, object, status).await;
        fs::create_dir_all(bed.data()).unwrap();
        let store = rusqlite::Connection::open(bed.data().join("htcjobs.db")).unwrap();
        let table =
            "CREATE TABLE htcjobs (htcjobName text, jobId text, status integer, tempDir text, uniqid text);
                     INSERT INTO htcjobs VALUES ('old', NULL, NULL, NULL, NULL);";
        store.execute_batch(table).unwrap();
        for id in ids.iter().chain([&ids[0]]) {
            let row = (id, bed.folder.join("old-rows").display().to_string());
            store.execute("INSERT INTO htcjobs VALUES ('old', ?1, 1, ?2, 'old-1')", row).unwrap();
        }
        drop(store);

        bed.set("HTC_INHERIT_FROM_STATUS", Some("true"));
        bed.set("HTC_CRASH_POINT", Some("inherited-durable"));
        bed.spawn();
        bed.crashed().await;
        bed.set("HTC_CRASH_POINT", None);
        bed.start().await;
        for job in [&old, &refused] {
            let status = bed.until_phase(job, Phase::Running).await;
            assert!(is_inherited(&status), "{status:#?}");
        }
        bed.open("go");
        let status = bed.until_phase(&old, Phase::Failed).await;
        assert_eq!((status.active, status.succeeded, status.failed), (Some(0), Some(1), Some(1)));
        assert_eq!((&status.jobid, status.completed_indexes.as_deref()), (&ids.to_vec(), Some("0")));
        assert!(status.message.as_ref().unwrap().contains("exit code 1"), "{status:#?}");
        bed.until_phase(&refused, Phase::Succeeded).await;
        let left = queue(&[with_rows, without]).await;
        assert_eq!(left.lines().count(), 3, "what they left is still with HTCondor: {left}");

        for job in [&old, &refused] {
            bed.delete(job).await;
            bed.until_gone(job).await;
        }
        assert_eq!(queue(&[with_rows, without]).await, "");
        assert_eq!(bed.metric("htc_submission_jobs_total").await, 0);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_running_job_of_the_predecessor_goes_with_its_object_though_the_operator_was_away() {
    on_bed(async |bed| {
        let cluster = submit(bed, "running", 1).await;
        let status = json!({ "active": 1, "jobid": [format!("{cluster}.0")] });
        let job = leave(bed, host("running", "true"), status).await;
        bed.delete(&job).await;
        bed.start().await;
        // Who may write a status could have put any id there.
        until("it says so", async || {
            let told = bed.events(&job).await?;
            match told.iter().any(|event| event.reason == "InheritanceUnconfirmed") {
                true => Ok(()),
                false => Err(format!("{told:?}")),
            }
        })
        .await;
        assert_eq!(queue(&[cluster]).await.lines().count(), 1);
        bed.kill().await;
        bed.set("HTC_INHERIT_FROM_STATUS", Some("true"));
        bed.start().await;
        bed.until_gone(&job).await;
        assert_eq!(queue(&[cluster]).await, "");
    })
    .await;
}

/// The jobs of these clusters that are in the queue and not removed, one a line.
async fn queue(clusters: &[u64]) -> String {
    let clusters = clusters.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let constraint = format!("JobStatus != 3 && member(ClusterId, {{{clusters}}})");
    let arguments = ["-allusers", "-constraint", &constraint, "-af", "ClusterId", "ProcId", "JobStatus"];
    until("condor_q", async || tool("condor_q", &arguments).await).await
}
