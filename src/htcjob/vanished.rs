//! Objects that vanish without our leave: somebody took the finalizer off, or the CRD went with all of
//! them. Their jobs must not be forgotten in the pool.

use std::sync::Arc;

use htc_core::workload::names::Uid;
use kube::api::ListParams;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::DOOR;
use super::state::DoorState;
use super::watch::{Guarded, Place};
use crate::limits::{VANISHED_GAP, VANISHED_LOOK};

/// Looks for workloads of a place whose objects are positively gone, until it is dropped: when `seen` says
/// that the watch has brought a whole list or an object's end, and now and then.
///
/// `Store::wait_until_ready` would not do: of several who wait it wakes only one, and the controller waits too.
pub async fn sweep(
    state: Arc<DoorState>,
    api: Api<Guarded>,
    place: Place,
    cache: Store<Guarded>,
    seen: Arc<Notify>,
) {
    seen.notified().await;
    loop {
        let missing = missing(&state, &api, &place, &cache).await;
        // Without the CRD everything answers 404, and that is no knowledge.
        let served = missing.is_empty() || api.list_metadata(&ListParams::default().limit(1)).await.is_ok();
        for (uid, namespace, name) in missing.iter().filter(|_| served) {
            tracing::warn!(%uid, namespace, name, "an HTCJob vanished without our leave; its jobs are removed");
            if let Err(why) = state.engine.gone(uid, DOOR).await {
                tracing::warn!(%why, %uid, "failed to note that an HTCJob is gone; it is tried again");
            }
            state.forget(uid);
        }
        sleep(VANISHED_GAP).await;
        // That the time is over is as good a reason to look.
        let _ = timeout(VANISHED_LOOK, seen.notified()).await;
    }
}

/// The workloads whose objects are neither in the cache nor known to the API server under their UID.
async fn missing(
    state: &DoorState,
    api: &Api<Guarded>,
    place: &Place,
    cache: &Store<Guarded>,
) -> Vec<(Uid, String, String)> {
    let mut missing = Vec::new();
    if !state.is_ready() {
        return missing;
    }
    for uid in state.engine.wished_by(DOOR) {
        let Some((namespace, name)) = state.engine.object_of(&uid, DOOR) else { continue };
        let cached = || cache.get(&ObjectRef::new(&name).within(&namespace));
        if !place.has(Some(&namespace)) || cached().is_some_and(|o| is_of(&uid, o.meta().uid.as_deref())) {
            continue;
        }
        let one: Api<Guarded> = Api::namespaced(api.clone().into_client(), &namespace);
        let there = match one.get_metadata(&name).await {
            Ok(object) => is_of(&uid, object.metadata.uid.as_deref()),
            // A server that does not know HTCJobs answers 404 too, but names no object.
            Err(kube::Error::Api(why)) => {
                why.code != 404 || why.details.as_ref().is_none_or(|d| d.name != name)
            }
            Err(_) => true,
        };
        if !there {
            missing.push((uid, namespace, name));
        }
    }
    missing
}

fn is_of(uid: &Uid, found: Option<&str>) -> bool {
    found == Some(uid.as_str())
}
