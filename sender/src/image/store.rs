//! Where pulled images lie: a folder of ours alone, in the worker's cache or in the job's own folder.
//!
//! `<name>.sif` is an image, whole, and `<name>.sum` its record; who runs it holds a shared lock on it. `<name>.part` is one that
//! is being pulled, by whoever holds the lock on `<name>.lock`. All locks end with their process.

use std::fs::{self, DirBuilder, File, FileTimes, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use htc_core::workload::spec::ImageCache;
use sha2::{Digest, Sha256};

use super::{record, sif};
use crate::job::is_file_name;
use crate::words::say;

/// Why the worker's cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not there, or no leave.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Whoever may rename in it could put another folder in place of ours.
    #[error("{} must belong to root or to us, and be sticky if others may write there", .0.display())]
    Base(PathBuf),
    /// The job names a folder that is none.
    #[error("{0:?} is not the name of a folder")]
    Name(String),
    /// Somebody else may change what is in it.
    #[error("{} is not a folder of ours alone", .0.display())]
    Foreign(PathBuf),
}

/// A folder with images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    folder: PathBuf,
    /// In the worker's cache: the user's folder, with those of other namespaces.
    of_user: Option<PathBuf>,
    /// Bytes that images may take which nobody uses; none: they all stay.
    limit: Option<u64>,
}

/// An image that nobody will take away.
#[derive(Debug)]
pub struct Kept {
    /// Where it lies.
    pub path: PathBuf,
    /// When it was pulled.
    pub pulled_at: SystemTime,
    /// Its size in bytes.
    pub size: u64,
    /// The shared lock.
    pub in_use: File,
}

impl Store {
    /// Our part of the worker's cache, made where there is none.
    pub fn in_cache(cache: &ImageCache) -> Result<Store, Error> {
        let (base, us) = (Path::new(&cache.path), rustix::process::geteuid().as_raw());
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let shared = |meta: &Metadata| meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0;
        let meta = fs::metadata(base).map_err(failed(base))?;
        if ![0, us].contains(&meta.uid()) || shared(&meta) {
            return Err(Error::Base(base.to_owned()));
        }
        let own = |folder: &Path| {
            make(folder).map_err(failed(folder))?;
            let meta = fs::symlink_metadata(folder).map_err(failed(folder))?;
            match meta.is_dir() && meta.uid() == us && meta.mode() & 0o077 == 0 {
                true => Ok(()),
                false => Err(Error::Foreign(folder.to_owned())),
            }
        };
        let of_user = base.join(us.to_string());
        own(&of_user)?;
        let folder = match &cache.folder {
            None => of_user.clone(),
            Some(name) if is_file_name(name) => of_user.join(name),
            Some(name) => return Err(Error::Name(name.clone())),
        };
        own(&folder)?;
        Ok(Store { folder, of_user: Some(of_user), limit: Some(cache.bytes) })
    }

    /// A folder that goes with the job.
    pub fn of_job(folder: PathBuf) -> Store {
        Store { folder, of_user: None, limit: None }
    }

    /// Whether it outlives the job.
    pub fn is_cache(&self) -> bool {
        self.limit.is_some()
    }

    /// Where an image lies while it is pulled.
    pub fn part(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.part"))
    }

    /// The right to pull an image; none while somebody else has it.
    pub fn try_lock(&self, name: &str) -> io::Result<Option<File>> {
        if !self.is_cache() {
            make(&self.folder)?;
        }
        match open_locked(&self.lock_path(name), &creating(), |file| file.try_lock()) {
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
            Ok(file) => Ok(file),
        }
    }

