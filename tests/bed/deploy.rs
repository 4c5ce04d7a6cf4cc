//! `deploy/` and the image: what is applied is what the operator understands, and a cluster that
//! allows no privilege takes it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use htc_operator::limits::SHUTDOWN_PATIENCE;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{Bed, files_below, kubectl, on_bed, repository};

const DEPLOYMENT: &str = include_str!("../../deploy/deployment.yaml");
const DOCKERFILE: &str = include_str!("../../Dockerfile");
const KUSTOMIZATION: &str = include_str!("../../deploy/kustomization.yaml");
const RBAC: &str = include_str!("../../deploy/rbac.yaml");
const RBAC_OF_ONE: &str = include_str!("../../deploy/namespaced/rbac.yaml");
const SECRETS: &str = include_str!("../../deploy/secrets.example.yaml");

#[test]
fn every_right_has_its_reason() {
    for (rights, least) in [(RBAC, 4), (RBAC_OF_ONE, 3)] {
        let lines: Vec<&str> = rights.lines().collect();
        let rules: Vec<usize> = (0..lines.len()).filter(|n| lines[*n].starts_with("- apiGroups:")).collect();
        assert!(rules.len() >= least);
        for rule in rules {
            assert!(lines[rule - 1].starts_with("# "), "{} has no reason", lines[rule]);
        }
    }
}

#[test]
fn every_setting_of_the_deployment_is_one_of_serve() {
    let help = Command::new(env!("CARGO_BIN_EXE_htc-operator")).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let known: BTreeSet<&str> = help.split("[env: ").skip(1).map(word).collect();
    let used: BTreeSet<String> = files_below("deploy")
        .iter()
        // Scripts have settings of their own.
        .filter(|(name, _)| !name.ends_with(".sh"))
        .flat_map(|(_, text)| text.lines().filter(|line| !line.trim_start().starts_with('#')))
        .filter_map(|line| line.find("HTC_").map(|at| word(&line[at..]).to_owned()))
        .collect();
    assert!(used.len() >= 7, "{used:?}");
    for name in &used {
        assert!(known.contains(name.as_str()), "serve knows no {name}, only {known:?}");
    }
}

/// The name at the start of a text.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_').next().unwrap()
}

#[test]
fn the_pod_has_longer_to_end_than_the_operator_needs() {
    let pod = &document(DEPLOYMENT)["spec"]["template"]["spec"];
    // The doors, then the workers.
    let needed = 2 * SHUTDOWN_PATIENCE.as_secs();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > needed);
}

