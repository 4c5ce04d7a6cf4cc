//! A private folder in `/dev/shm`, the memory that everybody may use without being root.
//!
//! The pool gives most jobs a `/dev/shm` of their own, which goes with them. Where it does not, a
//! sender that was killed leaves its folder behind; so each folder is locked while its job lives, and
//! the next sender of the same user takes away those that nobody locks.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The place.
const SHARED: &str = "/dev/shm";
/// What the names of our folders begin with.
const PREFIX: &str = "htc-sender.";

/// The folder of a job; it goes when this is dropped.
#[derive(Debug)]
pub struct Memory {
    folder: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Memory {
    /// Makes the folder.
    pub fn find() -> io::Result<Memory> {
        sweep();
        let mut number = 0;
        loop {
            let folder = Path::new(SHARED).join(format!("{PREFIX}{}.{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {}
                // A pid is unique only among those who share a pid namespace.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {
                    number += 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
            // Somebody may have swept it away before it was locked.
            if let Some(lock) = lock(&folder) {
                return Ok(Memory { folder, _lock: lock });
            }
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Takes a folder away, also one that its user has closed to itself.
fn remove(folder: &Path) {
    if fs::remove_dir_all(folder).is_err() {
        open_all(folder);
        let _ = fs::remove_dir_all(folder);
    }
}

fn open_all(folder: &Path) {
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_all(&entry.path());
        }
    }
}

/// Takes away what jobs of this user left that live no more.
pub fn sweep() {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(SHARED).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own);
        if ours && let Some(_lock) = lock(&entry.path()) {
            remove(&entry.path());
        }
    }
}

/// The lock of a folder that is still there, if nobody has it.
fn lock(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    let (locked, there) = (file.metadata().ok()?, fs::metadata(folder).ok()?);
    ((locked.dev(), locked.ino()) == (there.dev(), there.ino())).then_some(file)
}
