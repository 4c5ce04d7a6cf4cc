//! `configMap` and `secret`: the files of one object.
//!
//! <https://kubernetes.io/docs/concepts/storage/volumes/#configmap>

use htc_core::workload::spec::{File, VolumeSource};
use k8s_openapi::api::core::v1::KeyToPath;

use super::files;
use crate::pod::context::Context;
use crate::pod::delivered::Kind;
use crate::pod::refusal::Refusal;

/// Which files of which object.
pub struct Wanted<'a> {
    /// ConfigMap or Secret.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
    /// Only these keys.
    pub items: &'a Option<Vec<KeyToPath>>,
    /// Whether object and keys may be missing.
    pub optional: Option<bool>,
}

/// The volume of one object.
pub fn volume(
    context: &Context<'_>,
    wanted: Wanted<'_>,
    default_mode: Option<i32>,
    at: &str,
) -> Result<VolumeSource, Refusal> {
    let mode = files::mode(default_mode.unwrap_or(files::MODE), at, "defaultMode")?;
    of_object(context, &wanted, mode, at).map(VolumeSource::Files)
}

/// The files of one object.
pub fn of_object(
    context: &Context<'_>,
    wanted: &Wanted<'_>,
    mode: u32,
    at: &str,
) -> Result<Vec<File>, Refusal> {
    let optional = wanted.optional.unwrap_or(false);
    let object = context.delivered.object(wanted.kind, wanted.name, optional, at)?;
    let files =
        object.map(|object| files::select(context, object, wanted.items.as_deref(), mode, optional, at));
    files.unwrap_or_else(|| Ok(Vec::new()))
}
