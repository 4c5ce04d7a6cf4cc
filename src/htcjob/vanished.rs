//! Objects that vanish without our leave: somebody took the finalizer off, or the CRD went with all of
//! them. Their jobs must not be forgotten in the pool.

use std::sync::Arc;

use htc_core::workload::names::Uid;
use kube::api::ListParams;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource};
use tokio::time::sleep;

use super::DOOR;
use super::reconcile::Guarded;
use super::state::DoorState;
use crate::limits::VANISHED_LOOK;

/// Looks now and then for workloads whose objects are positively gone, until it is dropped.
pub async fn sweep(state: Arc<DoorState>, api: Api<Guarded>, cache: Store<Guarded>) {
    loop {
        sleep(VANISHED_LOOK).await;
        for uid in state.engine.wished_by(DOOR) {
            let Some((namespace, name)) = state.engine.object_of(&uid, DOOR) else { continue };
            let cached = cache.get(&ObjectRef::new(&name).within(&namespace));
            if cached.is_some_and(|object| is_of(&uid, object.meta().uid.as_deref())) {
                continue;
            }
            let one = Api::namespaced(api.clone().into_client(), &namespace);
            if is_positively_gone(&api, &one, &name, &uid).await {
                tracing::warn!(%uid, namespace, name, "an HTCJob vanished without our leave; its jobs are removed");
                if let Err(why) = state.engine.gone(&uid, DOOR).await {
                    tracing::warn!(%why, %uid, "failed to note that an HTCJob is gone; it is tried again");
                }
                state.forget(&uid);
            }
        }
    }
}

/// A 404 counts only while HTCJobs can be listed: without the CRD everything answers 404, and that is
/// no knowledge.
async fn is_positively_gone(all: &Api<Guarded>, one: &Api<Guarded>, name: &str, uid: &Uid) -> bool {
    match one.get_metadata_opt(name).await {
        Ok(Some(object)) => !is_of(uid, object.metadata.uid.as_deref()),
        Ok(None) => all.list_metadata(&ListParams::default().limit(1)).await.is_ok(),
        Err(_) => false,
    }
}

fn is_of(uid: &Uid, found: Option<&str>) -> bool {
    found == Some(uid.as_str())
}
