//! What one namespace may do, and what a site sets against it: images, limits, roles, an admission policy.

use std::fs;
use std::os::unix::fs::symlink;

use htc_operator::htcjob::types::Phase;
use serde_json::{Value, json};

use crate::harness::{Bed, host, image, kubectl, on_bed, tool, until};

const ROLES: &str = include_str!("../../deploy/roles.yaml");
const POLICY: &str = include_str!("../../deploy/admission/limits.yaml");

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn by_default_nobody_leaves_the_container_and_the_sentence_says_what_to_do() {
    on_bed(async |bed: &mut Bed| {
        // Accepted under other settings: it goes on.
        bed.start().await;
        let before = bed.apply(host("before", &format!("{}true", bed.gate("go")))).await;
        bed.until_phase(&before, Phase::Running).await;
        bed.kill().await;

        let namespace = bed.other_namespace.clone();
        bed.set("HTC_HOST_IMAGE_NAMESPACES", Some(&namespace));
        bed.set("HTC_IMAGE_PATHS", None);
        bed.start().await;
        for (name, text) in [("host", "host"), ("root", "/"), ("up", "/cvmfs/../etc"), ("tmp", "/tmp/x.sif")]
        {
            let job = bed.apply(image(text, name, "true")).await;
            let status = bed.until_phase(&job, Phase::Failed).await;
            assert_eq!(status.reason.as_deref(), Some("InvalidSpec"), "{text}");
            assert!(status.message.unwrap().contains("spec.script.image: "), "{text}");
        }
        let allowed = bed.apply_in(&namespace, host("allowed", "true")).await;
        bed.until_phase(&allowed, Phase::Succeeded).await;

        let output = bed.command(&["doctor", "--no-test-job", "--output", "json"]).output().await.unwrap();
        let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let told: Vec<&str> = findings
            .iter()
            .filter(|f| f["check"] == "HTCJobs" && f["level"] == "warning")
            .map(|f| f["found"].as_str().unwrap())
            .collect();
        assert_eq!(told.len(), 1, "{findings:#?}");
        assert!(told[0].contains(&format!("{}/before would be refused now", bed.namespace)), "{told:?}");
        bed.open("go");
        bed.until_phase(&before, Phase::Succeeded).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_link_in_an_allowed_folder_leads_no_image_out_of_it() {
    on_bed(async |bed: &mut Bed| {
        let images = bed.folder.join("images");
        fs::create_dir(&images).unwrap();
        symlink("/", images.join("out")).unwrap();
        bed.set("HTC_IMAGE_PATHS", images.to_str());
        bed.start().await;
        let job = bed.apply(image(images.join("out").to_str().unwrap(), "out", "true")).await;
        let status = bed.until_phase(&job, Phase::Failed).await;
        let message = status.message.unwrap_or_default();
        assert!(message.contains("leads to / on this worker"), "{message}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_namespace_has_no_more_jobs_in_the_queue_than_it_may_and_its_ads_name_it() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_MAX_JOBS_PER_NAMESPACE", Some("2"));
        bed.start().await;
        let mut many = host("many", &format!("{}true", bed.gate("go")));
        many.spec.queue = Some(5);
        let many = bed.apply(many).await;
        let namespace = bed.other_namespace.clone();
        let one = bed.apply_in(&namespace, host("one", &format!("{}true", bed.gate("go")))).await;
        bed.until_phase(&one, Phase::Running).await;
        bed.until_phase(&many, Phase::Running).await;
        let constraint = format!("HTCOperatorInstance == \"{}\"", bed.id);
        let arguments = ["-allusers", "-constraint", &constraint, "-af", "HTCNamespace", "HTCName"];
        let said = until("condor_q", async || tool("condor_q", &arguments).await).await;
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        let (ours, other) = (format!("{} many", bed.namespace), format!("{namespace} one"));
        assert_eq!(lines, [ours.as_str(), ours.as_str(), other.as_str()]);
        bed.open("go");
        bed.until_phase(&many, Phase::Succeeded).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn who_may_edit_a_namespace_may_run_htcjobs_in_it_and_write_no_status() {
    on_bed(async |bed| {
        kubectl(&["apply", "-f", "-"], ROLES).await.unwrap();
        for (user, role) in [("viewer", "view"), ("editor", "edit")] {
            let (user, role_given) = (format!("--user={user}-{}", bed.id), format!("--clusterrole={role}"));
            let arguments = ["create", "rolebinding", role, "-n", &bed.namespace, &user, &role_given];
            kubectl(&arguments, "").await.unwrap();
        }
        let may = async |user: &str, verb: &str, resource: &str| {
            let user = format!("--as={user}-{}", bed.id);
            let arguments = ["auth", "can-i", verb, resource, "-n", &bed.namespace, &user];
            kubectl(&arguments, "").await.is_ok()
        };
        until("the roles are aggregated", async || {
            match may("editor", "create", "htcjobs.htc.cern.ch").await {
                true => Ok(()),
                false => Err("not yet".to_owned()),
            }
        })
        .await;
        for verb in ["get", "list", "watch"] {
            assert!(may("viewer", verb, "htcjobs.htc.cern.ch").await, "{verb}");
        }
        for verb in ["create", "update", "patch", "delete"] {
            assert!(may("editor", verb, "htcjobs.htc.cern.ch").await, "{verb}");
            assert!(!may("viewer", verb, "htcjobs.htc.cern.ch").await, "{verb}");
        }
        for (verb, part) in [("patch", "status"), ("update", "status"), ("update", "finalizers")] {
            for user in ["viewer", "editor"] {
                let (who, part) = (format!("--as={user}-{}", bed.id), format!("--subresource={part}"));
                let arguments =
                    ["auth", "can-i", verb, "htcjobs.htc.cern.ch", "-n", &bed.namespace, &who, &part];
                assert!(kubectl(&arguments, "").await.is_err(), "{user} {verb} {part}");
            }
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_sample_policy_refuses_before_anything_is_stored() {
    on_bed(async |bed| {
        let selector = format!("matchLabels: {{kubernetes.io/metadata.name: {}}}", bed.namespace);
        let policy = POLICY
            .replace("htcjobs.limits.htc.cern.ch", &format!("{}.limits.htc.cern.ch", bed.id))
            .replace("namespaceSelector: {}", &format!("namespaceSelector: {{{selector}}}"));
        kubectl(&["apply", "-f", "-"], &policy).await.unwrap();
        let label = async |labels: Value| {
            let labels = json!({ "metadata": { "labels": labels } }).to_string();
            kubectl(&["patch", "namespace", &bed.namespace, "--type=merge", "-p", &labels], "")
                .await
                .unwrap();
        };
        let create = async |image_name: &str, copies: i64| {
            let mut job = image(image_name, "judged", "true");
            job.spec.queue = Some(copies);
            let job = serde_json::to_string(&job).unwrap();
            kubectl(&["create", "--dry-run=server", "-n", &bed.namespace, "-f", "-"], &job).await
        };
        let refused = async |image_name: &str, copies: i64, why: &str| {
            until("the policy judges", async || match create(image_name, copies).await {
                Err(said) if said.contains(why) => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
        };
        let taken = async |image_name: &str, copies: i64| {
            until("the policy lets it pass", async || create(image_name, copies).await).await;
        };
        refused("host", 1, "spec.script.image: this namespace may not run outside of a container").await;
        refused("centos", 1_001, "spec.queue: 1001 copies are more than the 1000").await;
        taken("centos", 1_000).await;
        label(json!({ "htc.cern.ch/host-image": "allowed", "htc.cern.ch/queue-max": "2" })).await;
        taken("host", 2).await;
        refused("host", 3, "more than the 2").await;
        label(json!({ "htc.cern.ch/images": "registry.example.org" })).await;
        refused("centos", 1, "come from registry.example.org").await;
        taken("registry.example.org/centos", 1).await;
        kubectl(&["delete", "-f", "-"], &policy).await.unwrap();
    })
    .await;
}
