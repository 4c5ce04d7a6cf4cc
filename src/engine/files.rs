//! The data folder: `jobs/<uid>/<index>.<attempt>.<submission>/` for each job, and
//! `intents/<id>/` with the lock and the description of a submission.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::spec;

use super::Inner;

impl Inner {
    /// The folder of a job, as text: it travels through submit descriptions and the store.
    pub(super) fn folder(&self, key: &JobKey) -> String {
        job_folder(&self.options.data, key)
    }

    /// The folder of a workload.
    pub(super) fn workload_folder(&self, uid: &Uid) -> PathBuf {
        workload_folder(&self.options.data, uid)
    }

    /// The folder of an intent.
    pub(super) fn intent_folder(&self, id: i64) -> PathBuf {
        self.options.data.join("intents").join(id.to_string())
    }
}

/// The folder of a job in this data folder, as text.
pub fn job_folder(data: &Path, key: &JobKey) -> String {
    let JobKey { uid, index, attempt, submission } = key;
    workload_folder(data, uid).join(format!("{index}.{attempt}.{submission}")).display().to_string()
}

/// The folder of a workload in this data folder.
pub fn workload_folder(data: &Path, uid: &Uid) -> PathBuf {
    data.join("jobs").join(uid.as_str())
}

/// Makes a folder and its parents, for us alone.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that may hold secrets: 0600 from its first moment.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// A file without a name in this folder: it goes with its last descriptor, however we end.
pub fn unnamed_file(folder: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    make_folder(folder)?;
    // One that a crash has left under this name is taken over.
    let path = folder.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Bytes that a folder takes on its disk. What cannot be read counts as nothing.
pub fn size(folder: &Path) -> u64 {
    let (mut bytes, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            // Of the link itself: what it leads to is not ours.
            let Ok(meta) = entry.metadata() else { continue };
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

/// Removes a folder; that it is not there is fine.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes the folder of a job that never ran. Whatever else than its description is in it stays.
pub fn remove_unused(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(spec::FILE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => fs::remove_dir(folder),
    }
}

/// Makes the lock of an intent and takes it. It is held as long as any process has this open file.
pub fn lock_intent(folder: &Path) -> io::Result<File> {
    make_folder(folder)?;
    let path = folder.join("lock");
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.try_lock().map_err(io::Error::from)?;
    Ok(file)
}

/// Whether no tool of this intent lives any more. Without a lock file none was ever started.
pub fn is_tool_dead(folder: &Path) -> io::Result<bool> {
    let file = match File::open(folder.join("lock")) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(e),
    };
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
