//! Who follows which log. A virtual kubelet notices only when it writes that its reader has left, so those
//! who follow a silent log pile up: of those who are too many, the one to whom nothing was written for
//! longest makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use htc_core::workload::names::Uid;
use tokio_util::sync::CancellationToken;

use crate::limits::FOLLOWERS;
use crate::metrics::Metrics;

/// Who follows which log; clones share it.
#[derive(Clone)]
pub struct Followers(Arc<Shared>);

struct Shared {
    most: usize,
    metrics: Arc<Metrics>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    places: HashMap<u64, Place>,
    /// Grows with each sign of life; orders them.
    clock: u64,
}

struct Place {
    log: (Uid, String),
    /// The last sign of life: the caller has come, or has taken something.
    alive: u64,
    stop: CancellationToken,
}

/// A place among those who follow a log; dropping it leaves.
pub struct Follower {
    followers: Followers,
    number: u64,
    stop: CancellationToken,
}

impl Followers {
    /// Room for so many followers of all logs, and [`FOLLOWERS`] of each.
    pub fn new(most: usize, metrics: Arc<Metrics>) -> Followers {
        Followers(Arc::new(Shared { most, metrics, inner: Mutex::default() }))
    }

    /// Takes a place among those who follow the log of a container.
    pub fn join(&self, uid: &Uid, container: &str) -> Follower {
        let (log, stop) = ((uid.clone(), container.to_owned()), CancellationToken::new());
        let mut inner = self.inner();
        if inner.places.values().filter(|place| place.log == log).count() >= FOLLOWERS {
            inner.show_out(|place| place.log == log);
        } else if inner.places.len() >= self.0.most {
            inner.show_out(|_| true);
        }
        let number = inner.tick();
        inner.places.insert(number, Place { log, alive: number, stop: stop.clone() });
        drop(inner);
        self.0.metrics.interlink_followers.inc();
        Follower { followers: self.clone(), number, stop }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().expect("no thread panics while it holds the followers")
    }
}

impl Inner {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Tells the one of these who has been silent longest to leave.
    fn show_out(&mut self, of: impl Fn(&Place) -> bool) {
        let these = self.places.iter().filter(|(_, place)| of(place));
        let longest = these.min_by_key(|(_, place)| place.alive).map(|(number, _)| *number);
        if let Some(place) = longest.and_then(|number| self.places.remove(&number)) {
            let (uid, container) = &place.log;
            tracing::info!(%uid, container, "one who followed this log makes room for another");
            place.stop.cancel();
        }
    }
}

impl Follower {
    /// The caller has taken something: he is there.
    pub fn is_alive(&self) {
        let mut inner = self.followers.inner();
        let now = inner.tick();
        if let Some(place) = inner.places.get_mut(&self.number) {
            place.alive = now;
        }
    }

    /// Waits until another needs the place.
    pub async fn must_leave(&self) {
        self.stop.cancelled().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.followers.inner().places.remove(&self.number);
        self.followers.0.metrics.interlink_followers.dec();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn followers(most: usize) -> Followers {
        Followers::new(most, Arc::default())
    }

    fn leaves(follower: &Follower) -> bool {
        follower.must_leave().now_or_never().is_some()
    }

    #[test]
    fn who_has_been_silent_longest_makes_room_for_the_next() {
        let followers = followers(1_000);
        let uid: Uid = "a".parse().unwrap();
        let mut all: Vec<Follower> = (0..FOLLOWERS).map(|_| followers.join(&uid, "main")).collect();
        let other = followers.join(&uid, "other");
        // The first was written to since the others have come.
        all[0].is_alive();
        assert!(!all.iter().any(leaves));
        for silent in 1..=3 {
            all.push(followers.join(&uid, "main"));
            let left: Vec<usize> = (0..all.len()).filter(|n| leaves(&all[*n])).collect();
            assert_eq!(left, (1..=silent).collect::<Vec<_>>());
        }
        assert!(!leaves(&other));
        drop((all, other));
        assert!(followers.inner().places.is_empty());
        assert_eq!(followers.0.metrics.interlink_followers.get(), 0);
    }

    #[test]
    fn all_logs_together_have_no_more_followers_than_there_is_room_for() {
        let followers = followers(3);
        let uid: Uid = "a".parse().unwrap();
        let all = ["a", "b", "c"].map(|container| followers.join(&uid, container));
        all[0].is_alive();
        let next = followers.join(&uid, "d");
        assert_eq!(all.each_ref().map(leaves), [false, true, false]);
        assert!(!leaves(&next));
    }
}
