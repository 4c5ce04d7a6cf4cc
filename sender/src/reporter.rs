//! Sends reports from a thread of its own, so that no container ever waits for the network.
//!
//! Only the newest report counts: one that could not be sent yet is replaced by the next. Where there
//! is no way by HTTP, or it leads nowhere just now, HTCondor carries the newest one.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use htc_core::workload::report::Report;
use htc_core::workload::spec::Events;

use crate::chirp::{self, Chirp};
use crate::http::{Error, Receiver};
use crate::words::say;

/// Between two tries; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Thousands of jobs may wait for one receiver that is down.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the last report may take where none got through before.
const NO_ROUTE: Duration = Duration::from_secs(2);

/// The side that has something to report.
pub struct Reporter {
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    tray: Mutex<Tray>,
    bell: Condvar,
}

#[derive(Default)]
struct Tray {
    /// The newest report that is not delivered.
    report: Option<Report>,
    /// Being sent just now.
    busy: bool,
    /// The receiver wants none.
    closed: bool,
    /// A report has been taken: there is a route.
    delivered: bool,
    /// No later report will come: pauses are short.
    last: bool,
}

/// The ways that a report can take.
enum Ways {
    /// By HTTP; HTCondor carries what does not get through.
    Http(Receiver, Option<Chirp>),
    /// Only HTCondor carries it.
    Chirp(Chirp),
}

impl Reporter {
    /// Starts the thread; without one there are no reports, and the files must do.
    pub fn start(events: &Events, chirp: Option<Chirp>) -> Option<Reporter> {
        let ways = ways(events, chirp)?;
        let desk = Arc::new(Desk::default());
        let clerk = desk.clone();
        let work = move || match ways {
            Ways::Http(receiver, chirp) => clerk.post(&receiver, chirp),
            Ways::Chirp(chirp) => clerk.hand_over(chirp),
        };
        match std::thread::Builder::new().name("reporter".to_owned()).spawn(work) {
            Ok(_) => Some(Reporter { desk }),
            Err(error) => {
                say(format_args!("no reports are sent: {error}"));
                None
            }
        }
    }

    /// Takes a report; never blocks.
    pub fn publish(&self, report: Report) {
        let mut tray = self.desk.lock();
        if !tray.closed {
            tray.report = Some(report);
            self.desk.bell.notify_all();
        }
    }

    /// Waits until the last report is delivered; false when it was not.
    pub fn finish(&self, limit: Duration) -> bool {
        let mut tray = self.desk.lock();
        // Where no report ever got through, this one will not either, and the slot is wanted.
        let deadline = Instant::now() + if tray.delivered { limit } else { limit.min(NO_ROUTE) };
        tray.last = true;
        self.desk.bell.notify_all();
        while tray.busy || tray.report.is_some() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            tray = self.desk.wait(tray, left);
        }
        !tray.closed
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, tray: MutexGuard<'a, Tray>, limit: Duration) -> MutexGuard<'a, Tray> {
        self.bell.wait_timeout(tray, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    /// The thread: posts what is in the tray until the receiver wants no more.
    fn post(&self, receiver: &Receiver, mut chirp: Option<Chirp>) {
        let mut pause = FIRST_PAUSE;
        let mut failed = false;
        loop {
            let report = self.next();
            // The end may come before another failure has shown.
            if failed {
                chirp.iter_mut().for_each(|chirp| chirp.tell(&report));
            }
            match receiver.post(&report) {
                Ok(()) => {
                    (pause, failed) = (FIRST_PAUSE, false);
                    self.done(None, false);
                }
                Err(Error::Later(why)) => {
                    if !failed {
                        say(format_args!("report to {} failed, trying again: {why}", receiver.url()));
                    }
                    failed = true;
                    chirp.iter_mut().for_each(|chirp| chirp.tell(&report));
                    self.done(Some(report), false);
                    self.rest(jitter(pause), FIRST_PAUSE);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(why) => {
                    say(format_args!("no more reports to {}: {why}", receiver.url()));
                    self.done(None, true);
                    return;
                }
            }
        }
    }

    /// The same where only HTCondor carries reports: not more often than it passes them on.
    fn hand_over(&self, mut chirp: Chirp) {
        loop {
            chirp.tell(&self.next());
            self.done(None, false);
            self.rest(chirp::GAP, Duration::ZERO);
        }
    }

    fn next(&self) -> Report {
        let mut tray = self.lock();
        loop {
            if let Some(report) = tray.report.take() {
                tray.busy = true;
                return report;
            }
            tray = self.bell.wait(tray).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts back what was not delivered, unless something newer has come.
    fn done(&self, undelivered: Option<Report>, closed: bool) {
        let mut tray = self.lock();
        tray.busy = false;
        tray.closed = closed;
        tray.delivered |= undelivered.is_none() && !closed;
        tray.report = if closed { None } else { tray.report.take().or(undelivered) };
        self.bell.notify_all();
    }

    /// A pause that the end of the job cuts short.
    fn rest(&self, pause: Duration, at_the_end: Duration) {
        let start = Instant::now();
        let mut tray = self.lock();
        loop {
            let pause = if tray.last { pause.min(at_the_end) } else { pause };
            let left = pause.saturating_sub(start.elapsed());
            if left.is_zero() {
                return;
            }
            tray = self.wait(tray, left);
        }
    }
}

fn ways(events: &Events, chirp: Option<Chirp>) -> Option<Ways> {
    match events.route.as_ref().map(|route| Receiver::new(route, events)) {
        Some(Ok(receiver)) => Some(Ways::Http(receiver, chirp)),
        Some(Err(error)) => {
            say(format_args!("no reports are sent by HTTP: {error}"));
            chirp.map(Ways::Chirp)
        }
        None => chirp.map(Ways::Chirp),
    }
}

/// Half to all of the pause, so that jobs that failed together do not come back together.
pub(crate) fn jitter(pause: Duration) -> Duration {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let share = 0.5 + f64::from((clock.subsec_nanos() ^ std::process::id()) % 1000) / 2000.0;
    pause.mul_f64(share)
}
