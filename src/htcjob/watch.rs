//! The watch of HTCJobs, which outlives their CRD.

use std::sync::Arc;

use futures::future::ready;
use futures::{Stream, StreamExt, stream};
use htc_core::workload::names::Uid;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt};
use tokio::time::sleep;

use super::error::is_absent;
use super::object::was_refused;
use super::state::DoorState;
use super::types::HTCJob;
use crate::limits::{CRD_LOOK, LIST_PAGE, RECONCILE_BACKOFF, WATCH_SECONDS};

/// An HTCJob that may be malformed: one that is must not stop the watch of the others.
pub type Guarded = DeserializeGuard<HTCJob>;

/// Where HTCJobs are watched: in one namespace, or everywhere.
#[derive(Clone, Debug)]
pub struct Place(pub Option<String>);

impl Place {
    /// Whether an object of this namespace is here.
    pub fn has(&self, namespace: Option<&str>) -> bool {
        self.0.is_none() || self.0.as_deref() == namespace
    }

    /// The HTCJobs that are here.
    pub fn api(&self, state: &DoorState) -> Api<Guarded> {
        match &self.0 {
            Some(namespace) => Api::namespaced(state.client.clone(), namespace),
            None => Api::all(state.client.clone()),
        }
    }
}

/// What is left out of an object in the cache has this annotation there, and nowhere else.
const SLIM: &str = "htc.cern.ch/slim";

/// What `kubectl apply` leaves behind: the object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Drops what nobody here reads. Of an object that is done with, since the engine has what shall run of it
/// (`is_taken`) or it was refused, that is also its script, of which each object may have 1.5 MB.
pub fn slim(object: &mut Guarded, is_taken: impl Fn(&Uid) -> bool) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.remove(LAST_APPLIED);
    let uid = metadata.uid.as_deref().unwrap_or_default().parse().ok();
    let Ok(job) = &mut object.0 else { return };
    if was_refused(job) || uid.is_some_and(|uid| is_taken(&uid)) {
        job.spec.script.source = String::new();
        job.spec.script.command = String::new();
        job.spec.htcopts = None;
        job.annotations_mut().insert(SLIM.to_owned(), String::new());
    }
}

/// Whether something of what an object asks for may be left out here.
pub fn is_slim(object: &HTCJob) -> bool {
    object.annotations().contains_key(SLIM)
}

/// The watch of a place. When the CRD goes, it ends; when the CRD is back, it begins anew, with a list of
/// all that is there then.
pub fn watch(
    api: Api<Guarded>,
    state: Arc<DoorState>,
) -> impl Stream<Item = watcher::Result<watcher::Event<Guarded>>> + Send + 'static {
    let next = move |first: bool| {
        let (api, state) = (api.clone(), state.clone());
        async move {
            if !first {
                state.set_ready(false);
                sleep(RECONCILE_BACKOFF.0).await;
                wait_for_crd(api.clone(), &state).await;
                state.set_ready(true);
            }
            let events = watcher(api, watcher::Config::default().page_size(LIST_PAGE).timeout(WATCH_SECONDS));
            Some((events.take_while(|event| ready(!is_without_crd(event))), false))
        }
    };
    stream::unfold(true, next).flatten()
}

fn is_without_crd<T>(event: &watcher::Result<T>) -> bool {
    let (Err(watcher::Error::InitialListFailed(why)) | Err(watcher::Error::WatchStartFailed(why))) = event
    else {
        return false;
    };
    has_no_htcjobs(why)
}

fn has_no_htcjobs(why: &kube::Error) -> bool {
    matches!(why, kube::Error::Api(status) if is_absent(status))
}

/// Waits until HTCJobs can be listed: without the CRD there is nothing to watch, and that nothing
/// is listed says nothing about what was there.
pub async fn wait_for_crd(api: Api<Guarded>, state: &DoorState) {
    let (mut pause, longest) = (RECONCILE_BACKOFF.0, CRD_LOOK);
    while let Err(why) = api.list_metadata(&ListParams::default().limit(1)).await {
        match has_no_htcjobs(&why) {
            true if state.misses_crd() => tracing::warn!(
                "the API server has no HTCJobs: nothing follows from that for those that were there; \
                 kubectl apply -f crds/htcjob.yaml"
            ),
            true => tracing::debug!(?pause, "the API server still has no HTCJobs"),
            false => tracing::warn!(%why, "failed to list HTCJobs; it is tried again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cached(status: Value, is_taken: bool) -> HTCJob {
        let object = json!({
            "apiVersion": "htc.cern.ch/v1", "kind": "HTCJob",
            "metadata": {
                "name": "j", "namespace": "n", "uid": "u", "finalizers": ["f"],
                "annotations": { LAST_APPLIED: "long", "mine": "x" },
                "managedFields": [{ "manager": "kubectl" }],
            },
            "spec": { "name": "j", "queue": 3, "htcopts": "rank = 1",
                      "script": { "image": "i", "command": "c", "source": "s" } },
            "status": status,
        });
        let mut object: Guarded = serde_json::from_value(object).unwrap();
        slim(&mut object, |uid| is_taken && uid.as_str() == "u");
        object.0.ok().unwrap()
    }

    #[test]
    fn a_script_stays_in_the_cache_only_until_it_is_taken_or_refused() {
        let refused = json!({ "uniqid": "u", "phase": "Failed", "reason": crate::htcjob::INVALID_SPEC });
        for (status, is_taken, is_dropped) in
            [(Value::Null, false, false), (Value::Null, true, true), (refused, false, true)]
        {
            let job = cached(status, is_taken);
            let script = &job.spec.script;
            let expected = if is_dropped { ("", "") } else { ("s", "c") };
            assert_eq!((script.source.as_str(), script.command.as_str()), expected);
            assert_eq!((is_slim(&job), job.spec.htcopts.is_none()), (is_dropped, is_dropped));
            // What is read of every object stays.
            assert_eq!((job.spec.queue, job.finalizers().len()), (Some(3), 1));
            assert!(job.metadata.managed_fields.is_none() && job.annotations().contains_key("mine"));
            assert!(!job.annotations().contains_key(LAST_APPLIED));
        }
    }
}
