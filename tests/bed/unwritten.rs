//! The API server takes no status: what runs goes on, and nothing is submitted a second time.

use htc_operator::htcjob::types::Phase;

use crate::harness::{Bed, host, kubeconfig, kubectl, on_bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_status_that_cannot_be_written_submits_nothing_twice() {
    on_bed(async |bed: &mut Bed| {
        as_somebody_without_status(bed).await;
        bed.start().await;
        let job = bed.apply(host("unwritten", "echo once")).await;
        bed.until_queued(&job, 4, 1).await;
        let failures = async |bed: &Bed, more: u64| {
            until("writes to fail", async || {
                match bed.metric("htc_status_writes_total{kind=\"error\"}").await {
                    enough if enough >= more => Ok(()),
                    n => Err(format!("{n} failed")),
                }
            })
            .await;
        };
        failures(bed, 3).await;
        bed.kill().await;
        bed.start().await;
        failures(bed, 2).await;
        assert_eq!(bed.status(&job).await.phase, None);
        assert_eq!(bed.queued(&job).await.len(), 1, "its end is not told, so it must not leave");

        allow(bed, "htcjobs/status").await;
        let status = bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!((status.completions.as_deref(), status.attempts), (Some("1/1"), Some(1)));
        assert_eq!(bed.log_of(&job).await, "once\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

/// Lets the operator be a user who may do all that it needs but write a status.
async fn as_somebody_without_status(bed: &mut Bed) {
    let admin = std::fs::read_to_string(kubeconfig("admin")).unwrap();
    let file = bed.folder.join("kubeconfig");
    let mut config: serde_json::Value = serde_saphyr::from_str(&admin).unwrap();
    config["users"][0]["user"]["as"] = bed.id.clone().into();
    std::fs::write(&file, config.to_string()).unwrap();
    bed.set("KUBECONFIG", file.to_str());
    allow(bed, "htcjobs").await;
}

/// Allows this user a resource in the namespaces of the bed.
async fn allow(bed: &Bed, resource: &str) {
    for namespace in [&bed.namespace, &bed.other_namespace] {
        let name = resource.replace('/', "-");
        let verbs = "--verb=get,list,watch,patch";
        let resource = format!("--resource={}", resource.replacen("htcjobs", "htcjobs.htc.cern.ch", 1));
        kubectl(&["create", "role", &name, "-n", namespace, verbs, &resource], "").await.unwrap();
        let (role, user) = (format!("--role={name}"), format!("--user={}", bed.id));
        kubectl(&["create", "rolebinding", &name, "-n", namespace, &role, &user], "").await.unwrap();
    }
}
