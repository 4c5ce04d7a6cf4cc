//! What the pool has, for doors that tell it: looked at only while somebody asks, and kept. A look that
//! fails changes nothing but the age, and what was once there stays named.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::board::Trouble;
use super::{Engine, Inner};
use crate::condor::status::{self, Totals};
use crate::limits::CAPACITY_LOOK;

/// What the pool has in all, taken or free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Cores.
    pub cpus: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes of scratch.
    pub disk: u64,
    /// GPUs by the name of the device, which is empty where the pool does not say. One that was there once
    /// stays, with 0.
    pub gpus: BTreeMap<String, u64>,
    /// Slots that are no parts of others.
    pub slots: u64,
    /// Jobs that we have in the queue at most.
    pub jobs: u64,
    /// When the pool said so.
    pub at: Timestamp,
    /// Why nothing newer is known, if later looks failed.
    pub trouble: Option<Trouble>,
}

/// The last look and what is known.
#[derive(Default)]
pub struct Looks {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Default)]
struct State {
    known: Option<Capacity>,
    /// When a look last began.
    began: Option<Instant>,
    /// Whether the last look failed: this is told once.
    failed: bool,
}

impl Looks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the capacity")
    }
}

impl Engine {
    /// What the pool has, by the last look that succeeded; none before. At once: who asks only sees to it
    /// that a new look begins when the last one is old.
    pub fn capacity(&self) -> Option<Capacity> {
        let looks = &self.0.capacity;
        let state = looks.state();
        if state.began.is_none_or(|began| began.elapsed() >= CAPACITY_LOOK) {
            looks.bell.notify_one();
        }
        state.known.clone()
    }
}

/// Works until it is dropped.
pub async fn work(inner: Arc<Inner>) {
    loop {
        inner.capacity.bell.notified().await;
        // Several may have rung before the look that was under way began.
        let now = Instant::now();
        let old = |began: Option<Instant>| began.is_none_or(|began| now - began >= CAPACITY_LOOK);
        if !old(inner.capacity.state().began) {
            continue;
        }
        inner.capacity.state().began = Some(now);
        let answer = status::totals(&inner.pool).await;
        let label = answer.as_ref().err().map_or("ok", |why| why.kind());
        inner.metrics.capacity_looks.get_or_create(&label.into()).inc();
        let answer = match answer {
            // A collector that has just started knows none yet.
            Ok(totals) if totals.slots == 0 => Err("the collector knows no slots".to_owned()),
            Ok(totals) => Ok(totals),
            Err(why) => Err(why.to_string()),
        };
        inner.capacity.state().take(answer, inner.options.max_jobs_in_queue, Timestamp::now());
    }
}

impl State {
    fn take(&mut self, answer: Result<Totals, String>, jobs: usize, now: Timestamp) {
        match answer {
            Ok(Totals { slots, cpus, memory, disk, mut gpus }) => {
                for device in self.known.iter().flat_map(|known| known.gpus.keys()) {
                    gpus.entry(device.clone()).or_insert(0);
                }
                let jobs = u64::try_from(jobs).unwrap_or(u64::MAX);
                self.known = Some(Capacity { cpus, memory, disk, gpus, slots, jobs, at: now, trouble: None });
                self.failed = false;
            }
            Err(why) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(why, "failed to ask what the pool has; what was known is told on");
                }
                if let Some(known) = &mut self.known {
                    known.trouble.get_or_insert(Trouble { since: now, why });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(cpus: u64, gpus: &[(&str, u64)]) -> Totals {
        let gpus = gpus.iter().map(|(device, count)| ((*device).to_owned(), *count)).collect();
        Totals { slots: 1, cpus, memory: 2, disk: 3, gpus }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_look_that_fails_changes_no_number_and_what_was_there_once_stays_named() {
        let mut state = State::default();
        state.take(Err("away".to_owned()), 5, at(1));
        assert_eq!(state.known, None);
        state.take(Ok(totals(8, &[("A100", 2), ("", 1)])), 5, at(2));
        let first = state.known.clone().unwrap();
        assert_eq!((first.cpus, first.jobs, first.trouble.clone()), (8, 5, None));

        for (second, why) in [(3, "away"), (4, "still away")] {
            state.take(Err(why.to_owned()), 5, at(second));
        }
        let trouble = Some(Trouble { since: at(3), why: "away".to_owned() });
        assert_eq!(state.known, Some(Capacity { trouble, ..first }));

        state.take(Ok(totals(4, &[("A100", 1)])), 5, at(5));
        let later = state.known.unwrap();
        assert_eq!((later.cpus, later.at, later.trouble), (4, at(5), None));
        assert_eq!(later.gpus, [(String::new(), 0), ("A100".to_owned(), 1)].into());
    }
}
