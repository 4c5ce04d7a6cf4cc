//! What a kept image was when it was pulled: its digest, and how the file looked then. All jobs of a user on a
//! worker can write into the cache, so a file that has changed since is read again before it is run.
//!
//! A record is as easy to write as the image: it stops a mistake and a careless job, not a user who means it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The extension of its file, which lies beside the image.
pub const EXTENSION: &str = "sum";
/// A record is far smaller.
const SIZE_MAX: u64 = 4096;

/// A record of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    sha256: String,
    looks: Looks,
}

/// What changes when a file is written, replaced or touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Looks {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Looks {
    fn of(file: &File) -> io::Result<Looks> {
        let meta = file.metadata()?;
        Ok(Looks {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// The digest of a file's bytes.
pub fn digest(file: &File) -> io::Result<String> {
    let (mut hash, mut file, mut piece) = (Sha256::new(), file, vec![0; 1 << 20]);
    io::Seek::seek(&mut file, io::SeekFrom::Start(0))?;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&piece[..read]),
        }
    }
}

/// Notes that this image has this digest.
pub fn write(image: &Path, file: &File, sha256: String) -> io::Result<()> {
    let record = Record { sha256, looks: Looks::of(file)? };
    let mut new = tempfile_beside(image)?;
    new.1.write_all(&serde_json::to_vec(&record)?)?;
    fs::rename(&new.0, path(image))
}

/// Whether an image is what it was when it was pulled; one without a record, which an earlier release left,
/// is recorded as it is.
pub fn is_as_it_was(image: &Path, file: &File) -> io::Result<bool> {
    let Some(Record { sha256, looks }) = read(image) else {
        write(image, file, digest(file)?)?;
        return Ok(true);
    };
    if looks == Looks::of(file)? {
        return Ok(true);
    }
    let found = digest(file)?;
    let same = found == sha256;
    if same {
        write(image, file, found)?;
    }
    Ok(same)
}

/// Notes that an image is used now. The image itself stays untouched: that would look like a change.
pub fn touch(image: &Path) {
    // Only how long it stays in the cache hangs on it.
    if let Ok(file) = File::options().append(true).open(path(image)) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// When an image was last used, if that was noted.
pub fn last_use(image: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path(image)).ok()?.modified().ok()
}

/// Removes the record of an image.
pub fn remove(image: &Path) {
    let _ = fs::remove_file(path(image));
}

/// The file of an image's record.
pub fn path(image: &Path) -> PathBuf {
    image.with_extension(EXTENSION)
}

fn read(image: &Path) -> Option<Record> {
    let mut bytes = Vec::new();
    File::open(path(image)).ok()?.take(SIZE_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn tempfile_beside(image: &Path) -> io::Result<(PathBuf, File)> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = image.with_extension(format!("{EXTENSION}.{}", std::process::id()));
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    Ok((path, file))
}
