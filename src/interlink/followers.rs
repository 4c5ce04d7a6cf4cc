//! Who follows which log. A virtual kubelet notices only when it writes that its reader has left, so those
//! who follow a silent log pile up; the longest there makes room for the next.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use htc_core::workload::names::Uid;
use tokio_util::sync::CancellationToken;

use crate::limits::FOLLOWERS;

type Logs = HashMap<(Uid, String), VecDeque<(u64, CancellationToken)>>;

/// Who follows which log; clones share it.
#[derive(Clone, Default)]
pub struct Followers(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    logs: Logs,
    last: u64,
}

/// A place among those who follow a log; dropping it leaves.
pub struct Follower {
    followers: Followers,
    log: (Uid, String),
    number: u64,
    stop: CancellationToken,
}

impl Followers {
    /// Takes a place among those who follow the log of a container.
    pub fn join(&self, uid: &Uid, container: &str) -> Follower {
        let (log, stop) = ((uid.clone(), container.to_owned()), CancellationToken::new());
        let mut inner = self.inner();
        inner.last += 1;
        let number = inner.last;
        let all = inner.logs.entry(log.clone()).or_default();
        all.push_back((number, stop.clone()));
        if all.len() > FOLLOWERS
            && let Some((_, longest)) = all.pop_front()
        {
            longest.cancel();
        }
        drop(inner);
        Follower { followers: self.clone(), log, number, stop }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no thread panics while it holds the followers")
    }
}

impl Follower {
    /// Waits until another needs the place.
    pub async fn must_leave(&self) {
        self.stop.cancelled().await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut inner = self.followers.inner();
        if let Some(all) = inner.logs.get_mut(&self.log) {
            all.retain(|(number, _)| *number != self.number);
            if all.is_empty() {
                inner.logs.remove(&self.log);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn the_longest_there_makes_room_for_the_next() {
        let followers = Followers::default();
        let uid: Uid = "a".parse().unwrap();
        let mut all: Vec<Follower> = (0..FOLLOWERS).map(|_| followers.join(&uid, "main")).collect();
        let other = followers.join(&uid, "other");
        assert!(all[0].must_leave().now_or_never().is_none());
        all.push(followers.join(&uid, "main"));
        assert!(all[0].must_leave().now_or_never().is_some());
        assert!(all[1].must_leave().now_or_never().is_none());
        assert!(other.must_leave().now_or_never().is_none());
        drop((all, other));
        assert!(followers.inner().logs.is_empty());
    }
}
