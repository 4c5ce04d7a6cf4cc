//! Outputs that did not come home at once: why, and what is tried next. Nothing here gives them up because it
//! was tried often. Pure functions of values.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::names::JobKey;

use super::board::{Job, Obstacle};
use super::look::tracker::backoff;
use crate::limits::{
    IDLE_LOOK, LATE_TOLD, SLOW_TRANSFERS, TRANSFER_BATCH, TRANSFER_DEADLINE, TRANSFER_DEADLINE_MAX,
    TRANSFER_PACE,
};

/// Why a call brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was killed at its deadline.
    Slow,
    /// Our own disk has no room.
    DiskFull,
    /// The pool does not answer, or the tool cannot be run.
    Away,
    /// HTCondor answered, and gave no files.
    Refused,
}

/// What is known of outputs that do not come.
#[derive(Clone, Debug)]
pub struct Late {
    tries: u32,
    cause: Cause,
    /// What was said first for this cause: other words at each try would have every status written anew.
    why: Arc<str>,
    /// Since when HTCondor has answered each time, and given nothing.
    refused_since: Option<Instant>,
    /// With so many others at most it is tried next: one that cannot be had fails a whole call.
    together: usize,
    /// How often it was alone in a call that was too slow.
    slow: u32,
    /// When it is tried next.
    next: Instant,
}

impl Late {
    /// After a call for so many jobs that brought nothing of this one.
    pub fn after(before: Option<&Late>, cause: Cause, why: &str, jobs: usize, now: Instant) -> Late {
        let tries = before.map_or(0, |late| late.tries) + 1;
        let same = before.filter(|late| late.cause == cause);
        let refused_since = same.and_then(|late| late.refused_since).unwrap_or(now);
        Late {
            tries,
            cause,
            why: same.map_or_else(|| why.into(), |late| late.why.clone()),
            refused_since: (cause == Cause::Refused).then_some(refused_since),
            // Of those in a slow call nobody knows which is large: the others must not wait for it again.
            together: if cause == Cause::Slow { 1 } else { (jobs / 2).max(1) },
            slow: before.map_or(0, |late| late.slow) + u32::from(cause == Cause::Slow && jobs == 1),
            next: now + backoff(tries),
        }
    }

    /// How often it was tried.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Whether HTCondor has given nothing for so long that the outputs are given up.
    pub fn is_given_up(&self, after: Option<Duration>, now: Instant) -> bool {
        let since = self.refused_since.map(|since| now.saturating_duration_since(since));
        after.zip(since).is_some_and(|(after, since)| since >= after)
    }

    /// Why it waits, once that is worth telling.
    pub fn told(&self) -> Option<Obstacle> {
        let reason = match self.cause {
            Cause::Slow => "TransferTooSlow",
            Cause::DiskFull => "DataFolderFull",
            Cause::Away => "PoolUnavailable",
            Cause::Refused => "TransferFailed",
        };
        (self.tries >= LATE_TOLD).then(|| Obstacle { reason, why: self.why.to_string() })
    }
}

/// A job whose files are fetched.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its key.
    pub key: JobKey,
    /// Where its files come home to.
    pub folder: PathBuf,
    /// Whether its sender signs its result.
    pub is_signed: bool,
}

impl Wanted {
    fn of(job: &Job) -> Wanted {
        Wanted { key: job.key.clone(), folder: job.folder.clone().into(), is_signed: job.signs_result }
    }
}

/// What one call is to bring home.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The jobs.
    pub jobs: Vec<Wanted>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// None of them has failed.
    Fresh,
    /// All have.
    Late,
    /// It is one, and was too slow so often.
    Slow(u32),
}

impl Batch {
    /// How long the call may take. What was too slow gets time for all that a job may bring home, and twice as
    /// much each time.
    pub fn deadline(&self, output_max: Option<u64>) -> Duration {
        let Kind::Slow(times) = self.kind else { return TRANSFER_DEADLINE };
        let by_size =
            output_max.map_or(TRANSFER_DEADLINE, |bytes| Duration::from_secs(bytes / TRANSFER_PACE));
        let doubled = (TRANSFER_DEADLINE + by_size).saturating_mul(1 << times.saturating_sub(1).min(16));
        doubled.min(TRANSFER_DEADLINE_MAX)
    }
}

