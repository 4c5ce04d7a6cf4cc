//! The log reader. One source now: the files of ended jobs. A log has one line per record,
//! `<time> <stdout|stderr> <F|P> <bytes>`, P for a part of a line that goes on in the next record.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use htc_core::workload::names::Uid;
use thiserror::Error;
use tokio::time::{Instant, timeout};

use super::Engine;
use crate::limits::LOGS_PATIENCE;

/// What of a log is wanted, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Only the last lines.
    pub tail: Option<u64>,
    /// Each line with its time.
    pub timestamps: bool,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// Nobody wishes such a workload.
    #[error("no such job is known here")]
    UnknownWorkload,
    /// The workload has no such index, or it is not submitted yet.
    #[error("index {0} has not been submitted yet, or the job has fewer indices")]
    NoIndex(u32),
    /// It still runs, and only ended jobs have logs here yet.
    #[error("index {0} has not ended yet; its log comes home when it ends")]
    NotEnded(u32),
    /// It ended without files.
    #[error("index {index} left no log: {why}")]
    NoFiles {
        /// The index.
        index: u32,
        /// How it ended.
        why: String,
    },
    /// It has no container of this name.
    #[error("index {index} has no log of a container {container}")]
    NoContainer {
        /// The index.
        index: u32,
        /// The container.
        container: String,
    },
}

impl Engine {
    /// The log file of a container of an ended job; waits a little for files on their way home.
    pub async fn log(&self, uid: &Uid, index: u32, container: &str) -> Result<PathBuf, LogError> {
        let deadline = Instant::now() + LOGS_PATIENCE;
        let mut changes = self.changes();
        loop {
            match self.log_now(uid, index, container) {
                Ok(Some(path)) => return Ok(path),
                Err(why) => return Err(why),
                Ok(None) if Instant::now() > deadline => return Err(LogError::NotEnded(index)),
                Ok(None) => drop(timeout(Duration::from_millis(500), changes.recv()).await),
            }
        }
    }

    /// The file, or nothing when it is on its way.
    fn log_now(&self, uid: &Uid, index: u32, container: &str) -> Result<Option<PathBuf>, LogError> {
        let board = self.0.board();
        let entry = board.entries.get(uid).ok_or(LogError::UnknownWorkload)?;
        let job = entry.jobs.get(&index).ok_or(LogError::NoIndex(index))?;
        match job.end() {
            Some(end) if !end.outcome.has_files() => {
                return Err(LogError::NoFiles { index, why: end.message.clone() });
            }
            None if job.finished.is_none() && job.final_report().is_none() => {
                return Err(LogError::NotEnded(index));
            }
            _ if !job.home => return Ok(None),
            _ => {}
        }
        let path = PathBuf::from(&job.folder).join(format!("log.{container}"));
        let plain = !container.contains('/');
        if plain && path.is_file() {
            Ok(Some(path))
        } else if !Path::new(&job.folder).is_dir() {
            Err(LogError::NoFiles { index, why: "its files are no longer here".to_owned() })
        } else {
            Err(LogError::NoContainer { index, container: container.to_owned() })
        }
    }
}

/// Copies a log as a person wants it. Memory is bounded by the longest record.
pub fn copy(mut file: File, options: LogOptions, out: &mut dyn Write) -> io::Result<()> {
    if let Some(lines) = options.tail {
        let start = tail_start(&mut file, lines)?;
        file.seek(SeekFrom::Start(start))?;
    }
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut record = Vec::new();
    let mut at_line_start = true;
    while reader.read_until(b'\n', &mut record)? > 0 {
        let (time, whole, text) = split(record.strip_suffix(b"\n").unwrap_or(&record));
        if options.timestamps && at_line_start {
            out.write_all(time)?;
            out.write_all(b" ")?;
        }
        out.write_all(text)?;
        if whole {
            out.write_all(b"\n")?;
        }
        at_line_start = whole;
        record.clear();
    }
    out.flush()
}

/// Time, whether the line ends here, and the bytes of a record.
fn split(record: &[u8]) -> (&[u8], bool, &[u8]) {
    let mut parts = record.splitn(4, |&b| b == b' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(time), Some(_stream), Some(tag), Some(text)) => (time, tag == b"F", text),
        // Not ours: shown as it stands.
        _ => (b"", true, record),
    }
}

/// Where the last `lines` lines begin: read backwards, block by block.
fn tail_start(file: &mut File, lines: u64) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let mut position = file.seek(SeekFrom::End(0))?;
    let end = position;
    let mut found = 0;
    let mut block = Vec::new();
    while position > 0 {
        let size = BLOCK.min(position);
        position -= size;
        file.seek(SeekFrom::Start(position))?;
        block.resize(usize::try_from(size).unwrap_or(0), 0);
        file.read_exact(&mut block)?;
        for (n, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = position + n as u64 + 1;
            if after < end {
                found += 1;
            }
            if found == lines {
                return Ok(after);
            }
            if lines == 0 {
                return Ok(end);
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr P tw\n\
        2026-01-01T00:00:02Z stderr F o\n2026-01-01T00:00:03Z stdout F \n";

    fn read(options: LogOptions) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(LOG).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut out = Vec::new();
        copy(file, options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_log_reads_as_it_was_written() {
        assert_eq!(read(LogOptions::default()), "one\ntwo\n\n");
    }

    #[test]
    fn times_stand_at_the_start_of_lines_only() {
        let expected = "2026-01-01T00:00:00Z one\n2026-01-01T00:00:01Z two\n2026-01-01T00:00:03Z \n";
        assert_eq!(read(LogOptions { timestamps: true, ..LogOptions::default() }), expected);
    }

    #[test]
    fn the_tail_is_the_last_records() {
        assert_eq!(read(LogOptions { tail: Some(1), ..LogOptions::default() }), "\n");
        assert_eq!(read(LogOptions { tail: Some(0), ..LogOptions::default() }), "");
        assert_eq!(read(LogOptions { tail: Some(99), ..LogOptions::default() }), "one\ntwo\n\n");
    }
}
