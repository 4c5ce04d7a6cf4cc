//! A file that is read again when it changes: certificates and tokens are renewed while we run.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What a set of files says, read anew when one of them has changed.
pub struct Fresh<T> {
    files: Vec<PathBuf>,
    read: fn(&[PathBuf]) -> Result<T, String>,
    known: Mutex<(Vec<Mark>, T)>,
}

/// What tells one version of a file from another. A rename gives another inode, a write another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Missing,
    Is { inode: u64, size: u64, seconds: i64, nanoseconds: i64 },
}

impl<T: Clone> Fresh<T> {
    /// Reads them for the first time.
    pub fn new(files: Vec<PathBuf>, read: fn(&[PathBuf]) -> Result<T, String>) -> Result<Fresh<T>, String> {
        // Before the reading: what is written meanwhile is seen the next time.
        let marks = marks(&files);
        let first = read(&files)?;
        Ok(Fresh { files, read, known: Mutex::new((marks, first)) })
    }

    /// What they say now; what they said before when they cannot be read or make no sense.
    pub fn get(&self) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = marks(&self.files);
        if known.0 != marks {
            let shown: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
            match (self.read)(&self.files) {
                Ok(new) => {
                    tracing::info!(files = shown.join(", "), "changed, and was read again");
                    known.1 = new;
                }
                Err(why) => {
                    tracing::error!(files = shown.join(", "), why, "changed, but what it was still counts");
                }
            }
            known.0 = marks;
        }
        known.1.clone()
    }
}

fn marks(files: &[PathBuf]) -> Vec<Mark> {
    let mark = |meta: io::Result<Metadata>| match meta {
        Ok(meta) => Mark::Is {
            inode: meta.ino(),
            size: meta.len(),
            seconds: meta.mtime(),
            nanoseconds: meta.mtime_nsec(),
        },
        Err(_) => Mark::Missing,
    };
    files.iter().map(|file| mark(fs::metadata(file))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(files: &[PathBuf]) -> Result<String, String> {
        let text = fs::read_to_string(&files[0]).map_err(|why| why.to_string())?;
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text) }
    }

    #[test]
    fn a_new_version_counts_at_once_and_a_bad_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert!(Fresh::new(vec![file.clone()], text).is_err());
        fs::write(&file, "one").unwrap();
        let fresh = Fresh::new(vec![file.clone()], text).unwrap();
        assert_eq!(fresh.get(), "one");
        let other = folder.path().join("other");
        fs::write(&other, "two").unwrap();
        fs::rename(&other, &file).unwrap();
        assert_eq!(fresh.get(), "two");
        fs::write(&file, "").unwrap();
        assert_eq!(fresh.get(), "two");
        fs::remove_file(&file).unwrap();
        assert_eq!(fresh.get(), "two");
        fs::write(&file, "three").unwrap();
        assert_eq!(fresh.get(), "three");
    }
}
