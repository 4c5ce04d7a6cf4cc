//! The one log reader. A log is read where it is: with the job while it runs, from the job's folder
//! once it is home; a reader that follows goes from the one to the other without losing a byte.

mod from_file;
mod from_poll;
pub mod mirror;
mod place;
mod reader;
mod record;
mod tail;

use futures::stream::{self, Stream};
use htc_core::workload::names::Uid;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::Engine;
use crate::limits::LAST_READS;

/// Pieces that wait for a slow caller.
const PIECES: usize = 4;

/// Which log is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The workload.
    pub uid: Uid,
    /// The index.
    pub index: u32,
    /// The container.
    pub container: String,
    /// What of it, and how.
    pub options: LogOptions,
}

/// What of a log is wanted, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Only the last lines of what is there.
    pub tail: Option<u64>,
    /// Only what was written at this moment or later.
    pub since: Option<Timestamp>,
    /// Each line with its time.
    pub timestamps: bool,
    /// At most so many bytes, as they are printed; they may end within a line.
    pub limit_bytes: Option<u64>,
    /// The log of the container's run before this one.
    pub previous: bool,
    /// Also what will be written, until the job has ended.
    pub follow: bool,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes of the log.
    Log(Vec<u8>),
    /// A sentence for the person who waits.
    Notice(String),
    /// The container has ended, and its log is whole. More comes only when the job starts again; it may be
    /// said more than once.
    Closed,
}

/// Why there is no log, or no more of it.
#[derive(Debug, Error)]
pub enum LogError {
    /// Nobody wishes such a workload.
    #[error("no such job is known here")]
    UnknownWorkload,
    /// The workload is being deleted.
    #[error("the job is being deleted, and its log with it")]
    Deleted,
    /// The workload has no such index.
    #[error("there is no index {index}: the job has {indices}, counted from 0")]
    NoIndex {
        /// The index.
        index: u32,
        /// How many it has.
        indices: u32,
    },
    /// There is no log yet.
    #[error("{0}; with -f its log is waited for")]
    NotYet(String),
    /// The job runs, but its log cannot be read there.
    #[error("the log of index {index} cannot be read while it runs: {why}; it comes home when the job ends")]
    OutOfReach {
        /// The index.
        index: u32,
        /// What `condor_tail` said.
        why: String,
    },
    /// The operator ends.
    #[error("the operator ends, and the log with it; ask again in a moment")]
    Closing,
    /// It ended without files, or they are gone.
    #[error("index {index} has no log here: {why}")]
    NoFiles {
        /// The index.
        index: u32,
        /// Why.
        why: String,
    },
    /// It has no container of this name.
    #[error("index {index} has no container {container}; it has {known}")]
    NoContainer {
        /// The index.
        index: u32,
        /// The container.
        container: String,
        /// Those that it has.
        known: String,
    },
    /// The container has run only once.
    #[error("the container {container} of index {index} has not run before")]
    NoPrevious {
        /// The index.
        index: u32,
        /// The container.
        container: String,
    },
    /// The file cannot be read.
    #[error("failed to read the log: {0}")]
    File(#[from] std::io::Error),
}

impl Engine {
    /// Reads a log. An error is the last item. Who drops the stream ends everything that it started.
    pub fn logs(&self, wanted: Wanted) -> impl Stream<Item = Result<Piece, LogError>> + Send + use<> {
        let (out, pieces) = mpsc::channel(PIECES);
        let engine = self.clone();
        let work = tokio::spawn(async move {
            let closing = engine.is_closing(wanted.options.follow);
            let read = tokio::select! {
                read = reader::read(&engine, wanted, &out) => read,
                () = closing => Err(LogError::Closing.into()),
            };
            if let Err(reader::Stop::Because(why)) = read {
                // Who has left does not want to know.
                let _ = out.send(Err(why)).await;
            }
        });
        let state = (pieces, AbortOnDropHandle::new(work));
        stream::unfold(state, |(mut pieces, work)| async move {
            pieces.recv().await.map(|piece| (piece, (pieces, work)))
        })
    }

    /// Waits until the operator ends, and whoever does not follow a log has had time to read it.
    async fn is_closing(&self, follows: bool) {
        self.0.polls.closing.cancelled().await;
        if !follows {
            sleep(LAST_READS).await;
        }
    }
}
