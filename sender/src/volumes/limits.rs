//! Volumes that may hold only so much: a thread looks now and then, and the job ends when one holds
//! more.

use std::collections::HashSet;
use std::fs::{self, Metadata, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use htc_core::workload::report::Cut;

use crate::event::Event;

/// Between two looks at the least.
const PAUSE: Duration = Duration::from_secs(1);
/// A pause is so many times as long as the look before it: the job's cores are for its users.
const SHARE: u32 = 50;
/// What lies deeper is not counted: each level that is open takes memory of the job.
const DEEPEST: usize = 100;
/// What `st_blocks` counts in, whatever the file system does.
const BLOCK: u64 = 512;

/// A volume that may hold only so much.
#[derive(Clone, Debug)]
pub struct Limited {
    name: String,
    folder: PathBuf,
    limit: u64,
}

impl Limited {
    /// A volume, where it lies, and how many bytes it may hold.
    pub fn new(name: &str, folder: &Path, limit: u64) -> Limited {
        Limited { name: name.to_owned(), folder: folder.to_owned(), limit }
    }

    /// What follows when it holds too much.
    fn exceeded(&self) -> Option<Cut> {
        let bytes = held(&self.folder);
        (bytes > self.limit).then(|| Cut::Volume { name: self.name.clone(), bytes, limit: self.limit })
    }
}

/// Looks from now on, until one holds too much or nobody wants to know.
pub fn watch(volumes: &[Limited], events: Sender<Event>) -> io::Result<()> {
    let volumes = volumes.to_vec();
    if volumes.is_empty() {
        return Ok(());
    }
    std::thread::Builder::new().name("limits".to_owned()).spawn(move || {
        loop {
            let began = Instant::now();
            if let Some(cut) = volumes.iter().find_map(Limited::exceeded) {
                // Nobody listens any more only at the very end.
                let _ = events.send(Event::Cut(cut));
                return;
            }
            std::thread::sleep(PAUSE.max(began.elapsed() * SHARE));
        }
    })?;
    Ok(())
}

/// The bytes that a folder takes on its file system, as a kubelet counts: holes take none, a file with
/// two names counts once.
fn held(folder: &Path) -> u64 {
    let mut open: Vec<ReadDir> = fs::read_dir(folder).into_iter().collect();
    let (mut bytes, mut shared) = (0, HashSet::new());
    while let Some(entries) = open.last_mut() {
        let Some(entry) = entries.next() else {
            open.pop();
            continue;
        };
        // Of the link itself where it is one. What has gone meanwhile takes nothing.
        let Some((entry, meta)) = entry.ok().and_then(|e| e.metadata().ok().map(|meta| (e, meta))) else {
            continue;
        };
        if meta.is_dir() && open.len() < DEEPEST {
            open.extend(fs::read_dir(entry.path()));
        }
        if is_first(&meta, &mut shared) {
            bytes += meta.blocks() * BLOCK;
        }
    }
    bytes
}

fn is_first(meta: &Metadata, shared: &mut HashSet<(u64, u64)>) -> bool {
    meta.is_dir() || meta.nlink() == 1 || shared.insert((meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_volume_holds_is_counted_once_and_links_are_not_followed() {
        let volume = tempfile::tempdir().unwrap();
        let at = |name: &str| volume.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/file"), vec![1; 300_000]).unwrap();
        fs::hard_link(at("a/b/file"), at("again")).unwrap();
        symlink("/usr", at("usr")).unwrap();
        symlink(".", at("a/round")).unwrap();
        fs::File::create(at("holes")).unwrap().set_len(1 << 40).unwrap();
        let bytes = held(volume.path());
        assert!((300_000..400_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_volume_may_hold_just_its_limit() {
        let volume = tempfile::tempdir().unwrap();
        fs::write(volume.path().join("x"), vec![1; 100_000]).unwrap();
        let bytes = held(volume.path());
        assert_eq!(Limited::new("v", volume.path(), bytes).exceeded(), None);
        let cut = Limited::new("v", volume.path(), bytes - 1).exceeded();
        assert_eq!(cut, Some(Cut::Volume { name: "v".to_owned(), bytes, limit: bytes - 1 }));
        assert_eq!(held(&volume.path().join("no-such")), 0);
    }
}
