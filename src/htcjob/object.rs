//! One HTCJob as it was read, and what every step asks of it.

use htc_core::workload::names::Uid;
use htc_core::workload::progress::{End, Outcome};
use jiff::Timestamp;
use kube::ResourceExt;

use super::error::ReconcileError;
use super::status::{INVALID_SPEC, Subject, parse_intervals};
use super::types::{HTCJob, Phase};
use crate::engine::Settled;

/// Keeps an HTCJob until nothing of it is left in the pool.
pub const FINALIZER: &str = "finalizer.htc.cern.ch";

/// The annotation with which an admin lets a deleted HTCJob go though its jobs are not known to be gone.
pub const ABANDON: &str = "htc.cern.ch/abandon-jobs";

/// An object with the names that each step needs.
#[derive(Clone)]
pub struct Seen {
    /// As it was read.
    pub object: HTCJob,
    /// Its UID.
    pub uid: Uid,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

impl Seen {
    /// Reads the names; every stored object has them.
    pub fn of(object: HTCJob) -> Result<Seen, ReconcileError> {
        let uid = object.metadata.uid.clone().ok_or(ReconcileError::Incomplete("UID"))?.parse()?;
        let name = object.metadata.name.clone().ok_or(ReconcileError::Incomplete("name"))?;
        let namespace = object.namespace().ok_or(ReconcileError::Incomplete("namespace"))?;
        Ok(Seen { object, uid, name, namespace })
    }

    /// What its status is made from.
    pub fn subject(&self, indices: u32) -> Subject<'_> {
        Subject {
            uid: self.uid.as_str(),
            generation: self.object.metadata.generation,
            indices,
            deleting: self.object.metadata.deletion_timestamp.is_some(),
            now: Timestamp::now(),
        }
    }

    /// How many copies it asks for, before anyone has looked whether it may.
    pub fn indices(&self) -> u32 {
        let spec = &self.object.spec;
        let queue = spec.queue.or(spec.script.queue).and_then(|n| u32::try_from(n).ok());
        queue.unwrap_or(1).max(1)
    }

    /// Whether its status says that it was refused: that stays, whatever we would accept today.
    pub fn was_refused(&self) -> bool {
        was_refused(&self.object)
    }

    /// Whether our finalizer keeps it.
    pub fn has_finalizer(&self) -> bool {
        self.object.finalizers().iter().any(|f| f == FINALIZER)
    }

    /// Whether an admin lets it go without its jobs.
    pub fn abandons_jobs(&self) -> bool {
        self.object.annotations().get(ABANDON).is_some_and(|value| value == "true")
    }

    /// The ends that the status already tells, and when the last of them was: a store that is older, or was lost, does
    /// not know them, and they must not run again. Ids and paths of a status are not believed.
    pub fn settled(&self) -> Vec<Settled> {
        let status = self.object.status.clone().unwrap_or_default();
        if status.uniqid.as_deref() != Some(self.uid.as_str()) {
            return Vec::new(); // It is the status of an earlier object of this name.
        }
        let at = status.completion_time.map_or_else(Timestamp::now, |time| time.0);
        let ends = |text: &Option<String>, outcome: Outcome, message: &str| {
            let end = End { outcome, message: message.to_owned(), at };
            let indices = text.as_deref().map(parse_intervals).unwrap_or_default();
            indices.into_iter().map(|index| Settled { index, end: end.clone() }).collect::<Vec<_>>()
        };
        let failure = "its HTCJob says that it has failed; the operator's database does not know how";
        let good = ends(&status.completed_indexes, Outcome::Succeeded, "");
        let bad = ends(&status.failed_indexes, Outcome::LostTrack, failure);
        [good, bad].concat()
    }
}

/// Whether the status of an object says that it was refused.
pub fn was_refused(object: &HTCJob) -> bool {
    let Some(status) = &object.status else { return false };
    let about_this = status.uniqid.is_some() && status.uniqid == object.metadata.uid;
    about_this && status.phase == Some(Phase::Failed) && status.reason.as_deref() == Some(INVALID_SPEC)
}
