//! How many pods of which nothing ever runs a caller may leave here: each is kept for a day or a month, and costs
//! its caller nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::http::callers::Caller;
use crate::limits::{IDLE_PODS_MAX, IDLE_PODS_WINDOW};

/// Why nothing runs of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It was deleted before anybody brought it.
    Unbrought,
    /// It was refused.
    Refused,
}

/// What callers have left here lately.
#[derive(Default)]
pub struct Allowance(Mutex<HashMap<(Kind, Option<String>), Left>>);

struct Left {
    since: Instant,
    pods: usize,
}

impl Allowance {
    /// Whether this caller may leave one more.
    pub fn take(&self, kind: Kind, caller: &Caller) -> bool {
        self.take_at(kind, caller.owner(), Instant::now())
    }

    fn take_at(&self, kind: Kind, owner: Option<String>, now: Instant) -> bool {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        callers.retain(|_, left| now.duration_since(left.since) < IDLE_PODS_WINDOW);
        let left = callers.entry((kind, owner)).or_insert(Left { since: now, pods: 0 });
        left.pods += 1;
        left.pods <= IDLE_PODS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_may_leave_so_many_a_day_of_each_kind() {
        let (allowance, now) = (Allowance::default(), Instant::now());
        let take = |kind, caller: &str, at| allowance.take_at(kind, Some(caller.to_owned()), at);
        assert!((0..IDLE_PODS_MAX).all(|_| take(Kind::Unbrought, "a", now)));
        assert!(!take(Kind::Unbrought, "a", now));
        assert!(take(Kind::Unbrought, "b", now) && take(Kind::Refused, "a", now));
        assert!(take(Kind::Unbrought, "a", now + IDLE_PODS_WINDOW), "the next day");
    }
}
