//! HTCJobs that the predecessor of this operator has served: their status names its jobs, and those
//! are followed, whatever we would say of the object today.

use htc_core::workload::progress::{End, JobId};
use kube::Api;
use kube::api::DynamicObject;
use kube::core::discovery::ApiResource;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use serde_json::Value;

use super::DOOR;
use super::error::ReconcileError;
use super::object::{ABANDON, Seen};
use super::state::DoorState;
use super::status::{INHERITED, parse_intervals};
use super::steps::set_finalizer;
use super::types::HTCJob;
use super::write::publish;
use crate::engine::{Heir, Inheritance, recorded};
use crate::limits::CONFLICT_PAUSE;

/// The reason of the event that tells of an object whose jobs nothing but its status names.
const UNCONFIRMED: &str = "InheritanceUnconfirmed";
/// So many ids are told.
const IDS_TOLD: usize = 5;

/// Takes an object over that we do not know, if the predecessor has served it. Gives what to do
/// where it must be seen again before anything else happens to it.
pub async fn inherit(
    job: &Seen,
    state: &DoorState,
    is_readable: bool,
) -> Result<Option<Action>, ReconcileError> {
    if state.engine.want(&job.uid).is_some() {
        return Ok(None);
    }
    let status = match is_readable {
        true => serde_json::to_value(&job.object.status).unwrap_or_default(),
        false => raw_status(job, state).await?,
    };
    let Some(heir) = heir(job, &status) else { return Ok(None) };
    let heir = Heir { is_trusted: state.site.inherits_from_status, ..heir };
    let deleted = job.object.metadata.deletion_timestamp.is_some();
    match state.engine.inheritance(&heir).await? {
        Inheritance::None => return Ok(None),
        // An admin lets it go; whose the jobs are that it names is not known.
        Inheritance::Unconfirmed if deleted && job.abandons_jobs() => return Ok(None),
        Inheritance::Unconfirmed => {
            if state.memory(&job.uid, |memory| memory.told.insert(UNCONFIRMED)) {
                tell_unconfirmed(job, state, &heir);
            }
            // Only another start, with the setting, changes that; the annotation comes by the watch.
            return Ok(Some(Action::await_change()));
        }
        Inheritance::Jobs => {}
    }
    if !job.has_finalizer() && !deleted && !set_finalizer(job, state, true).await? {
        return Ok(Some(Action::requeue(CONFLICT_PAUSE)));
    }
    state.engine.inherit(heir).await?;
    Ok(None)
}

/// Its jobs are neither followed nor submitted again.
fn tell_unconfirmed(job: &Seen, state: &DoorState, heir: &Heir) {
    let ids: Vec<String> = heir.jobs.iter().take(IDS_TOLD).map(JobId::to_string).collect();
    let note = format!(
        "its status names HTCondor jobs ({}) of which no database of the predecessor tells, so it is left as it is: \
         start the operator with --inherit-from-status if all such objects can be trusted; or delete it and set \
         the annotation {ABANDON}=true, and remove the jobs yourself",
        ids.join(" ")
    );
    tracing::warn!(uid = %job.uid, namespace = job.namespace, name = job.name, "an HTCJob is left: {note}");
    let event = Event {
        type_: EventType::Warning,
        reason: UNCONFIRMED.to_owned(),
        note: Some(note),
        action: "Inherit".to_owned(),
        secondary: None,
    };
    publish(job, state, event);
}

/// The status of an object that is not as we know HTCJobs.
async fn raw_status(job: &Seen, state: &DoorState) -> Result<Value, ReconcileError> {
    let kind = ApiResource::erase::<HTCJob>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(state.client.clone(), &job.namespace, &kind);
    let object = api.get_opt(&job.name).await.map_err(ReconcileError::Read)?;
    let object = object.filter(|object| object.metadata.uid.as_deref() == Some(job.uid.as_str()));
    Ok(object.map(|mut object| object.data["status"].take()).unwrap_or_default())
}

/// What the predecessor has left of an object; nothing where it is ours, or new.
///
/// All our own statuses have a phase, and after the loss of our store the condition tells. Only the
/// words for a deletion may be the first that we write, over the predecessor's own.
fn heir(job: &Seen, status: &Value) -> Option<Heir> {
    let uniqid = status["uniqid"].as_str().unwrap_or_default().to_owned();
    let mut jobs = ids(status);
    let ended = if has_condition(status) {
        told(status, &jobs)
    } else if status["phase"].is_null() || (status["phase"] == "Deleting" && uniqid != job.uid.as_str()) {
        jobs.sort_unstable();
        jobs.dedup();
        counted(status, &jobs)
    } else {
        return None;
    };
    let tells = !jobs.is_empty() || !uniqid.is_empty();
    (tells || job.has_finalizer()).then(|| Heir {
        uid: job.uid.clone(),
        door: DOOR,
        namespace: job.namespace.clone(),
        name: job.name.clone(),
        created: job.object.metadata.creation_timestamp.as_ref().map(|at| at.0.as_second()),
        uniqid,
        jobs,
        ended,
        is_trusted: false,
    })
}

