//! The file of a log, begun anew when it is large; the one before it is kept as `.prev`.
//!
//! There is a file under both names at every moment, since HTCondor wants both at the end. Each holds
//! whole lines, and none is ever written to again once it is `.prev`. Whoever follows the log by offset
//! (HTCondor's tail, the operator) knows a new file by its first line: its time, in nanoseconds, is
//! another one. A smaller size tells too, but only to those who look before the new file has grown.
//!
//! A record is in the file whole or not at all, also where the disk is full. What is missing is counted,
//! and said in a record of its own as soon as there is room for it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::outputs;

/// What one file holds at the most. Kubelets keep 50 MiB of a container, in five files; here the last
/// 50 to 100 MiB come home.
pub const LIMIT: u64 = 50 << 20;

/// Records that are missing in a file.
struct Lost {
    records: u64,
    /// Why the first of them could not be written.
    why: io::Error,
}

impl Lost {
    fn record(&self) -> String {
        let Lost { records, why } = self;
        format!(
            "{:.9} stderr F htc-sender: {records} records of this log are lost here: {why}\n",
            Timestamp::now()
        )
    }
}

/// The file that is being written.
pub struct LogFile {
    path: PathBuf,
    /// Where the next file is made before it gets its name.
    next: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    /// What is missing at the end of the file.
    lost: Option<Lost>,
}

impl LogFile {
    /// Goes on with what is there.
    pub fn open(path: &Path, folder: &Path, limit: u64) -> io::Result<LogFile> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let size = file.metadata()?.len();
        let next = folder.join(path.file_name().unwrap_or_default());
        Ok(LogFile { path: path.to_owned(), next, file, size, limit, lost: None })
    }

    /// Appends whole records; says whether all that came so far is there, or said to be missing.
    pub fn append(&mut self, text: &[u8]) -> bool {
        if self.size > 0 && self.size + text.len() as u64 > self.limit {
            // Better a file that is too long than lines that are lost.
            let _ = self.begin_anew();
        }
        if let Some(lost) = &self.lost {
            let record = lost.record();
            match self.write(record.as_bytes()) {
                Ok(()) => self.lost = None,
                // Nothing may follow upon what is missing.
                Err(_) => return self.lose(text, None),
            }
        }
        match self.write(text) {
            Ok(()) => true,
            Err((kept, why)) => self.lose(&text[kept..], Some(why)),
        }
    }

    /// A sentence on what is missing at the end of the file, and not said in it.
    pub fn lost(&self) -> Option<String> {
        let Lost { records, why } = self.lost.as_ref()?;
        let name = self.path.file_name().unwrap_or_default().display();
        Some(format!("{records} records of {name} are lost: {why}"))
    }

    fn lose(&mut self, text: &[u8], why: Option<io::Error>) -> bool {
        let records = text.iter().filter(|byte| **byte == b'\n').count() as u64;
        match (&mut self.lost, why) {
            (Some(lost), _) => lost.records += records,
            (lost, why) => *lost = why.map(|why| Lost { records, why }),
        }
        false
    }

    /// Writes records as far as there is room; an error says how many bytes of them are there.
    fn write(&mut self, text: &[u8]) -> Result<(), (usize, io::Error)> {
        let (mut written, mut failed) = (0, None);
        while written < text.len() && failed.is_none() {
            match self.file.write(&text[written..]) {
                Ok(0) => failed = Some(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => failed = Some(why),
            }
        }
        let kept = text[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if kept < written {
            // Half a record, to which the next one would be glued.
            let torn = (written - kept) as u64;
            let _ = self.file.metadata().and_then(|meta| self.file.set_len(meta.len().saturating_sub(torn)));
        }
        self.size += kept as u64;
        failed.map_or(Ok(()), |why| Err((kept, why)))
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
            assert!(log.append(line.as_bytes()));
            assert_eq!(content(), expected);
        }
        assert_eq!(fs::read_dir(private).unwrap().count(), 0);
        // The next one to open it goes on.
        assert!(LogFile::open(&path, folder.path(), 10).unwrap().append(b"six\n"));
        assert_eq!(content()[0], "5\nsix\n");
    }

    #[test]
    fn no_line_is_lost_where_no_new_file_can_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.main");
        let mut log = LogFile::open(&path, &folder.path().join("no-such"), 4).unwrap();
        assert!(log.append(b"one\n") && log.append(b"two\n"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }
}