    /// The same; waits for it.
    pub fn lock(&self, name: &str) -> io::Result<File> {
        let lock = |file: &File| file.lock().map_err(TryLockError::Error);
        let locked = open_locked(&self.lock_path(name), &creating(), lock).map_err(io::Error::from)?;
        locked.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// An image that is here and whole. From now on it is in use.
    pub fn find(&self, name: &str) -> io::Result<Option<Kept>> {
        let path = self.image_path(name);
        let mut options = OpenOptions::new();
        let options = options.read(true);
        let lock = |file: &File| file.lock_shared().map_err(TryLockError::Error);
        let Some(file) = open_locked(&path, options, lock).map_err(io::Error::from)? else {
            return Ok(None);
        };
        if !sif::is_whole(&file) {
            return Ok(None);
        }
        if self.is_cache() {
            if !record::is_as_it_was(&path, &file)? {
                say(format_args!("{} has changed since it was pulled; it is not used", path.display()));
                return Ok(None);
            }
            record::touch(&path);
        }
        let meta = file.metadata()?;
        Ok(Some(Kept { path, pulled_at: meta.modified()?, size: meta.len(), in_use: file }))
    }

    /// Takes in what was pulled. Whoever calls has the right to pull it.
    pub fn keep(&self, name: &str) -> io::Result<Kept> {
        let part = self.part(name);
        let file = File::open(&part)?;
        if !sif::is_whole(&file) {
            return Err(io::Error::other("what was pulled is no whole image"));
        }
        let meta = file.metadata()?;
        file.set_times(FileTimes::new().set_modified(SystemTime::now()))?;
        if let Some(limit) = self.limit {
            self.make_room(limit.saturating_sub(meta.len()), name);
        }
        let image = self.image_path(name);
        let digest = if self.is_cache() { Some(record::digest(&file)?) } else { None };
        // Whoever finds the new one without a record makes it; the old one's would not fit.
        record::remove(&image);
        fs::rename(&part, &image)?;
        if let Some(digest) = digest {
            record::write(&image, &file, digest)?;
        }
        self.find(name)?.ok_or_else(|| io::Error::other("it was taken away at once"))
    }

    /// Takes away the images that were not used for longest, of all folders of the user, until the others
    /// fit, and what dead jobs left. What is in use stays, and so may what cannot be removed: more is not in
    /// our power.
    fn make_room(&self, limit: u64, but: &str) {
        let (mut images, but) = (Vec::new(), self.image_path(but));
        for folder in self.folders() {
            let store = Store { folder, of_user: None, limit: self.limit };
            for entry in fs::read_dir(&store.folder).into_iter().flatten().flatten() {
                let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
                if path.with_extension("sif") == but || !meta.is_file() {
                    continue;
                }
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("sif") => images.push((last_use(&path, &meta), meta.len(), path)),
                    Some("part" | "lock") => store.clear_up(&name),
                    _ => {}
                }
            }
        }
        images.sort();
        let mut total: u64 = images.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in images {
            if total <= limit {
                return;
            }
            if remove_unused(&path) {
                total -= size;
            }
        }
    }

    /// Ours, and those of the user's other jobs.
    fn folders(&self) -> Vec<PathBuf> {
        let Some(of_user) = &self.of_user else { return vec![self.folder.clone()] };
        let entries = fs::read_dir(of_user).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| entry.path()).chain([of_user.clone()]).collect()
    }

    /// What is left of a pull that nobody is at any more.
    fn clear_up(&self, name: &str) {
        if let Ok(Some(_lock)) = self.try_lock(name) {
            let _ = fs::remove_file(self.part(name));
            let _ = fs::remove_file(self.lock_path(name));
        }
    }

    fn image_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.sif"))
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.lock"))
    }
}

/// The name of an image in a store: hexadecimal, whatever the reference is. What only a login gives
/// is found by that login only. Workers of several kinds may share a file system.
pub fn name(image: &str, login: Option<&str>) -> String {
    let mut hash = Sha256::new();
    for part in [image, std::env::consts::ARCH, login.unwrap_or_default()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn creating() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options
}

/// Opens a file and locks it; none if there is none.
fn open_locked(
    path: &Path,
    options: &OpenOptions,
    lock: impl Fn(&File) -> Result<(), TryLockError>,
) -> Result<Option<File>, TryLockError> {
    loop {
        let file = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(TryLockError::Error)?,
        };
        lock(&file)?;
        // Whoever had the lock before may have put another file in its place, or none.
        let (ours, there) = (file.metadata().map_err(TryLockError::Error)?, fs::metadata(path));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(Some(file));
        }
    }
}

/// Removes an image, unless somebody runs it.
fn remove_unused(path: &Path) -> bool {
    let mut options = OpenOptions::new();
    // On a network file system only who may write may lock out the others.
    let file = open_locked(path, options.read(true).write(true), |file| file.try_lock());
    let removed = matches!(file, Ok(Some(_))) && fs::remove_file(path).is_ok();
    if removed {
        record::remove(path);
    }
    removed
}

fn last_use(image: &Path, meta: &Metadata) -> Option<SystemTime> {
    meta.modified().ok().max(meta.accessed().ok()).max(record::last_use(image))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
