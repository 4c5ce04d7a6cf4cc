//! A file that only takes room. It is let go when the disk is full, so that ends and removals, which make room, still
//! reach the database; it is made again when there is room.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;

use crate::limits::BALLAST;

/// With fewer free bytes the database may not be able to write at all.
const HARDLY_ANY: u64 = BALLAST / 8;

/// The ballast of a database; clones are about the same file.
#[derive(Clone, Debug)]
pub struct Ballast {
    path: PathBuf,
    is_gone: Arc<AtomicBool>,
}

impl Ballast {
    /// That of the database with this path: made, or let go where there is hardly room to open the database.
    pub fn of(database: &Path) -> Ballast {
        let ballast = Ballast { path: path(database), is_gone: Arc::default() };
        ballast.make_room(false);
        ballast.take();
        ballast
    }

    /// Whether it is gone, since the disk is full.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// Something could not be written: the ballast goes if that was for want of room.
    pub fn make_room(&self, is_full: bool) {
        if !is_full && self.free() >= HARDLY_ANY {
            return;
        }
        match fs::remove_file(&self.path) {
            Ok(()) => tracing::error!(
                path = %self.path.display(),
                "the data folder's disk is full: its reserve is let go, and nothing new is taken in"
            ),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => tracing::error!(%why, "failed to let go of the data folder's reserve"),
        }
        self.is_gone.store(true, Ordering::Relaxed);
    }

    /// Makes it, unless there is too little room.
    pub fn take(&self) {
        let is_there = fs::metadata(&self.path).is_ok_and(|meta| meta.len() == BALLAST);
        let taken = is_there || (self.free() >= 2 * BALLAST && self.make());
        if self.is_gone.swap(!taken, Ordering::Relaxed) && taken {
            tracing::info!("there is room in the data folder again");
        }
    }

    fn make(&self) -> bool {
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path);
        let filled = made.and_then(fill);
        if let Err(why) = &filled {
            tracing::warn!(%why, "failed to keep room in the data folder in reserve");
            let _ = fs::remove_file(&self.path);
        }
        filled.is_ok()
    }

    /// Where that cannot be told, nothing is full before a write fails.
    fn free(&self) -> u64 {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// Whether the ballast of this database is there; an operator may run with it.
pub fn is_there(database: &Path) -> bool {
    path(database).exists()
}

fn path(database: &Path) -> PathBuf {
    database.with_file_name("reserve")
}

fn fill(mut file: File) -> io::Result<()> {
    match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BALLAST) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let piece = [0; 1 << 16];
            (0..BALLAST / piece.len() as u64).try_for_each(|_| file.write_all(&piece))?;
            file.sync_all()
        }
        other => other.map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_let_go_when_the_disk_is_full_and_made_again_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("x.db");
        let ballast = Ballast::of(&database);
        assert!(is_there(&database) && !ballast.is_gone());
        ballast.make_room(false);
        assert!(!ballast.is_gone(), "it failed for another reason");
        ballast.make_room(true);
        assert!(!is_there(&database) && ballast.is_gone());
        ballast.take();
        assert!(is_there(&database) && !ballast.is_gone());
        assert_eq!(fs::metadata(path(&database)).unwrap().len(), BALLAST);
    }
}
