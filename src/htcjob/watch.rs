//! The watch of HTCJobs, which outlives their CRD.

use std::sync::Arc;

use futures::future::ready;
use futures::{Stream, StreamExt, stream};
use kube::Api;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use tokio::time::sleep;

use super::error::is_absent;
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
