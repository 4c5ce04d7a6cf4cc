//! The driver: watches HTCJobs and takes each through named steps. Only these steps do I/O.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use htc_core::workload::names::{BadName, Uid};
use htc_core::workload::progress::{End, Outcome};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use thiserror::Error;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::status::{self, Subject, parse_intervals};
use super::translate::{Refusal, translate};
use super::types::{HTCJob, HTCJobStatus};
use crate::crash_point;
use crate::engine::{Engine, Settled, Wish, WishError};
use crate::limits::{RECONCILE_BACKOFF, STATUS_GAP};
use crate::metrics::Metrics;
use crate::store::database::StoreError;
use crate::store::wishes::Want;

/// Keeps an HTCJob until nothing of it is left in the pool.
pub const FINALIZER: &str = "finalizer.htc.cern.ch";
/// The name of this door in the store.
pub const DOOR: &str = "htcjob";

type Guarded = DeserializeGuard<HTCJob>;

/// What every reconciliation needs.
pub struct DoorState {
    /// The waist.
    pub engine: Engine,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// For images that are plain names.
    pub image_registry: Option<String>,
    client: Client,
    synced: AtomicBool,
    memory: Mutex<HashMap<Uid, Memory>>,
}

/// What we remember of an object between two looks at it.
#[derive(Default)]
struct Memory {
    /// When its status was last written, and what it was then: our cache may be older.
    written: Option<(Instant, HTCJobStatus)>,
    failures: u32,
}

impl DoorState {
    /// The state of a door that is not open yet.
    pub fn new(client: Client, engine: Engine, metrics: Arc<Metrics>, image_registry: Option<String>) -> Arc<Self> {
        let (synced, memory) = Default::default();
        Arc::new(DoorState { engine, metrics, image_registry, client, synced, memory })
    }

    /// Whether all objects have been seen once.
    pub fn is_ready(&self) -> bool {
        self.synced.load(Ordering::Relaxed)
    }
}

