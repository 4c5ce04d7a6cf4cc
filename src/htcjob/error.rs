//! Why an HTCJob could not be reconciled.

use htc_core::workload::names::BadName;
use thiserror::Error;

use crate::engine::{StoreError, WishError};

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
    /// An object that is not as we know them could not be read.
    #[error("failed to read the object: {0}")]
    Read(#[source] kube::Error),
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
    /// Whether the API server could not tell, so that it says nothing about the object.
    pub fn is_outage(&self) -> bool {
        match self {
            ReconcileError::Finalizer(why) | ReconcileError::Read(why) | ReconcileError::Status(why) => {
                !matches!(why, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429)
            }
            ReconcileError::Incomplete(_)
            | ReconcileError::Uid(_)
            | ReconcileError::Wish(_)
            | ReconcileError::Store(_) => false,
        }
    }

    /// A label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            ReconcileError::Incomplete(_) => "incomplete",
            ReconcileError::Uid(_) => "uid",
            ReconcileError::Finalizer(_) => "finalizer",
            ReconcileError::Read(_) => "read",
            ReconcileError::Status(_) => "status",
            ReconcileError::Wish(_) => "wish",
            ReconcileError::Store(_) => "store",
        }
    }
}
