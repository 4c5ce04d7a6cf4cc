//! A reader on its way through a log: it goes where the board says that the log is, and keeps the
//! place where it was.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::JobId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout, timeout_at};

use super::mirror::Mirror;
use super::place::{Place, place};
use super::record::Printer;
use super::tail::tail_start;
use super::{LogError, Piece, Wanted};
use crate::engine::tracker::backoff;
use crate::engine::{Engine, Inner};
use crate::limits::{IDLE_LOOK, LOG_PIECE, LOGS_PATIENCE, QUICK_LOOK};

/// So many bytes of a log tell it from that of another start: its first record begins with the
/// nanosecond in which it was written.
const HEAD: usize = 30;

/// Why a reader stops before the end.
pub enum Stop {
    /// Nobody listens any more.
    Unheard,
    /// For this reason.
    Because(LogError),
}

impl<E: Into<LogError>> From<E> for Stop {
    fn from(why: E) -> Stop {
        Stop::Because(why.into())
    }
}

type Out = Sender<Result<Piece, LogError>>;

/// Reads a log to its end.
pub async fn read(engine: &Engine, wanted: Wanted, out: &Out) -> Result<(), Stop> {
    let printer = Printer::new(&wanted.options);
    // Before the first look, so that no change is missed.
    let changes = engine.changes();
    let (inner, told) = (engine.0.clone(), String::new());
    Reader { inner, wanted, out, printer, changes, told, at: None, head: Vec::new() }.run().await
}

struct Reader<'a> {
    inner: Arc<Inner>,
    wanted: Wanted,
    out: &'a Out,
    printer: Printer,
    changes: Receiver<Uid>,
    /// What the caller was told last.
    told: String,
    /// How far it has come, in bytes of the log; none until its beginning is chosen.
    at: Option<u64>,
    /// The first bytes of the log.
    head: Vec<u8>,
}

/// How reading at the worker went.
enum Passage {
    /// Everything that the tool brought has been read.
    Whole,
    /// The tool has failed.
    Failed(String),
    /// The log is elsewhere by now.
    Moved,
}