/// Why an object could not be reconciled.
#[derive(Debug, Error)]
pub enum ReconcileError {
    /// It lacks what every stored object has.
    #[error("the object has no {0}")]
    Incomplete(&'static str),
    /// Its UID cannot be used.
    #[error("the object's UID cannot be used: {0}")]
    Uid(#[from] BadName),
    /// The finalizer could not be changed.
    #[error("failed to change the finalizers: {0}")]
    Finalizer(#[source] kube::Error),
    /// The status could not be written.
    #[error("failed to write the status: {0}")]
    Status(#[source] kube::Error),
    /// The wish was not taken.
    #[error("failed to hand it to the engine: {0}")]
    Wish(#[from] WishError),
    /// The store did not take something.
    #[error("failed to keep it: {0}")]
    Store(#[from] StoreError),
}

impl ReconcileError {
    fn kind(&self) -> &'static str {
        match self {
            ReconcileError::Incomplete(_) => "incomplete",
            ReconcileError::Uid(_) => "uid",
            ReconcileError::Finalizer(_) => "finalizer",
            ReconcileError::Status(_) => "status",
            ReconcileError::Wish(_) => "wish",
            ReconcileError::Store(_) => "store",
        }
    }
}

/// Watches until `stop` is cancelled.
pub async fn run(state: Arc<DoorState>, namespace: Option<&str>, stop: CancellationToken) {
    let api: Api<Guarded> = match namespace {
        Some(namespace) => Api::namespaced(state.client.clone(), namespace),
        None => Api::all(state.client.clone()),
    };
    let controller = Controller::new(api, watcher::Config::default());
    let store = controller.store();
    let ready = state.clone();
    tokio::spawn(async move {
        if store.wait_until_ready().await.is_ok() {
            ready.synced.store(true, Ordering::Relaxed);
        }
    });
    controller
        .reconcile_on(changed_objects(state.engine.clone()))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(reconcile, on_error, state)
        .for_each(|result| async {
            if let Err(why) = result {
                // Failures of objects were told by `on_error`; these are of the watch.
                if !matches!(why, kube::runtime::controller::Error::ReconcilerFailed(..)) {
                    tracing::debug!(%why, "the watch of HTCJobs stumbled");
                }
            }
        })
        .await;
}

/// The objects whose workloads change.
fn changed_objects(engine: Engine) -> impl stream::Stream<Item = ObjectRef<Guarded>> + Send + 'static {
    let changes = engine.changes();
    let next = move |(mut changes, engine): (tokio::sync::broadcast::Receiver<Uid>, Engine)| async move {
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
    let job = Subjected::of(object)?;
    let action = if job.object.metadata.deletion_timestamp.is_some() {
        leave(&job, &state).await?
    } else if let Some(why) = problem {
        refuse(&job, &state, &why).await?
    } else {
        match translate(&job.object.spec, state.image_registry.as_deref()) {
            Ok(workload) => accept(&job, &state, workload).await?,
            Err(why) => refuse_spec(&job, &state, &why).await?,
        }
    };
    state.memory(&job.uid, |memory| memory.failures = 0);
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

/// An object with the names that each step needs.
struct Subjected {
    object: HTCJob,
    uid: Uid,
    name: String,
    namespace: String,
}

impl Subjected {
    fn of(object: HTCJob) -> Result<Subjected, ReconcileError> {
        let uid = object.metadata.uid.clone().ok_or(ReconcileError::Incomplete("UID"))?.parse()?;
        let name = object.metadata.name.clone().ok_or(ReconcileError::Incomplete("name"))?;
        let namespace = object.namespace().ok_or(ReconcileError::Incomplete("namespace"))?;
        Ok(Subjected { object, uid, name, namespace })
    }

    fn subject(&self, indices: u32) -> Subject<'_> {
        Subject {
            uid: self.uid.as_str(),
            generation: self.object.metadata.generation,
            indices,
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            now: Timestamp::now(),
        }
    }

    fn has_finalizer(&self) -> bool {
        self.object.finalizers().iter().any(|f| f == FINALIZER)
    }

    /// The ends that the status already tells: after the store was lost they must not run again.
    fn settled(&self) -> Vec<Settled> {
        let status = self.object.status.clone().unwrap_or_default();
        let ends = |text: &Option<String>, outcome: Outcome, message: &str| {
            let end = End { outcome, message: message.to_owned(), at: Timestamp::now() };
            let indices = text.as_deref().map(parse_intervals).unwrap_or_default();
            indices.into_iter().map(move |index| Settled { index, end: end.clone() }).collect::<Vec<_>>()
        };
        let failure = status.message.as_deref().unwrap_or("ended before the operator's store was lost");
        let good = ends(&status.completed_indexes, Outcome::Succeeded, "");
        let bad = ends(&status.failed_indexes, Outcome::LostTrack, failure);
        [good, bad].concat()
    }
}

/// A valid object: finalizer, wish, status.
async fn accept(
    job: &Subjected,
    state: &DoorState,
    workload: htc_core::workload::Workload,
) -> Result<Action, ReconcileError> {
    // An object that had our finalizer before we knew it was known to an earlier store.
    let seen_before = job.has_finalizer();
    if !seen_before {
        set_finalizer(job, state, true).await?;
    }
    let indices = workload.indices;
    if state.engine.view(&job.uid).is_none() {
        let wish = Wish {
            uid: job.uid.clone(),
            door: DOOR,
            namespace: job.namespace.clone(),
            name: job.name.clone(),
            workload,
            seen_before,
            settled: job.settled(),
        };
        state.engine.run(wish).await?;
    }
    let Some(view) = state.engine.view(&job.uid) else { return Ok(Action::await_change()) };
    // Before the first complete answer of this life we know less than the status already says.
    if !state.engine.is_ready() && seen_before {
        return Ok(Action::requeue(STATUS_GAP));
    }
    let old = state.newest_status(job);
    let new = status::status(job.subject(indices), &view, &old);
    if let Some(wait) = write_status(job, state, &old, new).await? {
        return Ok(Action::requeue(wait));
    }
    let ended: Vec<u32> = view.jobs.iter().filter(|j| j.progress.end().is_some()).map(|j| j.index).collect();
    state.engine.published(&job.uid, &ended).await?;
    Ok(Action::await_change())
}

async fn refuse_spec(job: &Subjected, state: &DoorState, why: &Refusal) -> Result<Action, ReconcileError> {
    refuse(job, state, &why.to_string()).await
}

/// An object that can never run: its status says why, and only an edit can help.
async fn refuse(job: &Subjected, state: &DoorState, why: &str) -> Result<Action, ReconcileError> {
    let old = state.newest_status(job);
    let indices = job.object.spec.queue.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1);
    let new = status::refused(job.subject(indices), why, &old);
    let wait = write_status(job, state, &old, new).await?;
    Ok(wait.map_or_else(Action::await_change, Action::requeue))
}

/// A deleted object: its jobs go first, then the finalizer.
async fn leave(job: &Subjected, state: &DoorState) -> Result<Action, ReconcileError> {
    if !job.has_finalizer() {
        state.memory.lock().expect("nobody panics with it").remove(&job.uid);
        return Ok(Action::await_change());
    }
    state.engine.gone(&job.uid, DOOR).await?;
    let view = state.engine.view(&job.uid);
    if view.as_ref().is_some_and(|view| view.want == Want::Tombstone) {
        set_finalizer(job, state, false).await?;
        crash_point!("finalizer-removed");
        state.memory.lock().expect("nobody panics with it").remove(&job.uid);
        return Ok(Action::await_change());
    }
    let old = state.newest_status(job);
    let new = HTCJobStatus {
        phase: Some(super::types::Phase::Deleting),
        reason: Some("Deleting".to_owned()),
        message: view.and_then(|view| view.trouble),
        ..old.clone()
    };
    let wait = write_status(job, state, &old, new).await?;
    // The bell of a workload without a name cannot name its object: look again anyway.
    Ok(Action::requeue(wait.unwrap_or(Duration::from_secs(2))))
}

/// Adds or takes away our finalizer, on exactly the object that we saw.
async fn set_finalizer(job: &Subjected, state: &DoorState, present: bool) -> Result<(), ReconcileError> {
    let others = job.object.finalizers().iter().filter(|f| *f != FINALIZER).cloned();
    let finalizers: Vec<String> = others.chain(present.then(|| FINALIZER.to_owned())).collect();
    let patch = json!({ "metadata": {
        "uid": job.uid,
        "resourceVersion": job.object.metadata.resource_version,
        "finalizers": finalizers,
    }});
    let api: Api<kube::api::PartialObjectMeta<HTCJob>> =
        Api::namespaced(state.client.clone(), &job.namespace);
    match api.patch_metadata(&job.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(e)) if e.code == 404 && !present => Ok(()),
        other => other.map(drop).map_err(ReconcileError::Finalizer),
    }
}

/// Writes what has changed, at most once in [`STATUS_GAP`]; gives how long to wait when it is too
/// early.
async fn write_status(
    job: &Subjected,
    state: &DoorState,
    old: &HTCJobStatus,
    new: HTCJobStatus,
) -> Result<Option<Duration>, ReconcileError> {
    let Some(patch) = status::patch(old, &new) else { return Ok(None) };
    let last = state.memory(&job.uid, |memory| memory.written.as_ref().map(|(at, _)| *at));
    let ends = new.completion_time.is_some() && old.completion_time.is_none();
    if let Some(early) = last.and_then(|at| STATUS_GAP.checked_sub(at.elapsed()))
        && !ends
    {
        return Ok(Some(early));
    }
    let api: Api<HTCJob> = Api::namespaced(state.client.clone(), &job.namespace);
    let written = api.patch_status(&job.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    let label = if written.is_ok() { "ok" } else { "error" };
    state.metrics.status_writes.get_or_create(&label.into()).inc();
    match written {
        Err(kube::Error::Api(e)) if e.code == 404 => return Ok(None),
        other => other.map_err(ReconcileError::Status)?,
    };
    crash_point!("status-written");
    state.memory(&job.uid, |memory| memory.written = Some((Instant::now(), new)));
    Ok(None)
}

impl DoorState {
    fn memory<T>(&self, uid: &Uid, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().expect("nobody panics with it");
        change(memory.entry(uid.clone()).or_default())
    }

    /// The status that the API server has: what we wrote last, or what we read when we wrote nothing.
    fn newest_status(&self, job: &Subjected) -> HTCJobStatus {
        let written = self.memory(&job.uid, |memory| memory.written.as_ref().map(|(_, status)| status.clone()));
        written.or_else(|| job.object.status.clone()).unwrap_or_default()
    }
}

/// An object without content, for one that cannot be read.
fn empty() -> HTCJob {
    let script = super::types::Script {
        image: String::new(),
        command: String::new(),
        source: String::new(),
        queue: None,
    };
    HTCJob::new("", super::types::HTCJobSpec { name: String::new(), script, queue: None, htcopts: None })
}
