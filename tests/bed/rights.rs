//! The operator's rights are those of `deploy/rbac.yaml`: what it needs, which the other tests
//! show, and nothing else.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::harness::{client, on_bed};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_operator_may_do_what_it_needs_and_nothing_else() {
    on_bed(async |_| {
        let operator = client("operator").await;
        let jobs = ("htc.cern.ch", "htcjobs");
        for ((group, resource), verbs) in [
            (jobs, &["get", "list", "watch", "patch"][..]),
            (("htc.cern.ch", "htcjobs/status"), &["patch"]),
            (("events.k8s.io", "events"), &["create", "patch"]),
        ] {
            for verb in verbs {
                assert!(may(&operator, verb, group, resource).await, "{verb} {group} {resource}");
            }
        }
        for ((group, resource), verbs) in [
            (jobs, &["create", "update", "delete", "deletecollection"][..]),
            (("htc.cern.ch", "htcjobs/status"), &["update", "get"]),
            (("events.k8s.io", "events"), &["list", "delete"]),
            (("", "secrets"), &["get", "list", "watch"]),
            (("", "pods"), &["get", "list", "create"]),
            (("", "configmaps"), &["get", "list", "create"]),
            (("", "nodes"), &["get", "list"]),
            (("", "namespaces"), &["list", "create", "get"]),
            (("", "serviceaccounts/token"), &["create"]),
            (("", "users"), &["impersonate"]),
            (("apiextensions.k8s.io", "customresourcedefinitions"), &["get", "list", "create", "patch"]),
            (("rbac.authorization.k8s.io", "clusterroles"), &["get", "bind", "escalate"]),
            (("coordination.k8s.io", "leases"), &["get", "create"]),
        ] {
            for verb in verbs {
                assert!(!may(&operator, verb, group, resource).await, "{verb} {group} {resource}");
            }
        }
    })
    .await;
}

/// Whether this client may do so anywhere.
async fn may(client: &Client, verb: &str, group: &str, resource: &str) -> bool {
    let (resource, sub) = resource.split_once('/').map_or((resource, None), |(r, s)| (r, Some(s.to_owned())));
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: sub,
        ..Default::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..Default::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    api.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}
