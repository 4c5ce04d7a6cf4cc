//! Why an HTCJob could not be reconciled.

use htc_core::workload::names::BadName;
use thiserror::Error;

use crate::engine::{StoreError, WishError};

/// Whether the API server itself says that it has no such object, or no HTCJobs at all. A page of whatever else
/// answers in its place says nothing.
pub fn is_absent(why: &kube::core::Status) -> bool {
    why.code == 404 && (why.reason == "NotFound" || why.message.trim() == "404 page not found")
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
                let says = |status: &kube::core::Status| match status.code {
                    404 => is_absent(status),
                    429 => false,
                    code => (400..500).contains(&code),
                };
                !matches!(why, kube::Error::Api(status) if says(status))
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

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_the_api_server_itself_says_that_something_is_absent() {
        for (code, reason, message, expected) in [
            (404, "NotFound", "htcjobs \"a\" not found", true),
            (404, "Failed to parse error data", "404 page not found\n", true),
            (404, "Failed to parse error data", "<html>404 page not found</html>", false),
            (500, "NotFound", "", false),
        ] {
            let why = Status::failure(message, reason).with_code(code);
            assert_eq!(is_absent(&why), expected, "{message}");
        }
    }

    #[test]
    fn an_outage_says_nothing_about_the_object() {
        for (code, reason, expected) in [
            (403, "Forbidden", false),
            (404, "NotFound", false),
            (404, "", true),
            (422, "Invalid", false),
            (429, "TooManyRequests", true),
            (500, "InternalError", true),
            (503, "", true),
        ] {
            let why = kube::Error::Api(Box::new(Status::failure("", reason).with_code(code)));
            assert_eq!(ReconcileError::Status(why).is_outage(), expected, "{code} {reason}");
        }
    }
}
