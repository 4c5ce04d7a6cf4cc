//! Where a path of the worker may lead. Whoever fills a folder can put links there, so names alone say nothing.

use std::fs;
use std::path::Path;

/// Whether a path without links is one of these, or below one, wherever their own links lead.
pub fn is_below(path: &Path, allowed: &[String]) -> bool {
    allowed
        .iter()
        .filter_map(|allowed| fs::canonicalize(allowed).ok())
        .any(|allowed| path.starts_with(allowed))
}