#[test]
fn image_and_manifests_speak_of_the_same_user_and_version() {
    let user = document(DEPLOYMENT)["spec"]["template"]["spec"]["securityContext"]["runAsUser"].to_string();
    assert!(DOCKERFILE.contains(&format!("useradd --uid {user} ")));
    assert!(DOCKERFILE.contains(&format!("\nUSER {user}\n")));
    assert_eq!(document(KUSTOMIZATION)["images"][0]["newTag"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_image_is_built_from_what_is_there_and_from_named_versions() {
    let ignore = fs::read_to_string(repository().join(".dockerignore")).unwrap();
    let kept: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let words = |line: &'static str| line.split_whitespace().skip(1).collect::<Vec<_>>();
    let lines = |kind: &'static str| DOCKERFILE.lines().filter(move |line| line.starts_with(kind));
    for line in lines("COPY ").filter(|line| !line.contains("--from=")) {
        for source in words(line).split_last().unwrap().1 {
            assert!(repository().join(source).exists(), "{source} is not there");
            assert!(kept.contains(&source.trim_end_matches('/')), "{source} is ignored");
        }
    }
    for image in lines("FROM ").map(|line| words(line)[0]) {
        assert!(image.split_once(':').is_some_and(|(_, tag)| tag != "latest"), "{image} has no version");
    }
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_api_server_takes_the_whole_of_deploy() {
    on_bed(async |bed| {
        let sites = [&[][..], &["kerberos"], &["interlink"], &["kerberos", "interlink"], &["namespaced"]];
        let mut all = vec![SECRETS.to_owned()];
        for components in sites {
            all.push(deploy(bed, components).await);
        }
        for manifests in all {
            let applied = kubectl(&["apply", "--dry-run=server", "-f", "-"], &manifests).await.unwrap();
            let objects = serde_saphyr::from_multiple::<Value>(&manifests).unwrap();
            assert_eq!(applied.lines().count(), objects.len(), "{applied}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_namespace_that_allows_no_privilege_takes_the_pod() {
    on_bed(async |bed| {
        let manifests = deploy(bed, &[]).await;
        let labels =
            json!({ "metadata": { "labels": object(&manifests, "Namespace")["metadata"]["labels"] } });
        let namespaces: Api<Namespace> = Api::all(bed.client.clone());
        namespaces.patch(&bed.namespace, &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
        let account = serde_json::from_value(json!({ "metadata": { "name": "htc-operator" } })).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(bed.client.clone(), &bed.namespace);
        accounts.create(&PostParams::default(), &account).await.unwrap();

        for manifests in [manifests, deploy(bed, &["kerberos"]).await, deploy(bed, &["interlink"]).await] {
            let mut pod = object(&manifests, "Deployment")["spec"]["template"].clone();
            for (name, value) in [("apiVersion", json!("v1")), ("kind", json!("Pod"))] {
                pod[name] = value;
            }
            pod["metadata"]["name"] = json!("judged");
            let arguments = ["create", "--dry-run=server", "-n", &bed.namespace, "-f", "-"];
            kubectl(&arguments, &pod.to_string()).await.unwrap();
            // The judge is there.
            pod["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
            let why = kubectl(&arguments, &pod.to_string()).await.unwrap_err();
            assert!(why.contains("violates PodSecurity \"restricted"), "{why}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_interlink_port_is_served_reached_and_asks_who_calls() {
    on_bed(async |bed| {
        let manifests = deploy(bed, &["interlink"]).await;
        let container = &object(&manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        let ports = serde_json::from_value::<Vec<Value>>(container["ports"].clone()).unwrap();
        // What was there stays.
        let names: BTreeSet<&str> = ports.iter().map(|port| port["name"].as_str().unwrap()).collect();
        assert_eq!(names, BTreeSet::from(["events", "health", "interlink"]));
        let port =
            ports.iter().find(|port| port["name"] == "interlink").unwrap()["containerPort"].to_string();
        let set = |name: &str| {
            let all = container["env"].as_array().unwrap().iter();
            all.clone().find(|set| set["name"] == name).unwrap()["value"].as_str().unwrap().to_owned()
        };
        assert_eq!(set("HTC_INTERLINK_LISTEN"), format!("0.0.0.0:{port}"));
        assert!(set("HTC_DATA_DIR").starts_with("/var/lib/"), "what was there stays");
        let mounts: Vec<&str> = container["volumeMounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| m["mountPath"].as_str().unwrap())
            .collect();
        for name in ["TOKEN_FILE", "TLS_CERT", "TLS_KEY"] {
            let file = set(&format!("HTC_INTERLINK_{name}"));
            assert!(
                mounts.iter().any(|folder| file.starts_with(&format!("{folder}/"))),
                "{file}: {mounts:?}"
            );
        }
        let documents = serde_saphyr::from_multiple::<Value>(&manifests).unwrap();
        let named = |kind: &str, name: &str| {
            let found = documents.iter().find(|d| d["kind"] == kind && d["metadata"]["name"] == name);
            found.unwrap_or_else(|| panic!("{kind} {name}"))
        };
        let service = &named("Service", "htc-operator-interlink")["spec"]["ports"];
        assert_eq!(
            (service[0]["targetPort"].as_str(), service[0]["port"].to_string()),
            (Some("interlink"), port)
        );
        let policy = named("NetworkPolicy", "htc-operator")["spec"]["ingress"].as_array().unwrap();
        let lets_in = |name: &str| policy.iter().any(|rule| rule["ports"][0]["port"] == name);
        assert!(["events", "health", "interlink"].iter().all(|name| lets_in(name)), "{policy:#?}");
    })
    .await;
}

/// What `kubectl apply -k` of `deploy/` with these components would apply, taken from outside as a site
/// would do it.
async fn deploy(bed: &Bed, components: &[&str]) -> String {
    let site = bed.folder.join(format!("site-{}", components.join("-")));
    fs::create_dir_all(&site).unwrap();
    // Kustomize refuses absolute paths.
    let up = "../".repeat(site.components().count() - 1);
    let deploy = format!("{up}{}", repository().join("deploy").strip_prefix("/").unwrap().display());
    let components: Vec<String> = components.iter().map(|name| format!("{deploy}/{name}")).collect();
    let kustomization = json!({ "resources": [deploy], "components": components });
    fs::write(site.join("kustomization.yaml"), kustomization.to_string()).unwrap();
    kubectl(&["kustomize", site.to_str().unwrap()], "").await.unwrap()
}

/// The object of this kind.
fn object(manifests: &str, kind: &str) -> Value {
    let objects: Vec<Value> = serde_saphyr::from_multiple(manifests).unwrap();
    objects.into_iter().find(|object| object["kind"] == kind).unwrap()
}

fn document(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}
