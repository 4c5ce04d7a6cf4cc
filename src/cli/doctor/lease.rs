//! The lease by which a second operator with the same instance id is noticed: may we take it, and who has it?

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};

use super::super::lease;
use super::cluster::may;
use super::finding::Finding;

/// What we need of leases in their namespace, as in `deploy/rbac.yaml`.
pub const VERBS: &[&str] = &["get", "create", "update"];

const GROUP: &str = "coordination.k8s.io";
const LEASES: &str = "leases";
const CHECK: &str = "lease";

/// Looks at the lease of this instance id in this namespace.
pub async fn check(client: &Client, namespace: &str, instance: &str) -> Finding {
    let remedy = "kubectl apply -f deploy/rbac.yaml, or set --lease-namespace; until then a second operator with \
                  this instance id would not be noticed, and every HTCJob could be submitted twice";
    for verb in VERBS {
        match may(client, (GROUP, LEASES, None), verb, Some(namespace)).await {
            Ok(true) => {}
            Ok(false) => {
                return Finding::warning(CHECK, format!("may not {verb} {LEASES} in {namespace}"), remedy);
            }
            Err(why) => return Finding::warning(CHECK, why.to_string(), "ask again later"),
        }
    }
    let name = lease::name(instance);
    let found = Api::<Lease>::namespaced(client.clone(), namespace).get_opt(&name).await;
    let holder = found.map(|found| found?.spec?.holder_identity.filter(|holder| !holder.is_empty()));
    match holder {
        Ok(Some(holder)) => Finding::ok(CHECK, format!("{namespace}/{name} is held by {holder}")),
        Ok(None) => Finding::ok(CHECK, format!("{namespace}/{name} is held by no operator")),
        Err(why) => Finding::warning(CHECK, format!("{namespace}/{name} cannot be read: {why}"), remedy),
    }
}
