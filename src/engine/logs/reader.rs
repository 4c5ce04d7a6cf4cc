//! A reader on its way through a log: it goes where the board says that the log is, and keeps the
//! place where it was.

use std::sync::Arc;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::JobId;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout, timeout_at};

use super::place::{Place, has_ended, place};
use super::record::Printer;
use super::{LogError, Piece, Wanted};
use crate::engine::board::Job;
use crate::engine::look::tracker::backoff;
use crate::engine::{Engine, Inner};
use crate::limits::{IDLE_LOOK, LOG_SETTLES, LOGS_PATIENCE, POLL_MISTRUST, QUICK_LOOK};

/// Why a reader stops before the end.
pub enum Stop {
    /// Nobody listens any more.
    Unheard,
    /// The caller has as many bytes as it may.
    Full,
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
    let (at, head, start, awaited, mistrusted, settles) = (None, Vec::new(), None, None, None, None);
    Reader { inner, wanted, out, printer, changes, told, at, head, start, awaited, mistrusted, settles }
        .run()
        .await
}

pub(super) struct Reader<'a> {
    pub(super) inner: Arc<Inner>,
    pub(super) wanted: Wanted,
    out: &'a Out,
    pub(super) printer: Printer,
    changes: Receiver<Uid>,
    /// What the caller was told last.
    told: String,
    /// How far it has come, in bytes of the log; none until its beginning is chosen.
    pub(super) at: Option<u64>,
    /// The first bytes of the log.
    pub(super) head: Vec<u8>,
    /// Which start of the job has written them.
    pub(super) start: Option<u32>,
    /// Whose poll it has waited for.
    awaited: Option<JobKey>,
    /// Until when it does not ask the job, which has failed to answer.
    mistrusted: Option<Instant>,
    /// Once the container has ended while its job goes on: when all of its log is in its file.
    settles: Option<Instant>,
}

/// How reading at the worker went.
#[derive(PartialEq, Eq)]
pub(super) enum Passage {
    /// Everything that was to be had has been read.
    Whole,
    /// The tool has failed.
    Failed(String),
    /// The log is elsewhere by now, or there is another way to it.
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

    /// Through the job's poll, if it has one; else by a tool.
    async fn at_worker(&mut self, key: &JobKey, id: JobId) -> Result<Passage, Stop> {
        let inner = self.inner.clone();
        let _interest = inner.polls.interest(key);
        if self.may_ask() {
            let awaited = self.awaited.replace(key.clone()).is_some_and(|awaited| awaited == *key);
            if self.is_asking(key) || (!awaited && self.inner.is_asking(key).await) {
                return self.by_poll(key).await;
            }
        }
        // A tool that is at work reads on; no schedd tells a new one the way.
        let leaving = self.inner.board().job(key).filter(|job| job.is_leaving()).and_then(Job::end).cloned();
        match leaving {
            Some(_) if self.wanted.options.follow => Ok(Passage::Whole),
            Some(end) => Err(LogError::NoFiles { index: self.wanted.index, why: end.message }.into()),
            None => self.by_tool(key, id).await,
        }
    }

    fn may_ask(&self) -> bool {
        self.inner.options.route.is_some() && self.mistrusted.is_none_or(|until| until <= Instant::now())
    }

    /// Whether the job can be asked just now.
    pub(super) fn is_asking(&self, key: &JobKey) -> bool {
        self.may_ask() && self.inner.polls.is_present(key)
    }

    /// The job has failed to answer: for a while the log is had in another way.
    pub(super) fn mistrust(&mut self, why: &str) {
        let Wanted { uid, index, .. } = &self.wanted;
        tracing::debug!(%uid, index, why, "a log is not read through the poll");
        self.mistrusted = Some(Instant::now() + POLL_MISTRUST);
    }

    /// Which start of the job is the newest that we know of.
    pub(super) fn newest_start(&self, key: &JobKey) -> Option<u32> {
        self.inner.board().job(key).map(|job| job.starts)
    }

    /// Once the container has ended while its job goes on: when all of its log is in its file. Whoever
    /// follows has it whole when it has been read from then on.
    pub(super) fn settles(&mut self, key: &JobKey) -> Option<Instant> {
        let container = &self.wanted.container;
        let ended = self.inner.board().job(key).is_some_and(|job| has_ended(job, container));
        let since = self.settles.unwrap_or_else(|| Instant::now() + LOG_SETTLES);
        self.settles = (ended && self.wanted.options.follow).then_some(since);
        self.settles
    }

    /// Whether the log is with this job.
    pub(super) fn is_with(&self, key: &JobKey) -> Result<bool, LogError> {
        Ok(matches!(self.place()?, Place::Worker(now, _) if now == *key))
    }

    fn place(&self) -> Result<Place, LogError> {
        let Wanted { uid, index, container, options: _ } = &self.wanted;
        place(&self.inner.board(), uid, *index, container, |key| self.inner.folder(key))
    }

    /// Waits until something of the workload has changed, or for a while.
    pub(super) async fn change(&mut self) {
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

    async fn end(self) -> Result<(), Stop> {
        let Wanted { index, container, options, .. } = self.wanted;
        match self.head.is_empty() && options.previous {
            true => Err(LogError::NoPrevious { index, container }.into()),
            false => Ok(()),
        }
    }

    /// Another log begins, which is not the next file of this one.
    pub(super) async fn begin_anew(&mut self) -> Result<(), Stop> {
        self.tell(format!("index {} has started again; its log begins anew", self.wanted.index)).await?;
        let mut line = Vec::new();
        self.printer.begin_anew(&mut line);
        self.send(line).await?;
        (self.at, self.head) = (Some(0), Vec::new());
        Ok(())
    }

    /// Prints the next bytes of the log.
    pub(super) async fn print(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let mut printed = Vec::new();
        self.printer.take(bytes, &mut printed);
        self.send(printed).await?;
        self.at = Some(self.at.unwrap_or(0) + bytes.len() as u64);
        Ok(())
    }

    pub(super) async fn send(&mut self, printed: Vec<u8>) -> Result<(), Stop> {
        if !printed.is_empty() {
            self.told.clear();
            self.out.send(Ok(Piece::Log(printed))).await.map_err(|_| Stop::Unheard)?;
        }
        if self.printer.is_full() { Err(Stop::Full) } else { Ok(()) }
    }

    /// Tells the caller that nothing more comes, unless the job starts again.
    pub(super) async fn close(&mut self) -> Result<(), Stop> {
        let mut rest = Vec::new();
        self.printer.end(&mut rest);
        self.send(rest).await?;
        self.out.send(Ok(Piece::Closed)).await.map_err(|_| Stop::Unheard)
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
