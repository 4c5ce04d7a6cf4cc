//! What the API server itself says of HTCJobs: it is the CRD in the cluster that speaks here.

use htc_operator::htcjob::types::{HTCJob, Phase};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::harness::{host, kubectl, with_operator};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_spec_cannot_be_changed() {
    with_operator(async |bed| {
        let job = bed.apply(host("fixed", "true")).await;
        for change in [
            json!({ "spec": { "queue": 2 } }),
            json!({ "spec": { "script": { "source": "false" } } }),
            json!({ "spec": { "htcopts": "priority = 1" } }),
        ] {
            let patched: Result<HTCJob, _> =
                bed.htcjobs().patch(&job.name, &PatchParams::default(), &Patch::Merge(&change)).await;
            let why = patched.unwrap_err().to_string();
            assert!(why.contains("spec is immutable: delete the HTCJob and create another one"), "{why}");
        }
        bed.until_phase(&job, Phase::Succeeded).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn kubectl_explains_every_field_of_the_spec_and_of_the_status() {
    with_operator(async |_| {
        let fields = ["spec.name", "spec.queue", "spec.htcopts", "spec.script", "status"].map(str::to_owned);
        let script = ["image", "command", "source", "queue"].map(|name| format!("spec.script.{name}"));
        let status = ["phase", "completedIndexes", "jobid", "reason"].map(|name| format!("status.{name}"));
        for field in fields.into_iter().chain(script).chain(status) {
            let text = kubectl(&["explain", &format!("hj.{field}")], "").await.unwrap();
            let description = text.split("DESCRIPTION:").nth(1).unwrap_or_default();
            let words = description.split("FIELDS:").next().unwrap_or_default().split_whitespace().count();
            assert!(words >= 2 && !description.contains("<empty>"), "{text}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn kubectl_shows_phase_and_numbers_in_a_table() {
    with_operator(async |bed| {
        let job = bed.apply(host("table", "exit 1")).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        let arguments = ["get", "hj", "-n", &bed.namespace, "-o", "wide"];
        let table = kubectl(&arguments, "").await.unwrap();
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        let columns =
            ["NAME", "PHASE", "COMPLETIONS", "ACTIVE", "FAILED", "CLUSTER", "AGE", "REASON", "MESSAGE"];
        assert_eq!(rows[0], columns);
        assert_eq!(rows[1][..5], ["table", "Failed", "0/1", "0", "1"]);
        assert_eq!((rows[1][5], rows[1][7]), (status.clusterid.unwrap().to_string().as_str(), "Error"));
        assert!(kubectl(&["get", "htc", "-n", &bed.namespace], "").await.unwrap().contains("table"));
    })
    .await;
}
