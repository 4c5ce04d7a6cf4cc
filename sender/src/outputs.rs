//! The files that HTCondor brings home. A missing one puts the job on hold, so all of them are made
//! before anything else, and `result.json` gets its content as the very last act.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use htc_core::workload::report::{RESULT_FILE, Report};

/// The folder of the job that comes home.
pub const WORK: &str = "work";

/// Where the sender keeps what does not come home: files of volumes, apptainer's own things.
pub const PRIVATE: &str = ".htc";

/// An output could not be made or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Makes all outputs of a job with these containers, empty, and the private folder.
pub fn create(scratch: &Path, containers: &[String]) -> Result<(), Error> {
    let folder = |name: &str, mode: u32| {
        let path = scratch.join(name);
        let made = DirBuilder::new().recursive(true).mode(mode).create(&path);
        made.map_err(|source| Error { path, source })
    };
    file(&scratch.join(RESULT_FILE), 0o600)?;
    folder(WORK, 0o755)?;
    for name in containers {
        let log = log(scratch, name);
        file(&log, 0o644)?;
        file(&before(&log), 0o644)?;
    }
    folder(PRIVATE, 0o700)
}

/// The log of a container.
pub fn log(scratch: &Path, container: &str) -> PathBuf {
    scratch.join(format!("log.{container}"))
}

/// What a log held before it was last begun anew.
pub fn before(log: &Path) -> PathBuf {
    log.with_added_extension("prev")
}

/// Writes `result.json` at once or not at all, whatever user processes on the worker left in its place.
pub fn write_result(scratch: &Path, report: &Report) -> Result<(), Error> {
    let [temporary, path] =
        [format!("{PRIVATE}.{RESULT_FILE}"), RESULT_FILE.to_owned()].map(|n| scratch.join(n));
    let write = || {
        clear(&temporary)?;
        if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            clear(&path)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(report)?)?;
        fs::rename(&temporary, &path)
    };
    write().map_err(|source| Error { path, source })
}

fn clear(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn file(path: &Path, mode: u32) -> Result<File, Error> {
    let opened = OpenOptions::new().append(true).create(true).mode(mode).open(path);
    opened.map_err(|source| Error { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_comes_home_exists_from_the_start() {
        let scratch = tempfile::tempdir().unwrap();
        create(scratch.path(), &["main".to_owned(), "side.car".to_owned()]).unwrap();
        for name in ["result.json", "log.main", "log.main.prev", "log.side.car", "log.side.car.prev"] {
            assert_eq!(fs::read(scratch.path().join(name)).unwrap(), b"", "{name}");
        }
        assert!(scratch.path().join("work").is_dir());
    }
}
