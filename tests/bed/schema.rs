//! What the API server itself says of HTCJobs: it is the CRD in the cluster that speaks here.

use htc_operator::htcjob::FINALIZER;
use htc_operator::htcjob::types::{HTCJob, HTCJobStatus, Phase};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::harness::{Job, host, kubectl, on_bed, with_operator};

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

/// The schema is stricter with an object that is made than with one that is there: what it lets in, it
/// lets be changed.
#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn objects_as_the_predecessor_stored_them_can_be_changed_and_are_told_what_is_wrong() {
    on_bed(async |bed| {
        let script = |source: &str| json!({ "image": "centos", "command": "bash", "source": source });
        let empty = json!({ "image": "", "command": "", "source": "" });
        let specs = [
            ("none", json!({ "name": "zero", "script": script("exit 0"), "queue": 0, "htcopts": "queue 5" })),
            ("empty", json!({ "name": "", "script": empty, "queue": -1 })),
            ("many", json!({ "name": "many", "script": script("exit 0"), "queue": i64::MAX })),
            (
                "long",
                json!({ "name": "x".repeat(5_000), "script": script(&"#\n".repeat(500_000)),
                "htcopts": "\u{1}" }),
            ),
        ];
        // With an id that can be read its job would be followed, whatever the spec says.
        let status = json!({ "active": 1, "succeeded": 0, "failed": -1, "uniqid": "", "clusterid": i64::MAX,
            "jobid": ["x", ""], "jobids": [], "uniqID": "0af3", "jobIDs": ["884426.0"] });
        let resource = ApiResource::erase::<HTCJob>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(bed.client.clone(), &bed.namespace, &resource);
        let parameters = PatchParams::default();
        for (name, spec) in &specs {
            let object = json!({ "metadata": { "name": name, "finalizers": [FINALIZER] }, "spec": spec,
                "apiVersion": "htc.cern.ch/v1alpha1", "kind": "HTCJob" });
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
            let status = Patch::Merge(json!({ "status": status }));
            api.patch_status(name, &parameters, &status).await.unwrap();
        }
        bed.start().await;
        for (name, _) in specs {
            let uid = api.get(name).await.unwrap().uid().unwrap();
            let job = Job { namespace: bed.namespace.clone(), name: name.to_owned(), uid };
            let refused = |s: &HTCJobStatus| s.reason.as_deref() == Some("InvalidSpec");
            bed.until_status(&job, "refused", refused).await;
            for [verb, change] in [["label", "a=b"], ["annotate", "a=b"]] {
                kubectl(&[verb, "hj", name, change, "-n", &bed.namespace], "").await.unwrap();
            }
            let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
            let freed = api.patch(name, &parameters, &free).await.unwrap();
            assert_eq!((freed.labels().len(), freed.annotations().len()), (1, 1));
            assert!(freed.finalizers().is_empty());
        }
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
        let columns = [
            "NAME",
            "PHASE",
            "REASON",
            "COMPLETIONS",
            "ACTIVE",
            "HELD",
            "FAILED",
            "CLUSTER",
            "AGE",
            "MESSAGE",
        ];
        assert_eq!(rows[0], columns);
        assert_eq!(rows[1][..7], ["table", "Failed", "Error", "0/1", "0", "0", "1"]);
        assert_eq!(rows[1][7], status.clusterid.unwrap().to_string());
        assert!(kubectl(&["get", "htc", "-n", &bed.namespace], "").await.unwrap().contains("table"));
    })
    .await;
}
