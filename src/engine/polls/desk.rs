//! What is known of each job's poll, and the questions that wait for its answers.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use htc_core::poll::{ASKS, Ask, Poll, Want};
use htc_core::workload::names::JobKey;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::Said;
use crate::limits::{POLL_GAP, POLL_RESERVE};
use crate::metrics::Metrics;

/// All polls and questions.
pub struct Polls {
    desks: Mutex<HashMap<JobKey, Desk>>,
    /// For jobs that nobody asks anything, and for all.
    idle: Semaphore,
    wanted: Semaphore,
    /// Rings when a job begins to poll.
    pub arrived: Notify,
    /// No poll is held any more.
    pub closing: CancellationToken,
    /// Ids that nobody guesses.
    ids: RandomState,
    next: AtomicU64,
}

/// One job's.
#[derive(Default)]
struct Desk {
    /// The start and the number of its newest poll.
    order: (u32, u64),
    /// Polls that are held; more than one only while the older ones leave.
    held: usize,
    /// When the last one was let go.
    seen: Option<Instant>,
    /// Those who read its log now, in whatever way.
    readers: usize,
    bell: Arc<Notify>,
    questions: Vec<Weak<Question>>,
}

/// Something that a job is asked.
pub struct Question {
    id: u64,
    want: Want,
    said: watch::Sender<Option<Arc<Said>>>,
}

/// What there is for a poll.
pub enum Look {
    /// A newer one has come.
    Old,
    /// All that is wanted, if the job does not know some of it.
    News(Vec<Ask>),
    /// Nothing new.
    Nothing {
        /// But somebody wants something.
        wanted: bool,
    },
}

/// Somebody who reads the log of a job.
pub struct Interest<'a>(&'a Polls, JobKey);

/// A poll that is being looked after.
pub struct Held<'a> {
    polls: &'a Polls,
    metrics: &'a Metrics,
    key: JobKey,
    refused: bool,
    /// Rings when there may be something for it.
    pub bell: Arc<Notify>,
}

impl Polls {
    /// Holds so many at a time.
    pub fn new(places: usize) -> Polls {
        let kept = places / POLL_RESERVE;
        Polls {
            desks: Mutex::default(),
            idle: Semaphore::new(places - kept),
            wanted: Semaphore::new(kept),
            arrived: Notify::new(),
            closing: CancellationToken::new(),
            ids: RandomState::new(),
            next: AtomicU64::new(0),
        }
    }

    fn desks(&self) -> MutexGuard<'_, HashMap<JobKey, Desk>> {
        // Every change of it is whole.
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a poll in, unless it is not newer than all before it.
    pub fn register<'a>(&'a self, poll: &Poll, metrics: &'a Metrics) -> Option<Held<'a>> {
        let mut desks = self.desks();
        let desk = desks.entry(poll.key.clone()).or_default();
        if poll.order() <= desk.order {
            return None;
        }
        let was_present = desk.is_present();
        desk.order = poll.order();
        desk.held += 1;
        // An older one leaves.
        desk.bell.notify_waiters();
        let bell = desk.bell.clone();
        drop(desks);
        metrics.polls_held.inc();
        if !was_present {
            self.arrived.notify_waiters();
        }
        Some(Held { polls: self, metrics, key: poll.key.clone(), refused: false, bell })
    }

    /// What there is for this poll.
    pub fn look(&self, poll: &Poll) -> Look {
        let desks = self.desks();
        let Some(desk) = desks.get(&poll.key).filter(|desk| desk.order == poll.order()) else {
            return Look::Old;
        };
        let asks = desk.asks();
        match asks.iter().all(|ask| poll.open.contains(&ask.id)) {
            true => Look::Nothing { wanted: desk.readers > 0 },
            false => Look::News(asks),
        }
    }

    /// All that a job is asked now.
    pub fn asks(&self, key: &JobKey) -> Vec<Ask> {
        self.desks().get(key).map(Desk::asks).unwrap_or_default()
    }

