//! Whose a pod is: it belongs to the caller who brought it, unless the site says that all share theirs. Who shows a
//! token for some namespaces has nothing of others.

use htc_core::workload::names::Uid;

use super::{DOOR, Door};
use crate::http::callers::Caller;
use crate::http::error::HttpError;

impl Door {
    /// Whether this caller may see and change this pod, which is of this owner.
    pub(super) fn has(&self, caller: &Caller, uid: &Uid, owner: Option<&str>) -> bool {
        let is_within = || {
            let object = self.engine.object_of(uid, DOOR);
            object.is_none_or(|(namespace, _)| caller.is_within(&namespace))
        };
        (self.settings.shared_pods || caller.has(owner)) && (caller.is_unbound() || is_within())
    }

    /// What a caller is told who wants to change or read the pod of another.
    pub(super) fn check_owner(
        &self,
        caller: &Caller,
        uid: &Uid,
        owner: Option<&str>,
    ) -> Result<(), HttpError> {
        match self.has(caller, uid, owner) {
            true => Ok(()),
            false => Err(HttpError::Forbidden(NOT_YOURS.to_owned())),
        }
    }
}

/// What a caller is told who brings a pod of a namespace that his token is not for.
pub(super) fn check_namespace(caller: &Caller, namespace: &str) -> Result<(), HttpError> {
    match caller.is_within(namespace) {
        true => Ok(()),
        false => Err(HttpError::Forbidden(format!(
            "the token of {caller} is not for pods of the namespace {namespace:?}; its line in the token file \
             names those that it is for"
        ))),
    }
}

/// Said without the owner's name, which is no business of others.
pub(super) const NOT_YOURS: &str = "this pod was brought by another caller, or is of a namespace that the token is not \
                                    for; --interlink-shared-pods lets all callers share theirs";
