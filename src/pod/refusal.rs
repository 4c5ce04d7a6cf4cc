//! What a pod is told when it cannot be honoured: the field path and the reason.

use thiserror::Error;

/// Why a pod is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {why}")]
pub struct Refusal {
    /// The path of the field, as `kubectl explain` has it: `spec.volumes[1].csi`.
    pub field: String,
    /// Why, and what helps.
    pub why: String,
}

impl Refusal {
    /// A refusal of this field.
    pub fn new(field: impl Into<String>, why: impl Into<String>) -> Refusal {
        Refusal { field: field.into(), why: why.into() }
    }
}

/// A refusal of the field `name` below `at`.
pub fn refuse<T>(at: &str, name: &str, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(format!("{at}.{name}"), why))
}
