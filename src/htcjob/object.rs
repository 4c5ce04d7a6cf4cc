//! One HTCJob as it was read, and what every step asks of it.

use htc_core::workload::names::Uid;
use htc_core::workload::progress::{End, Outcome};
use jiff::Timestamp;
use kube::ResourceExt;

use super::error::ReconcileError;
use super::status::{Subject, parse_intervals};
use super::types::HTCJob;
use crate::engine::Settled;

/// Keeps an HTCJob until nothing of it is left in the pool.
pub const FINALIZER: &str = "finalizer.htc.cern.ch";

/// An object with the names that each step needs.
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

    /// Whether our finalizer keeps it.
    pub fn has_finalizer(&self) -> bool {
        self.object.finalizers().iter().any(|f| f == FINALIZER)
    }

    /// The ends that the status already tells: after the store was lost they must not run again.
    pub fn settled(&self) -> Vec<Settled> {
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
