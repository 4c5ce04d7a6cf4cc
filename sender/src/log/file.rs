//! The file of a log, begun anew when it is large; the one before it is kept as `.prev`.
//!
//! There is a file under both names at every moment, since HTCondor wants both at the end. Each holds
//! whole lines, and none is ever written to again once it is `.prev`. Whoever follows the log by offset
//! (HTCondor's tail, the operator) knows a new file by its first line: its time, in nanoseconds, is
//! another one. A smaller size tells too, but only to those who look before the new file has grown.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::outputs;

/// What one file holds at the most. Kubelets keep 50 MiB of a container, in five files; here the last
/// 50 to 100 MiB come home.
pub const LIMIT: u64 = 50 << 20;

/// The file that is being written.
pub struct LogFile {
    path: PathBuf,
    /// Where the next file is made before it gets its name.
    next: PathBuf,
    file: File,
    size: u64,
    limit: u64,
}

impl LogFile {
    /// Goes on with what is there.
    pub fn open(path: &Path, folder: &Path, limit: u64) -> io::Result<LogFile> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let size = file.metadata()?.len();
        let next = folder.join(path.file_name().unwrap_or_default());
        Ok(LogFile { path: path.to_owned(), next, file, size, limit })
    }

    /// Appends whole lines.
    pub fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + text.len() as u64 > self.limit {
            // Better a file that is too long than lines that are lost.
            let _ = self.begin_anew();
        }
        self.file.write_all(text)?;
        self.size += text.len() as u64;
        Ok(())
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let before = outputs::before(&self.path);
        let file = OpenOptions::new().append(true).create(true).open(&self.next)?;
        let second_name = self.next.with_added_extension("prev");
        let kept = fs::hard_link(&self.path, &second_name).and_then(|()| fs::rename(&second_name, &before));
        // Not every file system has hard links.
        kept.or_else(|_| fs::rename(&self.path, &before))?;
        fs::rename(&self.next, &self.path)?;
        (self.file, self.size) = (file, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_is_begun_anew_between_lines_and_the_last_two_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (path, private) = (folder.path().join("log.main"), folder.path().join("private"));
        fs::create_dir(&private).unwrap();
        let mut log = LogFile::open(&path, &private, 10).unwrap();
        let content = || [&path, &outputs::before(&path)].map(|p| fs::read_to_string(p).unwrap_or_default());
        for (line, expected) in [
            ("one\n", ["one\n", ""]),
            ("three\n", ["one\nthree\n", ""]),
            ("4\n", ["4\n", "one\nthree\n"]),
            ("longer than the limit\n", ["longer than the limit\n", "4\n"]),
            ("5\n", ["5\n", "longer than the limit\n"]),
        ] {
            log.append(line.as_bytes()).unwrap();
            assert_eq!(content(), expected);
        }
        assert_eq!(fs::read_dir(private).unwrap().count(), 0);
        // The next one to open it goes on.
        LogFile::open(&path, folder.path(), 10).unwrap().append(b"six\n").unwrap();
        assert_eq!(content()[0], "5\nsix\n");
    }

    #[test]
    fn no_line_is_lost_where_no_new_file_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.main");
        let mut log = LogFile::open(&path, &folder.path().join("no-such"), 4).unwrap();
        log.append(b"one\n").unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
