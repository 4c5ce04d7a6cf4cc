//! The driver: watches HTCJobs and takes each through named steps. Only these steps do I/O.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, ready};
use futures::{StreamExt, stream};
use htc_core::workload::names::Uid;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Error};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Resource, ResourceExt};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::DOOR;
use super::error::ReconcileError;
use super::object::Seen;
use super::state::DoorState;
use super::steps::{accept, follow, leave, refuse};
use super::translate::translate;
use super::types::{HTCJob, HTCJobSpec, Script};
use super::vanished;
use crate::engine::Engine;
use crate::limits::RECONCILE_BACKOFF;

pub(super) type Guarded = DeserializeGuard<HTCJob>;

/// Watches these namespaces, or all when none is named, until `stop` is cancelled.
pub async fn run(state: Arc<DoorState>, namespaces: &[String], stop: CancellationToken) {
    let all = namespaces.is_empty().then_some(None);
    let places: Vec<Option<&str>> = namespaces.iter().map(|name| Some(name.as_str())).chain(all).collect();
    let api = |place: &Option<&str>| -> Api<Guarded> {
        match place {
            Some(namespace) => Api::namespaced(state.client.clone(), namespace),
            None => Api::all(state.client.clone()),
        }
    };
    tokio::select! {
        _ = join_all(places.iter().map(|place| wait_for_crd(api(place)))) => state.set_ready(),
        () = stop.cancelled() => return,
    }
    join_all(places.iter().map(|place| control(api(place), *place, state.clone(), stop.clone()))).await;
}

async fn control(api: Api<Guarded>, place: Option<&str>, state: Arc<DoorState>, stop: CancellationToken) {
    let place = place.map(str::to_owned);
    let is_here = move |object: &ObjectRef<Guarded>| place.is_none() || object.namespace == place;
    let changed = changed_objects(state.engine.clone()).filter(move |object| ready(is_here(object)));
    let controller = Controller::new(api.clone(), watcher::Config::default());
    let sweep = vanished::sweep(state.clone(), api, controller.store());
    let sweep = tokio::spawn(stop.clone().run_until_cancelled_owned(sweep));
    controller
        .reconcile_on(changed)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, on_error, state)
        .for_each(|result| async {
            match result {
                // Failures of objects were told by `on_error`; the rest is about the watch.
                Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                Err(why) => tracing::debug!(%why, "the watch of HTCJobs stumbled"),
            }
        })
        .await;
    sweep.abort();
}

/// Waits until HTCJobs can be listed: without the CRD there is nothing to watch, and that nothing
/// is listed says nothing about what was there.
async fn wait_for_crd(api: Api<Guarded>) {
    let (mut pause, longest) = (RECONCILE_BACKOFF.0, Duration::from_secs(30));
    while let Err(why) = api.list_metadata(&ListParams::default().limit(1)).await {
        match &why {
            kube::Error::Api(status) if status.code == 404 => {
                tracing::warn!("the API server has no HTCJobs yet: kubectl apply -f crds/htcjob.yaml");
            }
            _ => tracing::warn!(%why, "failed to list HTCJobs; it is tried again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// The objects whose workloads change.
fn changed_objects(engine: Engine) -> impl stream::Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let changes = engine.changes();
    let next = move |(mut changes, engine): (Receiver<Uid>, Engine)| async move {
        let uids: Vec<Uid> = match changes.recv().await {
            Ok(uid) => vec![uid],
            // Some were lost: look at all.
            Err(RecvError::Lagged(_)) => engine.wished_by(DOOR),
            Err(RecvError::Closed) => return None,
        };
        let refs: Vec<_> = uids.iter().filter_map(|uid| object_ref(&engine, uid)).collect();
        Some((stream::iter(refs), (changes, engine)))
    };
    stream::unfold((changes, engine), next).flatten().boxed()
}

fn object_ref(engine: &Engine, uid: &Uid) -> Option<ObjectRef<Guarded>> {
    let (namespace, name) = engine.object_of(uid, DOOR)?;
    Some(ObjectRef::new(&name).within(&namespace))
}

async fn reconcile(object: Arc<Guarded>, state: Arc<DoorState>) -> Result<Action, ReconcileError> {
    let (object, problem) = match &object.0 {
        Ok(job) => (job.clone(), None),
        Err(invalid) => {
            let job = HTCJob { metadata: invalid.metadata.clone(), ..empty() };
            (job, Some(invalid.error.clone()))
        }
    };
    let job = Seen::of(object)?;
    let action = if job.object.metadata.deletion_timestamp.is_some() {
        leave(&job, &state).await?
    } else if state.engine.view(&job.uid).is_some() {
        follow(&job, &state).await?
    } else if job.was_refused() {
        Action::await_change()
    } else if let Some(why) = problem {
        refuse(&job, &state, &why).await?
    } else {
        match translate(&job.object.spec, state.image_registry.as_deref()) {
            Ok(workload) => accept(&job, &state, workload).await?,
            Err(why) => refuse(&job, &state, &why.to_string()).await?,
        }
    };
    state.succeeded(&job.uid);
    Ok(action)
}

fn on_error(object: Arc<Guarded>, why: &ReconcileError, state: Arc<DoorState>) -> Action {
    state.metrics.reconcile_errors.get_or_create(&why.kind().into()).inc();
    let uid = object.meta().uid.as_deref().unwrap_or_default().parse();
    let (first, longest) = RECONCILE_BACKOFF;
    let failures = uid.map_or(8, |uid: Uid| {
        state.memory(&uid, |memory| {
            memory.failures += 1;
            memory.failures
        })
    });
    let name = object.name_any();
    let namespace = object.namespace().unwrap_or_default();
    tracing::warn!(%why, namespace, name, failures, "failed to reconcile an HTCJob; it is tried again");
    Action::requeue(first.saturating_mul(1 << failures.min(16)).min(longest))
}

/// An object without content, for one that cannot be read.
fn empty() -> HTCJob {
    let script = Script { image: String::new(), command: String::new(), source: String::new(), queue: None };
    HTCJob::new("", HTCJobSpec { name: String::new(), script, queue: None, htcopts: None })
}
