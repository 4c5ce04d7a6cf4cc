//! Asks the operator what it wants of the job, and answers: two threads that nothing waits for. One
//! holds the poll; the other is started with the first ask and answers all of them, one after another.

mod line;
mod logs;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use htc_core::poll::{Answer, Ask, Asks, Poll, Reply, Want};
use htc_core::workload::names::JobKey;
use htc_core::workload::spec::Events;

use crate::reporter::jitter;
use crate::words::say;
use line::{Error, Line};
use logs::Found;
pub use logs::Logs;

/// Many jobs are over within this time, and nobody asks them for anything.
const FIRST_POLL: Duration = Duration::from_millis(250);
/// Between two tries; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Thousands of jobs may wait for one operator that is down.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Between two looks for what cannot be answered yet, such as the next line of a log.
const LOOK: Duration = Duration::from_millis(50);

/// Polls until it is dropped.
pub struct Poller {
    table: Arc<Table>,
}

/// What the two threads share.
#[derive(Default)]
struct Table {
    asks: Mutex<Known>,
    bell: Condvar,
}

#[derive(Default)]
struct Known {
    /// To be answered.
    open: Vec<Ask>,
    /// Answered, though the last list still had them.
    answered: Vec<u64>,
    /// The job ends.
    closed: bool,
}

impl Poller {
    /// Starts to poll for this start of a job, where there is a way to the operator.
    pub fn start(events: &Events, key: &JobKey, start: u32, logs: Logs) -> Option<Poller> {
        // What is wrong with the route the reporter tells.
        let line = Arc::new(Line::new(events.route.as_ref()?, events, key).ok()?);
        let table = Arc::new(Table::default());
        let ours = table.clone();
        let work = move || ours.poll(&line, start, logs);
        match spawn("poll", work) {
            true => Some(Poller { table }),
            false => None,
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.table.lock().closed = true;
        self.table.bell.notify_all();
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, known: MutexGuard<'a, Known>, limit: Duration) -> MutexGuard<'a, Known> {
        self.bell.wait_timeout(known, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    /// A pause; false when the job ends.
    fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut known = self.lock();
        while !known.closed && Instant::now() < until {
            known = self.wait(known, until.saturating_duration_since(Instant::now()));
        }
        !known.closed
    }

    /// The first thread.
    fn poll(self: &Arc<Self>, line: &Arc<Line>, start: u32, logs: Logs) {
        let (mut logs, mut pause, mut seq, mut failed) = (Some(logs), FIRST_PAUSE, 0, false);
        let mut goes_on = self.rest(FIRST_POLL);
        while goes_on {
            seq = (seq + 1).max(microseconds());
            let poll = Poll { key: line.key().clone(), start, seq, open: self.lock().ids() };
            match line.poll(&poll) {
                Ok(asks) => {
                    (pause, failed) = (FIRST_PAUSE, false);
                    let is_asked = self.take(asks);
                    if is_asked && let Some(logs) = logs.take() {
                        let (table, line) = (self.clone(), line.clone());
                        spawn("answers", move || table.answer(&line, &logs));
                    }
                    goes_on = !self.lock().closed;
                }
                Err(Error::Never(code)) => {
                    say(format_args!("nobody can ask for logs: {} answered {code}", line.url()));
                    return;
                }
                Err(Error::Later { why, after }) => {
                    // At its end it need not be asked.
                    if !failed && !self.lock().closed {
                        say(format_args!("cannot be asked for logs for now: {}: {why}", line.url()));
                    }
                    failed = true;
                    goes_on = self.rest(jitter(after.unwrap_or(pause)));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The list of what is wanted now; says whether there is anything.
    fn take(&self, asks: Asks) -> bool {
        let mut known = self.lock();
        known.answered.retain(|id| asks.asks.iter().any(|ask| ask.id == *id));
        known.open = asks.asks.into_iter().filter(|ask| !known.answered.contains(&ask.id)).collect();
        self.bell.notify_all();
        !known.open.is_empty()
    }

    /// The second thread.
    fn answer(&self, line: &Line, logs: &Logs) {
        let mut pause = FIRST_PAUSE;
        while let Some(asks) = self.open() {
            let mut is_idle = true;
            for Ask { id, want } in asks {
                let Some((answer, bytes)) = answer(&want, logs) else { continue };
                is_idle = false;
                let reply = Reply { key: line.key().clone(), id, answer };
                match line.answer(&reply.write(&bytes)) {
                    // That it is refused means that nobody wants it any more.
                    Ok(()) | Err(Error::Never(_)) => {
                        pause = FIRST_PAUSE;
                        self.done(id);
                    }
                    Err(Error::Later { .. }) => {
                        self.rest(jitter(pause));
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            if is_idle {
                let known = self.lock();
                if !known.closed {
                    drop(self.wait(known, LOOK));
                }
            }
        }
    }

    /// What is to be answered, once there is something; nothing when the job ends.
    fn open(&self) -> Option<Vec<Ask>> {
        let mut known = self.lock();
        while known.open.is_empty() && !known.closed {
            known = self.bell.wait(known).unwrap_or_else(PoisonError::into_inner);
        }
        (!known.closed).then(|| known.open.clone())
    }

    fn done(&self, id: u64) {
        let mut known = self.lock();
        known.open.retain(|ask| ask.id != id);
        known.answered.push(id);
    }
}

impl Known {
    fn ids(&self) -> Vec<u64> {
        self.open.iter().map(|ask| ask.id).chain(self.answered.iter().copied()).collect()
    }
}

/// The answer, if there is one yet.
fn answer(want: &Want, logs: &Logs) -> Option<(Answer, Vec<u8>)> {
    match want {
        Want::Log(want) => match logs.read(want) {
            Found::Part(part, bytes) => Some((Answer::Log(part), bytes)),
            Found::NotYet => None,
            Found::Failed(why) => Some((Answer::Failed(why), Vec::new())),
        },
        Want::Other(_) => Some((Answer::Unsupported, Vec::new())),
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    started.inspect_err(|error| say(format_args!("nobody can ask for logs: {error}"))).is_ok()
}

/// By the clock, so that the number grows even where the job's program is started twice.
fn microseconds() -> u64 {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(clock.as_micros()).unwrap_or_default()
}
