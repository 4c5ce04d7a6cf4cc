//! A walk through a folder of any size and shape: it counts what it meets, and stops when that is too much.

use std::fs::{self, Metadata, ReadDir};
use std::io;
use std::path::{Path, PathBuf};

use htc_core::workload::report::Excess;

use crate::words::say;

/// Where a walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// In this folder.
    Inside,
    /// With what lies beside it.
    Beside,
}

impl Next {
    /// In folders; a link is none.
    pub fn of(meta: &Metadata) -> Next {
        if meta.is_dir() { Next::Inside } else { Next::Beside }
    }
}

/// Visits all that lies below `root`, folders before what is in them, without following links: with its path below
/// `root`, and what it is. Whoever visits bounds the depth: each level takes an open file.
pub fn walk(
    root: &Path,
    limit: u32,
    mut visit: impl FnMut(&Path, &Metadata) -> io::Result<Next>,
) -> Result<(), Excess> {
    let unreadable = |path: &Path, why: io::Error| {
        say(format_args!("cannot look through {:?}: {why}", root.join(path)));
        Excess::Unreadable
    };
    let open = |path: PathBuf| -> Result<(PathBuf, ReadDir), Excess> {
        let entries = fs::read_dir(root.join(&path)).map_err(|why| unreadable(&path, why))?;
        Ok((path, entries))
    };
    let mut folders = vec![open(PathBuf::new())?];
    let mut met = 0;
    while let Some((folder, entries)) = folders.last_mut() {
        let Some(entry) = entries.next() else {
            folders.pop();
            continue;
        };
        let entry = entry.map_err(|why| unreadable(folder, why))?;
        met += 1;
        if met > limit {
            return Err(Excess::Entries { limit });
        }
        let path = folder.join(entry.file_name());
        // Of the link itself where it is one.
        let next =
            entry.metadata().and_then(|meta| visit(&path, &meta)).map_err(|why| unreadable(&path, why))?;
        if next == Next::Inside {
            folders.push(open(path)?);
        }
    }
    Ok(())
}