impl Reader<'_> {
    async fn run(mut self) -> Result<(), Stop> {
        let (mut failures, mut coming_since) = (0, None);
        let follow = self.wanted.options.follow;
        loop {
            match self.place()? {
                Place::Nowhere(why) if !follow => return Err(LogError::NotYet(why).into()),
                Place::Nowhere(why) => {
                    self.tell(why).await?;
                    self.change().await;
                }
                Place::Worker(key, id) => match self.at_worker(&key, id).await? {
                    Passage::Whole if !follow => return self.end().await,
                    Passage::Whole => {
                        failures = 0;
                        // The tool often knows of the end of the job before the board does.
                        let _ = timeout(QUICK_LOOK, self.change()).await;
                    }
                    Passage::Moved => {}
                    Passage::Failed(why) if !follow => {
                        let index = self.wanted.index;
                        return Err(LogError::OutOfReach { index, why }.into());
                    }
                    Passage::Failed(why) => {
                        failures += 1;
                        if failures > 1 {
                            self.tell(format!("the log cannot be read now: {why}; it is tried again"))
                                .await?;
                        }
                        let _ = timeout(backoff(failures), self.change()).await;
                    }
                },
                Place::Coming => {
                    let until = *coming_since.get_or_insert(Instant::now() + LOGS_PATIENCE);
                    if until <= Instant::now() {
                        let why =
                            format!("index {} has ended and its log is on its way home", self.wanted.index);
                        if !follow {
                            return Err(LogError::NotYet(why).into());
                        }
                        self.tell(why).await?;
                        self.change().await;
                    } else {
                        let _ = timeout_at(until, self.change()).await;
                    }
                }
                Place::Home(folder) => {
                    self.at_home(&folder).await?;
                    return self.end().await;
                }
            }
        }
    }

    fn place(&self) -> Result<Place, LogError> {
        let Wanted { uid, index, container, options: _ } = &self.wanted;
        place(&self.inner.board(), uid, *index, container)
    }

    /// Waits until something of the workload has changed, or for a while.
    async fn change(&mut self) {
        let ours = async {
            loop {
                match self.changes.recv().await {
                    Ok(uid) if uid != self.wanted.uid => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _ = timeout(IDLE_LOOK, ours).await;
    }

    fn file_name(&self) -> String {
        let previous = if self.wanted.options.previous { ".prev" } else { "" };
        format!("log.{}{previous}", self.wanted.container)
    }

    /// First what the log has now, whose last lines can be counted; then what is added.
    async fn at_worker(&mut self, key: &JobKey, id: JobId) -> Result<Passage, Stop> {
        if self.at.is_none() {
            let mirror = self.inner.snapshot(id, &self.file_name())?;
            return self.through(&mirror, key, true).await;
        }
        let mirror = self.inner.follow(key, id, &self.file_name())?;
        self.through(&mirror, key, false).await
    }

    /// Reads a mirror as long as the log is with this job.
    async fn through(&mut self, mirror: &Mirror, key: &JobKey, when_whole: bool) -> Result<Passage, Stop> {
        let mut grown = mirror.grown();
        loop {
            let now = grown.borrow_and_update().clone();
            if !when_whole || matches!(now.end, Some(Ok(()))) {
                self.take(&mirror.file, now.bytes).await?;
            }
            match now.end {
                Some(Ok(())) => return Ok(Passage::Whole),
                Some(Err(why)) => return Ok(Passage::Failed(why)),
                None => {}
            }
            tokio::select! {
                more = grown.changed() => if more.is_err() {
                    return Ok(Passage::Failed("the reader of condor_tail has ended".to_owned()));
                },
                () = self.change() => {}
            }
            if !matches!(self.place()?, Place::Worker(now, _) if now == *key) {
                return Ok(Passage::Moved);
            }
        }
    }

    async fn at_home(&mut self, folder: &Path) -> Result<(), Stop> {
        let path = folder.join(self.file_name());
        let index = self.wanted.index;
        let file = match File::open(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                let why = format!("{} is not there any more", path.display());
                return Err(LogError::NoFiles { index, why }.into());
            }
            other => Arc::new(other?),
        };
        let bytes = file.metadata()?.len();
        self.take(&file, bytes).await?;
        let mut rest = Vec::new();
        self.printer.end(&mut rest);
        self.send(rest).await
    }

    async fn end(self) -> Result<(), Stop> {
        let Wanted { index, container, options, .. } = self.wanted;
        match self.head.is_empty() && options.previous {
            true => Err(LogError::NoPrevious { index, container }.into()),
            false => Ok(()),
        }
    }

    /// Goes on in a file that has so many bytes of the log, from its first on.
    async fn take(&mut self, file: &Arc<File>, bytes: u64) -> Result<(), Stop> {
        let head = self.read(file, 0, bytes.min(HEAD as u64)).await?;
        let common = head.len().min(self.head.len());
        if head[..common] != self.head[..common] {
            self.tell(format!("index {} has started again; its log begins anew", self.wanted.index)).await?;
            let mut line = Vec::new();
            self.printer.begin_anew(&mut line);
            self.send(line).await?;
            (self.at, self.head) = (Some(0), head);
        } else if head.len() > self.head.len() {
            self.head = head;
        }
        let mut at = match (self.at, self.wanted.options.tail) {
            (Some(at), _) => at,
            (None, None) => 0,
            (None, Some(lines)) => {
                let file = file.clone();
                blocking(move || tail_start(&file, bytes, lines)).await?
            }
        };
        self.at = Some(at);
        while at < bytes {
            let piece = self.read(file, at, bytes - at).await?;
            let mut printed = Vec::new();
            self.printer.take(&piece, &mut printed);
            self.send(printed).await?;
            at += piece.len() as u64;
            self.at = Some(at);
        }
        Ok(())
    }

    /// At most [`LOG_PIECE`] bytes.
    async fn read(&self, file: &Arc<File>, at: u64, count: u64) -> io::Result<Vec<u8>> {
        let file = file.clone();
        let size = usize::try_from(count).unwrap_or(LOG_PIECE).min(LOG_PIECE);
        blocking(move || {
            let mut piece = vec![0; size];
            file.read_exact_at(&mut piece, at)?;
            Ok(piece)
        })
        .await
    }

    async fn send(&mut self, printed: Vec<u8>) -> Result<(), Stop> {
        if printed.is_empty() {
            return Ok(());
        }
        self.told.clear();
        self.out.send(Ok(Piece::Log(printed))).await.map_err(|_| Stop::Unheard)
    }

    /// Tells the caller something, once.
    async fn tell(&mut self, sentence: String) -> Result<(), Stop> {
        if self.told == sentence {
            return Ok(());
        }
        self.told.clone_from(&sentence);
        self.out.send(Ok(Piece::Notice(sentence))).await.map_err(|_| Stop::Unheard)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
