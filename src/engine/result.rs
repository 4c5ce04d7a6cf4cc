//! `result.json` in the folder that a job's files come home to. That it came proves that the others are there;
//! what it says counts only where the job has signed it. A process of the user on the worker may have put
//! anything in its place.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use htc_core::workload::names::JobKey;
use htc_core::workload::report::{RESULT_FILE, Report};
use htc_core::{events, result};
use rustix::fs::OFlags;

use super::keys::MasterKeys;

/// Removes what a call that failed has left: it would pass for proof.
pub fn remove(folder: &Path) -> io::Result<()> {
    let path = folder.join(RESULT_FILE);
    let removed = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(&path),
        Ok(_) => std::fs::remove_file(&path),
        Err(why) => Err(why),
    };
    removed.or_else(|why| if why.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(why) })
}

/// What came home; an error when nothing did. No bytes where it is no file, or longer than a sender writes.
pub fn arrived(folder: &Path) -> io::Result<Vec<u8>> {
    let path = folder.join(RESULT_FILE);
    path.symlink_metadata()
        .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))?;
    Ok(read(&path).unwrap_or_else(|why| {
        tracing::warn!(%why, path = %path.display(), "a result says nothing: it cannot be read");
        Vec::new()
    }))
}

/// Follows no link, waits for no writer, and reads no more than a result can have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > result::FILE_MAX as u64 {
        return Err(io::Error::other(format!("it is no file of at most {} bytes", result::FILE_MAX)));
    }
    let mut bytes = Vec::new();
    file.take(result::FILE_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last report in these bytes, where it counts. Senders of earlier releases do not sign.
pub fn words(bytes: &[u8], key: &JobKey, is_signed: bool, keys: &MasterKeys) -> Option<Report> {
    let secret = |id: &str| Some(events::job_key(keys.get(id)?, key));
    let report = match is_signed {
        true => result::read(bytes, key, secret),
        false => result::read_unsigned(bytes, key),
    };
    if report.is_none() && !bytes.trim_ascii().is_empty() {
        tracing::warn!(%key, "a result says nothing: the job has not signed it, or it is no report");
    }
    report.map(Report::bounded)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn whatever_lies_at_its_name_has_arrived_and_harms_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RESULT_FILE);
        assert_eq!(arrived(folder.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        remove(folder.path()).unwrap();

        let fifo = || {
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        };
        let sparse = || fs::File::create(&path).unwrap().set_len(600 << 20).unwrap();
        let to_secret = || std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        let to_nothing = || std::os::unix::fs::symlink("/no/such", &path).unwrap();
        let full_folder = || fs::create_dir_all(path.join("deep")).unwrap();
        let strange: [(&str, &dyn Fn()); 5] = [
            ("a pipe without a writer", &fifo),
            ("a sparse file of 600 MB", &sparse),
            ("a link out of the folder", &to_secret),
            ("a link to nothing", &to_nothing),
            ("a folder", &full_folder),
        ];
        for (what, make) in strange {
            make();
            assert_eq!(arrived(folder.path()).unwrap(), b"", "{what}");
            remove(folder.path()).unwrap();
            assert!(arrived(folder.path()).is_err(), "{what}");
        }
        fs::write(&path, [b' '; result::FILE_MAX]).unwrap();
        assert_eq!(arrived(folder.path()).unwrap().len(), result::FILE_MAX);
    }
}
