//! Kubernetes: reachable, our rights one by one, the CRD in our version, and its clock.

use axum::http::Request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::Value;

use super::super::{kubernetes, serve};
use super::finding::Finding;
use super::{lease, objects};
use crate::config::KubernetesSettings;
use crate::htcjob::Site;
use crate::htcjob::types::crd_fields;
use crate::limits::CLOCK_DIFFERENCE;

/// What we need and why it is in `deploy/rbac.yaml`: group, resource, the one name if it is only
/// that, and the verbs.
pub const RIGHTS: &[(&str, &str, Option<&str>, &[&str])] = &[
    ("htc.cern.ch", "htcjobs", None, &["get", "list", "watch", "patch"]),
    ("htc.cern.ch", "htcjobs/status", None, &["patch"]),
    ("events.k8s.io", "events", None, &["create", "patch"]),
    ("", "namespaces", Some("kube-system"), &["get"]),
];

const API: &str = "Kubernetes";

/// Everything about it, for an operator with these settings and this instance id.
pub async fn check(settings: &KubernetesSettings, instance: Option<&str>, site: &Site) -> Vec<Finding> {
    let (namespaces, remedy) =
        (&settings.watch_namespace, "set KUBECONFIG, or run in a pod with a service account");
    let client = match kubernetes::client().await {
        Ok(client) => client,
        Err(why) => return vec![Finding::failed(API, why.to_string(), remedy)],
    };
    let version = match client.apiserver_version().await {
        Ok(version) => version.git_version,
        Err(why) => {
            return vec![Finding::failed(API, format!("the API server does not answer: {why}"), remedy)];
        }
    };
    let mut findings = vec![Finding::ok(API, format!("the API server answers, {version}"))];
    findings.extend(rights(&client, namespaces).await);
    let instance = match instance {
        Some(instance) => Ok(instance.to_owned()),
        None => serve::cluster_id(&client).await,
    };
    // Without it the operator does not start, and the rights tell why.
    if let Ok(instance) = instance {
        findings.push(lease::check(&client, &settings.lease_namespace, &instance).await);
    }
    findings.push(crd(&client).await);
    findings.extend(objects::check(&client, namespaces, site).await);
    findings.extend(clock(&client).await);
    findings
}

async fn rights(client: &Client, namespaces: &[String]) -> Vec<Finding> {
    let check = "API rights";
    let places: Vec<Option<&str>> = match namespaces {
        [] => vec![None],
        named => named.iter().map(|name| Some(name.as_str())).collect(),
    };
    let (mut missing, mut asked) = (Vec::new(), 0);
    for (group, resource, name, verbs) in RIGHTS {
        let is_cluster_wide = *resource == "namespaces";
        for place in places.iter().take(if is_cluster_wide { 1 } else { usize::MAX }) {
            let place = place.filter(|_| !is_cluster_wide);
            for verb in *verbs {
                asked += 1;
                let what = format!("{verb} {resource} in {}", place.unwrap_or("all namespaces"));
                match may(client, (group, resource, *name), verb, place).await {
                    Ok(true) => {}
                    Ok(false) => missing.push(what),
                    Err(why) => return vec![Finding::failed(check, why.to_string(), "ask again later")],
                }
            }
        }
    }
    let remedy = "kubectl apply -f deploy/rbac.yaml, and bind it to this account";
    match missing.is_empty() {
        true => vec![Finding::ok(check, format!("all {asked} that are needed"))],
        false => {
            missing.iter().map(|what| Finding::failed(check, format!("may not {what}"), remedy)).collect()
        }
    }
}

/// Whether we may do so.
pub async fn may(
    client: &Client,
    (group, resource, name): (&str, &str, Option<&str>),
    verb: &str,
    namespace: Option<&str>,
) -> kube::Result<bool> {
    let (resource, sub) = resource.split_once('/').map_or((resource, None), |(r, s)| (r, Some(s.to_owned())));
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: sub,
        name: name.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        ..Default::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..Default::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    Ok(api.create(&PostParams::default(), &review).await?.status.is_some_and(|status| status.allowed))
}

