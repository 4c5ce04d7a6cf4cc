//! Pieces of the containers' logs, also of one that was begun anew since the last piece.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use htc_core::log::{HEAD, tail_start};
use htc_core::poll::{Begin, LogPart, LogWant, PIECE, Position};
use htc_core::workload::spec::JobSpec;
use rustix::fs::OFlags;

use crate::log::Closed;
use crate::outputs;

/// The logs of a job.
pub struct Logs {
    scratch: PathBuf,
    containers: Vec<String>,
    closed: Closed,
}

/// What there is of a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// These bytes.
    Part(LogPart, Vec<u8>),
    /// Nothing yet.
    NotYet,
    /// Nothing, and there will be nothing.
    Failed(String),
}

/// One of the two files of a log.
struct Half {
    file: File,
    head: Vec<u8>,
    size: u64,
}

impl Logs {
    /// Those of this job, in its folder.
    pub fn new(scratch: &Path, job: &JobSpec, closed: Closed) -> Logs {
        let containers = job.init_containers.iter().chain(&job.containers).map(|c| c.name.clone());
        Logs { scratch: scratch.to_owned(), containers: containers.collect(), closed }
    }

    /// The bytes that are wanted.
    pub fn read(&self, want: &LogWant) -> Found {
        if !self.containers.contains(&want.container) {
            return Found::Failed(format!("there is no container {}", want.container));
        }
        let path = outputs::log(&self.scratch, &want.container);
        self.part(&path, want).unwrap_or_else(|error| match error.kind() {
            // Without hard links there is a moment in which a log that begins anew has no name.
            ErrorKind::NotFound => Found::NotYet,
            _ => Found::Failed(error.to_string()),
        })
    }

    fn part(&self, path: &Path, want: &LogWant) -> io::Result<Found> {
        // Before the files: what was written until then is found in them.
        let closed = !want.previous && self.closed.has(&want.container);
        // In this order: what is begun anew between the two is found twice, and not lost.
        let (now, before) = (Half::open(path)?, Half::open(&outputs::before(path))?);
        let chosen = if want.previous { &before } else { &now };
        let (half, offset, continues) = match &want.from {
            Begin::Start => (chosen, 0, true),
            Begin::Lines(lines) => {
                let read = |block: &mut [u8], at| chosen.file.read_exact_at(block, at);
                (chosen, tail_start(chosen.size, *lines, read)?, true)
            }
            Begin::Position(at) if chosen.has(at) => (chosen, at.offset, true),
            Begin::Position(_) if want.previous => {
                return Ok(Found::Failed("another file has taken its place".to_owned()));
            }
            Begin::Position(at) if before.has(at) && at.offset < before.size => (&before, at.offset, true),
            Begin::Position(at) if before.has(at) => (&now, 0, true),
            Begin::Position(_) if before.size > 0 => (&before, 0, false),
            Begin::Position(_) => (&now, 0, false),
        };
        let bytes = half.read(offset)?;
        let is_last = std::ptr::eq(half, &raw const now) && offset + bytes.len() as u64 >= half.size;
        let closed = closed && is_last;
        if want.wait && bytes.is_empty() && !closed {
            return Ok(Found::NotYet);
        }
        let at = Position { head: half.head.clone(), offset };
        Ok(Found::Part(LogPart { at, size: half.size, continues, closed }, bytes))
    }
}

impl Half {
    fn open(path: &Path) -> io::Result<Half> {
        // A process of the user may have put something else in its place.
        let careful = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(careful.bits().cast_signed()).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut half = Half { file, head: Vec::new(), size: meta.len() };
        half.head = half.read_up_to(0, HEAD)?;
        Ok(half)
    }

    /// Whether a reader at this place has read this file.
    fn has(&self, at: &Position) -> bool {
        let common = self.head.len().min(at.head.len());
        at.offset <= self.size && self.head[..common] == at.head[..common]
    }

    fn read(&self, offset: u64) -> io::Result<Vec<u8>> {
        self.read_up_to(offset, PIECE)
    }

    /// So many bytes at most, of those that it had when it was opened.
    fn read_up_to(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let left = self.size.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(most).min(most)];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
