//! A file that is read again when it changes: certificates and tokens are renewed while we run. A thread
//! of its own looks at it, so that a file system that hangs holds up no call.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use crate::limits::FILES_LOOK;

/// So many files of a folder are looked at.
const FOLDER_FILES: usize = 100;

/// What a set of files says, read anew soon after one of them has changed.
pub struct Fresh<T>(Arc<Mutex<T>>);

/// The thread's half.
struct Watch<T> {
    files: Vec<PathBuf>,
    read: fn(&[PathBuf]) -> Result<T, String>,
    marks: Vec<Mark>,
    known: Weak<Mutex<T>>,
}

/// What tells one version of a file from another. A rename gives another inode, a write or a new mode
/// another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Missing,
    Is { inode: u64, size: u64, seconds: i64, nanoseconds: i64 },
}

impl<T: Clone + Send + 'static> Fresh<T> {
    /// Reads them for the first time, and watches them for as long as this is there.
    pub fn new(files: Vec<PathBuf>, read: fn(&[PathBuf]) -> Result<T, String>) -> Result<Fresh<T>, String> {
        // Before the reading: what is written meanwhile is seen the next time.
        let marks = marks(&files);
        let first = read(&files)?;
        Fresh::watched(files, marks, first, read)
    }

    /// The same without looking at them here, which may hang: what they say first is given.
    pub fn beginning_with(
        files: Vec<PathBuf>,
        first: T,
        read: fn(&[PathBuf]) -> Result<T, String>,
    ) -> Result<Fresh<T>, String> {
        Fresh::watched(files, Vec::new(), first, read)
    }

    fn watched(
        files: Vec<PathBuf>,
        marks: Vec<Mark>,
        first: T,
        read: fn(&[PathBuf]) -> Result<T, String>,
    ) -> Result<Fresh<T>, String> {
        let known = Arc::new(Mutex::new(first));
        let watch = Watch { files, read, marks, known: Arc::downgrade(&known) };
        let thread = thread::Builder::new().name("files".to_owned());
        thread.spawn(move || watch.run()).map_err(|why| format!("no thread can be started: {why}"))?;
        Ok(Fresh(known))
    }

    /// What they said when they were last looked at; what they said before that if they could not be read
    /// then, or made no sense.
    pub fn get(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> Watch<T> {
    fn run(mut self) {
        loop {
            thread::sleep(FILES_LOOK);
            if self.known.strong_count() == 0 {
                return;
            }
            self.look();
        }
    }

    fn look(&mut self) {
        let marks = marks(&self.files);
        if self.marks == marks {
            return;
        }
        let shown: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        match (self.read)(&self.files) {
            Ok(new) => {
                tracing::info!(files = shown.join(", "), "changed, and was read again");
                if let Some(known) = self.known.upgrade() {
                    *known.lock().unwrap_or_else(PoisonError::into_inner) = new;
                }
            }
            Err(why) => {
                tracing::error!(files = shown.join(", "), why, "changed, but what it was still counts");
            }
        }
        self.marks = marks;
    }
}

fn marks(files: &[PathBuf]) -> Vec<Mark> {
    let mark = |meta: io::Result<Metadata>| match meta {
        Ok(meta) => Mark::Is {
            inode: meta.ino(),
            size: meta.len(),
            seconds: meta.ctime(),
            nanoseconds: meta.ctime_nsec(),
        },
        Err(_) => Mark::Missing,
    };
    let marks = |file: &PathBuf| {
        let meta = fs::metadata(file);
        let is_folder = meta.as_ref().is_ok_and(Metadata::is_dir);
        let within = if is_folder { within(file) } else { Vec::new() };
        let within: Vec<Mark> = within.iter().map(|file| mark(fs::metadata(file))).collect();
        [vec![mark(meta)], within].concat()
    };
    files.iter().flat_map(marks).collect()
}

/// The files of a folder, of many the first: a change of one does not change the folder.
fn within(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().take(FOLDER_FILES).map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::{Duration, Instant};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn text(files: &[PathBuf]) -> Result<String, String> {
        let text = fs::read_to_string(&files[0]).map_err(|why| why.to_string())?;
        if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text) }
    }

    #[test]
    fn a_file_that_is_written_in_a_folder_changes_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "x").unwrap();
        let of = || marks(&[folder.path().to_owned()]);
        let before = of();
        assert_eq!(before, of());
        fs::write(folder.path().join("a"), "xy").unwrap();
        assert_ne!(before, of());
        assert_eq!(marks(&[folder.path().join("none")]), [Mark::Missing]);
    }

    fn until(fresh: &Fresh<String>, text: &str) {
        let started = Instant::now();
        while fresh.get() != text {
            assert!(started.elapsed() < Duration::from_secs(60), "{} stays", fresh.get());
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_new_version_counts_soon_and_a_bad_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert!(Fresh::new(vec![file.clone()], text).is_err());
        fs::write(&file, "one").unwrap();
        let fresh = Fresh::new(vec![file.clone()], text).unwrap();
        assert_eq!(fresh.get(), "one");
        let known = Arc::downgrade(&fresh.0);
        let mut watch =
            Watch { marks: marks(std::slice::from_ref(&file)), files: vec![file.clone()], read: text, known };
        let other = folder.path().join("other");
        fs::write(&other, "two").unwrap();
        fs::rename(&other, &file).unwrap();
        until(&fresh, "two");
        fs::write(&file, "").unwrap();
        watch.look();
        assert_eq!(fresh.get(), "two");
        fs::remove_file(&file).unwrap();
        watch.look();
        assert_eq!(fresh.get(), "two");
        fs::write(&file, "three").unwrap();
        until(&fresh, "three");
    }

    #[test]
    fn a_file_that_hangs_says_what_it_said_and_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        fs::write(&file, "one").unwrap();
        let fresh = Fresh::new(vec![file.clone()], text).unwrap();
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        fs::rename(&pipe, &file).unwrap();
        // It opens once the thread is in the midst of reading, and stays there until something is written.
        let mut writer = fs::File::options().write(true).open(&file).unwrap();
        assert_eq!(fresh.get(), "one");
        writer.write_all(b"two").unwrap();
        drop(writer);
        until(&fresh, "two");
    }
}
