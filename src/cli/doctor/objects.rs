//! HTCJobs that were accepted and would be refused with these settings, in this version.

use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client, ResourceExt};

use super::finding::Finding;
use crate::htcjob::translate::translate;
use crate::htcjob::types::{HTCJob, Phase};
use crate::htcjob::{INVALID_SPEC, Site};
use crate::limits::LIST_PAGE;

const CHECK: &str = "HTCJobs";
/// More are counted.
const TOLD_MOST: usize = 10;

/// Looks at all HTCJobs of these namespaces, or of all when none is named. None where they cannot be listed,
/// which other checks tell.
pub async fn check(client: &Client, namespaces: &[String], site: &Site) -> Vec<Finding> {
    let places: Vec<Api<DeserializeGuard<HTCJob>>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        named => named.iter().map(|name| Api::namespaced(client.clone(), name)).collect(),
    };
    let (mut refused, mut seen) = (Vec::new(), 0);
    for place in places {
        let mut page = ListParams::default().limit(LIST_PAGE);
        loop {
            let Ok(list) = place.list(&page).await else { return Vec::new() };
            seen += list.items.len();
            refused
                .extend(list.items.iter().filter_map(|object| refused_today(object.0.as_ref().ok()?, site)));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    findings(refused, seen)
}

/// Why an object that was accepted would be refused.
fn refused_today(job: &HTCJob, site: &Site) -> Option<String> {
    let was_refused = job.status.as_ref().is_some_and(|status| {
        status.phase == Some(Phase::Failed) && status.reason.as_deref() == Some(INVALID_SPEC)
    });
    let namespace = job.namespace().unwrap_or_default();
    let why = translate(&job.spec, &namespace, site).err().filter(|_| !was_refused)?;
    Some(format!("{namespace}/{} would be refused now: {why}", job.name_any()))
}

fn findings(refused: Vec<String>, seen: usize) -> Vec<Finding> {
    if refused.is_empty() {
        return vec![Finding::ok(CHECK, format!("all {seen} would be accepted as they are"))];
    }
    let remedy = "it goes on; change it before it is created again, or the settings: docs/tenancy.md";
    let more = refused.len().saturating_sub(TOLD_MOST);
    let told = refused.into_iter().take(TOLD_MOST).map(|text| Finding::warning(CHECK, text, remedy));
    let rest =
        (more > 0).then(|| Finding::warning(CHECK, format!("{more} more would be refused now"), remedy));
    told.chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(image: &str, status: serde_json::Value) -> HTCJob {
        let object = json!({
            "apiVersion": "htc.cern.ch/v1alpha1",
            "kind": "HTCJob",
            "metadata": { "name": "zero", "namespace": "n", "uid": "u" },
            "spec": { "name": "zero", "script": { "image": image, "command": "bash", "source": "" } },
            "status": status
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_was_accepted_and_would_be_refused_is_named_with_its_field() {
        let site = Site::default();
        let why = refused_today(&job("host", json!({ "phase": "Running" })), &site).unwrap();
        assert!(why.starts_with("n/zero would be refused now: spec.script.image: "), "{why}");
        assert_eq!(refused_today(&job("centos", json!(null)), &site), None);
        let refused = json!({ "phase": "Failed", "reason": INVALID_SPEC });
        assert_eq!(refused_today(&job("host", refused), &site), None, "that is known");
    }

    #[test]
    fn a_long_list_is_cut_and_counted() {
        let list = |n: usize| findings((0..n).map(|n| n.to_string()).collect(), n);
        assert!(list(0)[0].to_string().starts_with("ok"));
        assert_eq!((list(3).len(), list(TOLD_MOST).len(), list(30).len()), (3, TOLD_MOST, TOLD_MOST + 1));
        assert!(list(30).last().unwrap().found.starts_with("20 more"));
        assert!(!list(30).iter().any(Finding::has_failed));
    }
}