/// The calls that are under way, and how they went lately.
#[derive(Default)]
pub struct Calls {
    busy: HashSet<JobKey>,
    late: usize,
    slow: usize,
    /// So many calls in a row have brought nothing.
    failures: u32,
    /// For so long nothing that is late is tried.
    rests_until: Option<Instant>,
}

/// What to do now.
#[derive(Clone, Debug)]
pub enum Next {
    /// To fetch these.
    Fetch(Batch),
    /// To wait for so long, unless something happens.
    Wait(Duration),
}

impl Calls {
    /// A call has begun.
    pub fn begin(&mut self, batch: &Batch) {
        self.busy.extend(batch.jobs.iter().map(|job| job.key.clone()));
        self.count(batch.kind).into_iter().for_each(|count| *count += 1);
    }

    /// A call has ended; `well` when it brought something home. As long as none does, one is tried at a time.
    pub fn end(&mut self, batch: &Batch, well: bool, now: Instant) {
        for job in &batch.jobs {
            self.busy.remove(&job.key);
        }
        self.count(batch.kind).into_iter().for_each(|count| *count -= 1);
        match (well, batch.kind) {
            (true, _) => (self.failures, self.rests_until) = (0, None),
            (false, Kind::Slow(_)) => {}
            (false, _) => {
                self.failures += 1;
                self.rests_until = Some(now + backoff(self.failures));
            }
        }
    }

    fn count(&mut self, kind: Kind) -> Option<&mut usize> {
        match kind {
            Kind::Fresh => None,
            Kind::Late => Some(&mut self.late),
            Kind::Slow(_) => Some(&mut self.slow),
        }
    }

    /// What comes next of jobs that want their files, each with its namespace: first those that have not failed,
    /// then who has waited for longest. What is slow never takes all the places, and what fails shares its calls
    /// with nothing of another namespace.
    pub fn next<'a>(&self, jobs: impl Iterator<Item = (&'a str, &'a Job)>, now: Instant) -> Next {
        let (mut fresh, mut late): (Vec<&Job>, Vec<(&str, &Job, &Late)>) = Default::default();
        for (namespace, job) in jobs.filter(|(_, job)| !self.busy.contains(&job.key)) {
            match &job.late {
                None => fresh.push(job),
                Some(known) if known.slow == 0 || self.slow < SLOW_TRANSFERS => {
                    late.push((namespace, job, known));
                }
                Some(_) => {}
            }
            if fresh.len() == TRANSFER_BATCH {
                break;
            }
        }
        if !fresh.is_empty() {
            return Next::Fetch(Batch {
                jobs: fresh.into_iter().map(Wanted::of).collect(),
                kind: Kind::Fresh,
            });
        }
        let may_start = |late: &Late| match late.slow {
            0 => late.next.max(self.rests_until.unwrap_or(now)),
            _ => late.next,
        };
        // While nothing comes home, one call shows as well as many whether that has changed.
        late.retain(|(.., late)| late.slow > 0 || self.failures == 0 || self.late == 0);
        // Whose turn it is is asked of those that may start together too, or the first of them would always go.
        late.sort_by_key(|(.., late)| (may_start(late), late.next));
        let Some((its, first, known)) = late.first() else { return Next::Wait(IDLE_LOOK) };
        let wait = may_start(known).saturating_duration_since(now);
        if !wait.is_zero() {
            return Next::Wait(wait);
        }
        if known.slow > 0 {
            return Next::Fetch(Batch { jobs: vec![Wanted::of(first)], kind: Kind::Slow(known.slow) });
        }
        let alike = late.iter().filter(|(namespace, _, late)| {
            namespace == its && late.slow == 0 && late.next <= now && late.together == known.together
        });
        let jobs = alike.take(known.together).map(|(_, job, _)| Wanted::of(job)).collect();
        Next::Fetch(Batch { jobs, kind: Kind::Late })
    }
}

#[cfg(test)]
#[path = "late_tests.rs"]
mod tests;
