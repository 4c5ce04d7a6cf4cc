//! What callers have asked after: when first and last, and whether anybody asks at all. Kept in memory
//! only, so that a question costs nothing; a new life begins with patience.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use htc_core::workload::names::Uid;

use crate::limits::{HEARD_KEPT, SILENT_CALLERS};

/// What callers have asked after.
pub struct Heard(Mutex<Inner>);

struct Inner {
    pods: HashMap<Uid, Pod>,
    /// Since when somebody has asked for something again and again.
    since: Instant,
    /// When somebody last asked for anything.
    last: Instant,
}

struct Pod {
    first: Instant,
    last: Instant,
    /// How many answers went to a caller that did not know the init containers yet.
    bare: u32,
    /// All its containers were told as ended: callers have no more questions.
    closed: bool,
}

/// What is known of the questions after one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// How long ago the first was.
    pub known_for: Duration,
    /// How many came before from a caller that did not know the init containers yet.
    pub bare: u32,
}

impl Heard {
    /// Nobody has asked yet.
    pub fn new(now: Instant) -> Heard {
        Heard(Mutex::new(Inner { pods: HashMap::new(), since: now, last: now }))
    }

    /// Somebody has asked for something.
    pub fn call(&self, now: Instant) {
        let mut inner = self.inner();
        if now.duration_since(inner.last) > SILENT_CALLERS {
            inner.since = now;
        }
        inner.last = now;
    }

    /// Somebody asks for a pod; `bare` if he does not know its init containers yet.
    pub fn question(&self, uid: &Uid, bare: bool, now: Instant) -> Question {
        let mut inner = self.inner();
        let new = Pod { first: now, last: now, bare: 0, closed: false };
        let pod = match inner.pods.get_mut(uid) {
            Some(pod) => pod,
            None => inner.pods.entry(uid.clone()).or_insert(new),
        };
        let question = Question { known_for: now.duration_since(pod.first), bare: pod.bare };
        pod.last = now;
        pod.bare += u32::from(bare);
        question
    }

    /// All containers of a pod were told as ended.
    pub fn close(&self, uid: &Uid) {
        if let Some(pod) = self.inner().pods.get_mut(uid) {
            pod.closed = true;
        }
    }

    /// Whether all its containers were told as ended, after which nobody asks for it.
    pub fn is_closed(&self, uid: &Uid) -> bool {
        self.inner().pods.get(uid).is_some_and(|pod| pod.closed)
    }

    /// For how long nobody has asked for a pod while others were asked for all the time.
    pub fn silence(&self, uid: &Uid, now: Instant) -> Duration {
        let inner = self.inner();
        if now.duration_since(inner.last) > SILENT_CALLERS {
            return Duration::ZERO;
        }
        let asked = inner.pods.get(uid).map_or(inner.since, |pod| pod.last.max(inner.since));
        now.duration_since(asked)
    }

    /// Forgets the pods that nobody has asked for in a long time.
    pub fn forget(&self, now: Instant, longest: Duration) {
        let kept = longest.max(HEARD_KEPT);
        self.inner().pods.retain(|_, pod| now.duration_since(pod.last) <= kept);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no thread panics while it holds what was heard")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(text: &str) -> Uid {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_question_is_remembered_and_bare_ones_are_counted() {
        let start = Instant::now();
        let heard = Heard::new(start);
        let first = heard.question(&uid("a"), true, start);
        assert_eq!(first, Question { known_for: Duration::ZERO, bare: 0 });
        let later = start + Duration::from_secs(5);
        assert_eq!(heard.question(&uid("a"), false, later).bare, 1);
        assert_eq!(heard.question(&uid("a"), true, later).known_for, Duration::from_secs(5));
        assert_eq!(heard.question(&uid("b"), true, later).bare, 0);
    }

    #[test]
    fn only_the_time_in_which_others_were_asked_for_counts() {
        let start = Instant::now();
        let heard = Heard::new(start);
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        heard.question(&uid("a"), false, at(0));
        for minute in 0..=60 {
            heard.call(at(minute));
        }
        assert_eq!(heard.silence(&uid("a"), at(60)), Duration::from_secs(3_600));
        assert_eq!(heard.silence(&uid("never"), at(60)), Duration::from_secs(3_600));
        assert_eq!(heard.silence(&uid("a"), at(600)), Duration::ZERO, "nobody asks for anything");
        heard.call(at(600));
        assert_eq!(heard.silence(&uid("a"), at(601)), Duration::from_secs(60));
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let start = Instant::now();
        let heard = Heard::new(start);
        heard.question(&uid("a"), true, start);
        heard.forget(start + HEARD_KEPT * 2, HEARD_KEPT * 3);
        assert_eq!(heard.inner().pods.len(), 1);
        heard.forget(start + HEARD_KEPT * 2, Duration::ZERO);
        assert_eq!(heard.inner().pods.len(), 0);
    }
}
