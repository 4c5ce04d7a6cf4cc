//! The log of a container, in the format of CRI: `<time> <stream> <F|P> <text>`, where P says that
//! the line goes on in the next one (or that the last one has no newline).

mod closed;
mod file;
mod lines;
mod tail;

use std::convert::Infallible;
use std::io::{self, PipeReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::words::say;
pub use closed::{Closed, Closes};
use file::LogFile;
use lines::Lines;
use tail::Tail;

/// What is read and written at once.
const CHUNK: usize = 64 << 10;
/// A larger pipe lets the writer run on while we write to disk; less is not an error.
const PIPE: usize = 1 << 20;

/// A log that is being written.
pub struct Log {
    /// Nothing is ever sent: it disconnects when the last reader ends.
    readers: Receiver<Infallible>,
    sink: Arc<Mutex<Sink>>,
}

/// Where both streams go.
struct Sink {
    file: LogFile,
    tail: Tail,
}

impl Log {
    /// Appends what the pipes bring to the file, as it comes. What the file needs besides lies in
    /// `folder`, on the same file system. When the pipes have ended, `closes` is dropped.
    pub fn follow(
        path: &Path,
        folder: &Path,
        stdout: PipeReader,
        stderr: PipeReader,
        closes: Closes,
    ) -> io::Result<Log> {
        let file = LogFile::open(path, folder, file::LIMIT)?;
        let sink = Arc::new(Mutex::new(Sink { file, tail: Tail::default() }));
        let (alive, readers) = channel();
        let closes = Arc::new(closes);
        for (stream, pipe) in [("stdout", stdout), ("stderr", stderr)] {
            let (sink, alive) = (sink.clone(), (alive.clone(), closes.clone()));
            let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE);
            std::thread::Builder::new()
                .name(stream.to_owned())
                .spawn(move || copy(pipe, stream, &sink, alive))?;
        }
        Ok(Log { readers, sink })
    }

    /// Waits until both streams have ended; false when somebody still holds them.
    pub fn finish(&self, limit: Duration) -> bool {
        matches!(self.readers.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
    }

    /// The end of what came so far.
    pub fn tail(&self) -> String {
        lock(&self.sink).tail.text()
    }
}

/// Adds a line of ours to a log that is closed.
pub fn add(path: &Path, folder: &Path, text: &str) -> io::Result<()> {
    let record = format!("{:.9} stderr F htc-sender: {text}\n", Timestamp::now());
    match LogFile::open(path, folder, file::LIMIT)?.append(record.as_bytes()) {
        true => Ok(()),
        false => Err(io::ErrorKind::StorageFull.into()),
    }
}

fn lock(sink: &Mutex<Sink>) -> MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads until the end, whatever becomes of the file: the user's program must never block on us.
fn copy(
    mut pipe: PipeReader,
    stream: &'static str,
    sink: &Mutex<Sink>,
    _alive: (Sender<Infallible>, Arc<Closes>),
) {
    let mut lines = Lines::new(stream);
    let mut chunk = vec![0; CHUNK];
    let mut text = Vec::new();
    let mut lost = false;
    loop {
        let read = match pipe.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(read) => read,
            Err(_) => 0,
        };
        match read {
            0 => lines.end(Timestamp::now(), &mut text),
            n => lines.take(&chunk[..n], Timestamp::now(), &mut text),
        }
        let mut sink = lock(sink);
        sink.tail.take(&chunk[..read]);
        let kept = sink.file.append(&text);
        let why = sink.file.lost();
        drop(sink);
        // When it begins, and all of it at the end: the log itself has no room for it.
        if !kept && (read == 0 || !lost) {
            say(why.unwrap_or_default());
            lost = true;
        }
        text.clear();
        if read == 0 {
            return;
        }
    }
}
