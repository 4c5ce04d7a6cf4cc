//! `htc-operator crd`.

use std::io::Write;

use crate::htcjob::types::crd_yaml;

/// Prints the CustomResourceDefinition.
pub fn run() -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(crd_yaml().as_bytes())?)
}
