//! Whose a pod is: it belongs to the caller who brought it, unless the site says that all share theirs.

use super::Door;
use crate::http::callers::Caller;
use crate::http::error::HttpError;

impl Door {
    /// Whether this caller may see and change a pod of this owner.
    pub(super) fn has(&self, caller: &Caller, owner: Option<&str>) -> bool {
        self.settings.shared_pods || caller.has(owner)
    }

    /// What a caller is told who wants to change or read the pod of another.
    pub(super) fn check_owner(&self, caller: &Caller, owner: Option<&str>) -> Result<(), HttpError> {
        match self.has(caller, owner) {
            true => Ok(()),
            false => Err(HttpError::Forbidden(NOT_YOURS.to_owned())),
        }
    }
}

/// Said without the owner's name, which is no business of others.
pub(super) const NOT_YOURS: &str =
    "this pod was brought by another caller; --interlink-shared-pods lets all callers share theirs";