/// The schema as everybody may read it; we have no right to read the CRD itself.
async fn crd(client: &Client) -> Finding {
    let check = "CRD";
    let remedy = "kubectl apply --server-side -f crds/htcjob.yaml (the one of this version)";
    let request = Request::get("/openapi/v3/apis/htc.cern.ch/v1alpha1").body(Vec::new());
    let request = request.expect("a constant path is a request");
    match client.request::<Value>(request).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Finding::failed(check, "the API server has no HTCJobs", remedy)
        }
        Err(why) => Finding::failed(check, format!("its schema cannot be read: {why}"), remedy),
        Ok(schema) => judge_crd(&schema, remedy),
    }
}

fn judge_crd(schema: &Value, remedy: &str) -> Finding {
    let properties = &schema["components"]["schemas"]["ch.cern.htc.v1alpha1.HTCJob"]["properties"];
    let has = |path: &(&str, String)| !properties[path.0]["properties"][&path.1].is_null();
    let missing: Vec<String> =
        crd_fields().iter().filter(|path| !has(path)).map(|(a, b)| format!("{a}.{b}")).collect();
    match missing.is_empty() {
        true => Finding::ok("CRD", "HTCJobs are installed, in our version"),
        false => Finding::failed(
            "CRD",
            format!("HTCJobs are installed in another version, without {}", missing.join(", ")),
            remedy,
        ),
    }
}

async fn clock(client: &Client) -> Option<Finding> {
    let request = Request::get("/version").body(kube::client::Body::empty()).ok()?;
    let answer = client.send(request).await.ok()?;
    let date = answer.headers().get("date")?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(judge_clock(theirs, Timestamp::now()))
}

fn judge_clock(theirs: Timestamp, ours: Timestamp) -> Finding {
    let difference = ours.duration_since(theirs);
    let text = format!("{} s from the API server's", difference.as_secs());
    match SignedDuration::try_from(CLOCK_DIFFERENCE) {
        Ok(limit) if difference.abs() > limit => Finding::warning(
            "clock",
            text,
            "let both machines ask a time server: credentials go by the clock",
        ),
        _ => Finding::ok("clock", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_that_are_checked_are_those_of_rbac_yaml() {
        let yaml = include_str!("../../../deploy/rbac.yaml");
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).unwrap();
        let role = documents.iter().find(|document| document["kind"] == "ClusterRole").unwrap();
        let texts = |value: &Value| -> Vec<String> {
            value
                .as_array()
                .map(|list| list.iter().map(|v| v.as_str().unwrap().to_owned()).collect())
                .unwrap_or_default()
        };
        let mut given: Vec<String> = Vec::new();
        for rule in role["rules"].as_array().unwrap() {
            let names = texts(&rule["resourceNames"]);
            for (group, resource) in texts(&rule["apiGroups"]).iter().zip(texts(&rule["resources"])) {
                given.push(format!("{group} {resource} {names:?} {:?}", texts(&rule["verbs"])));
            }
        }
        let checked = RIGHTS.iter().map(|(group, resource, name, verbs)| {
            format!("{group} {resource} {:?} {verbs:?}", name.iter().collect::<Vec<_>>())
        });
        assert_eq!(given, checked.collect::<Vec<_>>());

        let role = documents.iter().find(|document| document["kind"] == "Role").unwrap();
        assert_eq!(texts(&role["rules"][0]["verbs"]), lease::VERBS);
        assert_eq!(role["metadata"]["namespace"], crate::config::LEASE_NAMESPACE);
    }

    #[test]
    fn a_schema_without_a_field_of_ours_is_another_version() {
        let mut properties = serde_json::json!({});
        for (part, field) in crd_fields() {
            properties[part]["properties"][field] = serde_json::json!({ "type": "string" });
        }
        let schema = |properties| serde_json::json!({ "components": { "schemas": { "ch.cern.htc.v1alpha1.HTCJob": { "properties": properties } } } });
        assert!(!judge_crd(&schema(properties.clone()), "").has_failed());
        properties["status"]["properties"]["phase"] = Value::Null;
        assert!(judge_crd(&schema(properties), "").found.contains("status.phase"));
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(judge_clock(at(1000), at(1010)).to_string().starts_with("ok"));
        assert!(judge_clock(at(1100), at(1000)).to_string().starts_with("warning"));
    }
}
