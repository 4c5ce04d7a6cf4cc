//! The driver: watches HTCJobs and takes each through named steps. Only these steps do I/O.

use std::borrow::Cow;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

use futures::future::{join_all, ready};
use futures::{Stream, StreamExt, stream};
use htc_core::workload::names::Uid;
use kube::runtime::controller::{Action, Error};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::DOOR;
use super::error::ReconcileError;
use super::inherited::inherit;
use super::object::Seen;
use super::state::DoorState;
use super::steps::{accept, follow, leave, refuse};
use super::translate::translate;
use super::types::{HTCJob, HTCJobSpec, Script};
use super::vanished;
use super::watch::{Guarded, Place, is_slim, slim, wait_for_crd, watch};
use crate::engine::Engine;
use crate::limits::{OUTAGE_BACKOFF_MAX, RECONCILE_BACKOFF};

/// Watches these namespaces, or all when none is named, until `stop` is cancelled.
pub async fn run(state: Arc<DoorState>, namespaces: &[String], stop: CancellationToken) {
    let all = namespaces.is_empty().then_some(Place(None));
    let places: Vec<Place> = namespaces.iter().map(|name| Place(Some(name.clone()))).chain(all).collect();
    tokio::select! {
        _ = join_all(places.iter().map(|place| wait_for_crd(place.api(&state), &state))) => state.set_ready(true),
        () = stop.cancelled() => return,
    }
    join_all(places.into_iter().map(|place| control(place, state.clone(), stop.clone()))).await;
}

async fn control(place: Place, state: Arc<DoorState>, stop: CancellationToken) {
    let (cache, writer) = reflector::store();
    let api = place.api(&state);
    let here = place.clone();
    let changed = changed_objects(state.engine.clone())
        .filter(move |object| ready(here.has(object.namespace.as_deref())));
    let seen = Arc::new(Notify::new());
    let sweep = vanished::sweep(state.clone(), api.clone(), place, cache.clone(), seen.clone());
    let door = state.clone();
    let ends = move |event: &watcher::Result<watcher::Event<Guarded>>| {
        // An object that was refused has no finalizer: this is all that we hear of its end.
        if let Ok(watcher::Event::Delete(object)) = event
            && let Ok(uid) = object.meta().uid.as_deref().unwrap_or_default().parse()
        {
            door.forget(&uid);
        }
        if let Ok(watcher::Event::InitDone | watcher::Event::Delete(_)) = event {
            seen.notify_one();
        }
    };
    let engine = state.engine.clone();
    let slimmed =
        watch(api, state.clone()).modify(move |object| slim(object, |uid| engine.want(uid).is_some()));
    let objects = slimmed.reflect(writer).inspect(ends).applied_objects();
    let sweep = tokio::spawn(stop.clone().run_until_cancelled_owned(sweep));
    Controller::for_stream(objects, cache)
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

/// The objects whose workloads change.
fn changed_objects(engine: Engine) -> impl Stream<Item = ObjectRef<Guarded>> + Send + 'static {
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
    if let Some(action) = inherit(&job, &state, problem.is_none()).await? {
        return Ok(action);
    }
    let action = if job.object.metadata.deletion_timestamp.is_some() {
        leave(&job, &state).await?
    } else if let Some(door) = state.engine.door(&job.uid) {
        match &*door {
            DOOR => follow(&job, &state).await?,
            _ if job.was_refused() => Action::await_change(),
            other => refuse(&job, &state, &taken(&job, other)).await?,
        }
    } else if job.was_refused() {
        Action::await_change()
    } else if let Some(why) = problem {
        refuse(&job, &state, &why).await?
    } else {
        let Some(job) = whole(&job, &state).await? else { return Ok(Action::await_change()) };
        match translate(&job.object.spec, &job.namespace, &state.site) {
            Ok(workload) => accept(&job, &state, workload).await?,
            Err(why) => refuse(&job, &state, &why.to_string()).await?,
        }
    };
    state.succeeded(&job.uid);
    Ok(action)
}

/// Why an object cannot run under a UID that another door's workload has. UIDs are random, so somebody has copied it.
fn taken(job: &Seen, door: &str) -> String {
    let Seen { uid, namespace, name, .. } = job;
    tracing::error!(%uid, namespace, name, door, "the UID of an HTCJob is in use by another door; who has taken it?");
    format!(
        "the UID of this object is in use by a workload that came through {door}, which must have copied it: \
         delete the object and create it again, and tell the operator's administrator"
    )
}

/// The object with its script, which the cache leaves out of what the engine knew; nothing where it is gone.
async fn whole<'a>(job: &'a Seen, state: &DoorState) -> Result<Option<Cow<'a, Seen>>, ReconcileError> {
    if !is_slim(&job.object) {
        return Ok(Some(Cow::Borrowed(job)));
    }
    let api: Api<HTCJob> = Api::namespaced(state.client.clone(), &job.namespace);
    let object = api.get_opt(&job.name).await.map_err(ReconcileError::Read)?;
    let same = object.filter(|object| object.metadata.uid == job.object.metadata.uid);
    same.map(Seen::of).transpose().map(|seen| seen.map(Cow::Owned))
}

fn on_error(object: Arc<Guarded>, why: &ReconcileError, state: Arc<DoorState>) -> Action {
    state.metrics.reconcile_errors.get_or_create(&why.kind().into()).inc();
    let uid = object.meta().uid.as_deref().unwrap_or_default().parse();
    let (first, longest) = RECONCILE_BACKOFF;
    let longest = if why.is_outage() { OUTAGE_BACKOFF_MAX } else { longest };
    let failures = uid.map_or(8, |uid: Uid| {
        state.memory(&uid, |memory| {
            memory.failures += 1;
            memory.failures
        })
    });
    let name = object.name_any();
    let namespace = object.namespace().unwrap_or_default();
    tracing::warn!(%why, namespace, name, failures, "failed to reconcile an HTCJob; it is tried again");
    let pause = first.saturating_mul(1 << failures.min(16)).min(longest);
    Action::requeue(pause.mul_f64(jitter(&(&object.meta().uid, failures))))
}

/// Between 0.8 and 1.2, by who it is: those that failed together do not come again together.
fn jitter(who: &impl Hash) -> f64 {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(who);
    0.8 + (hash % 1_000) as f64 * 0.0004
}

/// An object without content, for one that cannot be read.
fn empty() -> HTCJob {
    let script = Script { image: String::new(), command: String::new(), source: String::new(), queue: None };
    HTCJob::new("", HTCJobSpec { name: String::new(), script, queue: None, htcopts: None })
}
