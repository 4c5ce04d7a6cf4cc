//! The files that HTCondor brings home. A missing one puts the job on hold, so all of them are made
//! before anything else, and `result.json` gets its content as the very last act. The room for it is taken
//! while there is some: a container that fills the disk cannot hide how its job ended.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use htc_core::result::FILE_MAX;
use htc_core::workload::report::RESULT_FILE;

use crate::words::say;

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

/// A file of full length that becomes `result.json`; none where the disk was full from the start.
#[derive(Debug)]
pub struct Room(Option<File>);

/// What takes the place of `work` where nothing of it may travel: made while there is room for it.
pub const SPARE: &str = ".htc/spare";

/// Where HTCondor keeps what the sender says until it brings it home.
const OUTPUT: &str = "_condor_stdout";

/// Makes all outputs of a job with these containers, empty, and the private folder.
pub fn create(scratch: &Path, containers: &[String]) -> Result<Room, Error> {
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
    folder(PRIVATE, 0o700)?;
    folder(SPARE, 0o755)?;
    let room = take_room(&place(scratch));
    Ok(Room(room.inspect_err(|why| say(format_args!("no room is kept for {RESULT_FILE}: {why}"))).ok()))
}

/// Puts an empty file where a file that travels is none any more: HTCondor would follow a link, and wait for the
/// writer of a FIFO. Which logs a job has is not known where its sender was killed.
pub fn mend(scratch: &Path, containers: &[String]) -> Result<(), Error> {
    let logs = containers.iter().map(|name| log(scratch, name));
    let mut travel: BTreeSet<PathBuf> = logs.flat_map(|log| [before(&log), log]).collect();
    travel.insert(scratch.join(RESULT_FILE));
    for entry in fs::read_dir(scratch).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name == OUTPUT || name.as_bytes().starts_with(b"log.") {
            travel.insert(entry.path());
        }
    }
    let is_file = |path: &PathBuf| path.symlink_metadata().is_ok_and(|meta| meta.is_file());
    travel.into_iter().filter(|path| !is_file(path)).try_for_each(|path| {
        clear(&path).map_err(|source| Error { path: path.clone(), source })?;
        file(&path, 0o644).map(drop)
    })
}

/// Where the file lies until it is `result.json`.
fn place(scratch: &Path) -> PathBuf {
    scratch.join(format!("{PRIVATE}.{RESULT_FILE}"))
}

fn take_room(path: &Path) -> io::Result<File> {
    let mut file = make(path)?;
    // Written, and not only promised: holes get their blocks when it is too late. As an array the blanks would
    // be part of the program, which travels with each job.
    if let Err(why) = file.write_all(&vec![b' '; FILE_MAX]) {
        let _ = fs::remove_file(path);
        return Err(why);
    }
    Ok(file)
}

/// A new file, whatever was there.
fn make(path: &Path) -> io::Result<File> {
    clear(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
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
pub fn write_result(scratch: &Path, room: Room, bytes: &[u8]) -> Result<(), Error> {
    let (temporary, path) = (place(scratch), scratch.join(RESULT_FILE));
    let write = || {
        if room.0.is_none_or(|file| write_in_place(&file, &temporary, bytes).is_err()) {
            make(&temporary)?.write_all(bytes)?;
        }
        if path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            clear(&path)?;
        }
        fs::rename(&temporary, &path)
    };
    write().map_err(|source| Error { path, source })
}

/// Takes no block that the file does not have.
fn write_in_place(file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (ours, there) = (file.metadata()?, path.symlink_metadata()?);
    if (ours.dev(), ours.ino()) != (there.dev(), there.ino()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    file.write_all_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)
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

    #[test]
    fn the_result_takes_the_place_of_whatever_a_process_of_the_user_left_there() {
        type Deed = fn(&Path);
        let deeds: [Deed; 6] = [
            |_| {},
            |scratch| fs::remove_file(place(scratch)).unwrap(),
            |scratch| fs::write(place(scratch), "x").unwrap(),
            |scratch| {
                fs::remove_file(place(scratch)).unwrap();
                std::os::unix::fs::symlink("/etc/hostname", place(scratch)).unwrap();
            },
            |scratch| {
                fs::remove_file(scratch.join(RESULT_FILE)).unwrap();
                fs::create_dir_all(scratch.join(RESULT_FILE).join("deep")).unwrap();
            },
            |scratch| {
                fs::remove_file(place(scratch)).unwrap();
                fs::create_dir(place(scratch)).unwrap();
            },
        ];
        for deed in deeds {
            let scratch = tempfile::tempdir().unwrap();
            let room = create(scratch.path(), &["main".to_owned()]).unwrap();
            assert_eq!(fs::metadata(place(scratch.path())).unwrap().len(), FILE_MAX as u64);
            deed(scratch.path());
            write_result(scratch.path(), room, b"the last words").unwrap();
            assert_eq!(fs::read(scratch.path().join(RESULT_FILE)).unwrap(), b"the last words");
            assert!(!place(scratch.path()).exists());
        }
    }
}