    /// A place for a poll, if there is one.
    pub fn place(&self, wanted: bool) -> Option<SemaphorePermit<'_>> {
        let idle = self.idle.try_acquire();
        idle.ok().or_else(|| self.wanted.try_acquire().ok().filter(|_| wanted))
    }

    /// Whether a job can be asked.
    pub fn is_present(&self, key: &JobKey) -> bool {
        self.desks().get(key).is_some_and(Desk::is_present)
    }

    /// Somebody reads the log of a job, as long as this is kept: its polls find a place.
    pub fn interest(&self, key: &JobKey) -> Interest<'_> {
        self.desks().entry(key.clone()).or_default().readers += 1;
        Interest(self, key.clone())
    }

    /// A question to a job.
    pub fn ask(&self, key: &JobKey, want: Want) -> Arc<Question> {
        let mut desks = self.desks();
        let desk = desks.entry(key.clone()).or_default();
        desk.questions.retain(|question| question.strong_count() > 0);
        let same = desk.questions.iter().filter_map(Weak::upgrade).find(|question| question.want == want);
        if let Some(question) = same {
            return question;
        }
        let id = self.ids.hash_one(self.next.fetch_add(1, Ordering::Relaxed));
        let question = Arc::new(Question { id, want, said: watch::Sender::new(None) });
        desk.questions.push(Arc::downgrade(&question));
        desk.bell.notify_waiters();
        question
    }

    /// The question of this id, which is asked no more.
    pub fn take(&self, key: &JobKey, id: u64) -> Option<Arc<Question>> {
        let mut desks = self.desks();
        let desk = desks.get_mut(key)?;
        let question = desk.questions.iter().filter_map(Weak::upgrade).find(|question| question.id == id)?;
        desk.questions.retain(|other| other.as_ptr() != Arc::as_ptr(&question));
        // One that had to wait may be heard now.
        if desk.questions.len() >= ASKS {
            desk.bell.notify_waiters();
        }
        Some(question)
    }

    /// The jobs that have a desk.
    pub fn keys(&self) -> Vec<JobKey> {
        self.desks().keys().cloned().collect()
    }

    /// Clears the desks of these jobs.
    pub fn forget(&self, keys: &[JobKey]) {
        let mut desks = self.desks();
        for key in keys {
            if desks.get(key).is_some_and(|desk| desk.held == 0 && desk.readers == 0) {
                desks.remove(key);
            }
        }
    }
}

impl Desk {
    fn is_present(&self) -> bool {
        self.held > 0 || self.seen.is_some_and(|seen| seen.elapsed() < POLL_GAP)
    }

    fn asks(&self) -> Vec<Ask> {
        let open = self.questions.iter().filter_map(Weak::upgrade);
        // What is answered at once comes first. What waits is asked again now and then, so that all have
        // their turn.
        let (waiting, quick): (Vec<_>, Vec<_>) = open.partition(|question| question.waits());
        let asks = quick.into_iter().chain(waiting).take(ASKS);
        asks.map(|question| Ask { id: question.id, want: question.want.clone() }).collect()
    }
}

impl Question {
    fn waits(&self) -> bool {
        match &self.want {
            Want::Log(want) => want.wait,
            Want::Other(_) => false,
        }
    }

    /// Says the answer.
    pub fn answered(&self, said: Said) {
        self.said.send_replace(Some(Arc::new(said)));
    }

    /// The answer, once it is there.
    pub async fn said(&self) -> Arc<Said> {
        let mut said = self.said.subscribe();
        // The sender is ours, so it never closes.
        match said.wait_for(Option::is_some).await.map(|said| said.clone()) {
            Ok(Some(said)) => said,
            _ => std::future::pending().await,
        }
    }
}

impl Held<'_> {
    /// It is not held: the job will not come again soon.
    pub fn refuse(mut self) {
        self.refused = true;
    }
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        if let Some(desk) = self.0.desks().get_mut(&self.1) {
            desk.readers -= 1;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.metrics.polls_held.dec();
        if let Some(desk) = self.polls.desks().get_mut(&self.key) {
            desk.held -= 1;
            desk.seen = (!self.refused).then(Instant::now);
        }
    }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