fn has_condition(status: &Value) -> bool {
    status["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["type"] == INHERITED))
}

/// The ids that a status lists: `cluster.proc`, or the bare proc beside `clusterid`.
fn ids(status: &Value) -> Vec<JobId> {
    let cluster = status["clusterid"].as_u64().and_then(|id| u32::try_from(id).ok());
    let id = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let bare = || Some(JobId { cluster: cluster?, proc: text.parse().ok()? });
        text.parse().ok().or_else(bare)
    };
    let range = |text: &Value| {
        let (cluster, procs) = text.as_str()?.split_once('.')?;
        let cluster = cluster.parse().ok()?;
        Some(parse_intervals(procs).into_iter().map(move |proc| JobId { cluster, proc }))
    };
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let ranges = list("jobRanges");
    if !ranges.is_empty() {
        return ranges.iter().filter_map(range).flatten().collect();
    }
    let first = list("jobid");
    let listed = if first.is_empty() { list("jobids") } else { first };
    listed.iter().filter_map(id).collect()
}

/// The ends that our own status tells of an inherited object.
fn told(status: &Value, jobs: &[JobId]) -> Vec<(JobId, End)> {
    let ends = |name: &str, succeeded: bool| {
        let indices = status[name].as_str().map(parse_intervals).unwrap_or_default();
        let job = |index: u32| Some((*jobs.get(index as usize)?, recorded(succeeded)));
        indices.into_iter().filter_map(job).collect::<Vec<_>>()
    };
    [ends("completedIndexes", true), ends("failedIndexes", false)].concat()
}

/// The ends that the predecessor's counts tell: only where all came to the same.
fn counted(status: &Value, jobs: &[JobId]) -> Vec<(JobId, End)> {
    let all = |name: &str| status[name].as_u64() == Some(jobs.len() as u64);
    let every = |succeeded: bool| jobs.iter().map(|job| (*job, recorded(succeeded))).collect();
    match () {
        () if all("succeeded") => every(true),
        () if all("failed") => every(false),
        () => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(finalizers: &[&str]) -> Seen {
        let object = json!({
            "apiVersion": "htc.cern.ch/v1alpha1",
            "kind": "HTCJob",
            "metadata": { "name": "zero", "namespace": "n", "uid": "u", "finalizers": finalizers },
            "spec": { "name": "zero", "script": { "image": "i", "command": "c", "source": "s" } }
        });
        Seen::of(serde_json::from_value(object).unwrap()).unwrap()
    }

    fn heir_of(status: Value) -> Option<Heir> {
        heir(&seen(&["finalizer.htc.cern.ch"]), &status)
    }

    fn procs(heir: &Heir) -> Vec<u32> {
        heir.jobs.iter().map(|job| job.proc).collect()
    }

    #[test]
    fn a_status_of_the_predecessor_tells_its_jobs() {
        let status = json!({"uniqid": "x", "active": 2, "failed": 0, "succeeded": 0,
                            "jobid": ["884426.1", "884426.0", "884426.1", "junk"]});
        let heir = heir_of(status).unwrap();
        assert_eq!((heir.uniqid.as_str(), procs(&heir), heir.ended.len()), ("x", vec![0, 1], 0));
        let bare = heir_of(json!({"clusterid": 7, "jobids": [1, 0]})).unwrap();
        assert_eq!((procs(&bare), bare.jobs[0].cluster), (vec![0, 1], 7));
    }

    #[test]
    fn counts_that_speak_of_all_jobs_are_ends() {
        let ids = json!(["7.0", "7.1"]);
        let good = |heir: Heir| heir.ended.iter().map(|(_, e)| e.outcome.succeeded()).collect::<Vec<_>>();
        let heir =
            |succeeded, failed| heir_of(json!({"jobid": ids, "succeeded": succeeded, "failed": failed}));
        assert_eq!(good(heir(2, 0).unwrap()), [true, true]);
        assert_eq!(good(heir(0, 2).unwrap()), [false, false]);
        assert!(good(heir(1, 1).unwrap()).is_empty(), "which is which, the pool must tell");
    }

    #[test]
    fn our_own_status_is_no_inheritance_unless_it_says_so() {
        let ours = json!({"uniqid": "u", "phase": "Running", "jobid": ["7.0", "7.1", "7.2"],
                          "completedIndexes": "0", "failedIndexes": "2"});
        assert!(heir_of(ours.clone()).is_none());
        let mut inherited = ours;
        inherited["conditions"] = json!([{"type": "Inherited", "status": "True"}]);
        let heir = heir_of(inherited.clone()).unwrap();
        let ended: Vec<_> = heir.ended.iter().map(|(job, e)| (job.proc, e.outcome.succeeded())).collect();
        assert_eq!((procs(&heir), ended), (vec![0, 1, 2], vec![(0, true), (2, false)]));
        let deleting = json!({"uniqid": "x", "phase": "Deleting", "jobid": ["7.0"]});
        assert_eq!(procs(&heir_of(deleting).unwrap()), [0]);
        inherited["jobRanges"] = json!(["7.0-1", "9.5"]);
        let ids: Vec<String> = heir_of(inherited).unwrap().jobs.iter().map(JobId::to_string).collect();
        assert_eq!(ids, ["7.0", "7.1", "9.5"]);
    }

    #[test]
    fn a_new_object_has_inherited_nothing() {
        assert!(heir(&seen(&[]), &Value::Null).is_none());
        // One that was taken but tells nothing may have lost its status: the old rows know.
        assert!(heir_of(Value::Null).unwrap().jobs.is_empty());
    }
}
