//! What callers have brought and asked after: when first and last, and whether anybody asks at all. Kept
//! in memory only, so that a question costs nothing; a new life begins with patience.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use htc_core::workload::names::Uid;

use crate::http::callers::Caller;
use crate::limits::{HEARD_KEPT, HEARD_MAX};

/// What callers have brought and asked after.
pub struct Heard(Mutex<Inner>);

struct Inner {
    pods: HashMap<Uid, Pod>,
    /// How many of them were not here when a caller asked for them, by that caller.
    unknown: HashMap<Option<String>, usize>,
    /// When nobody has asked for anything for so long, callers are away.
    away_after: Duration,
    /// Since when somebody has asked for something again and again.
    since: Instant,
    /// When somebody last asked for anything.
    last: Instant,
}

struct Pod {
    first: Instant,
    /// When it was last brought or asked for.
    last: Instant,
    /// It was told as lost, since nobody had brought it.
    lost: bool,
    /// It was brought, and whoever did so has neither heard that it was taken in nor asked for it since.
    unanswered: bool,
    /// How many answers went to a caller that did not know the init containers yet.
    bare: u32,
    /// All its containers were told as ended: callers have no more questions.
    closed: bool,
    /// It was not here when this caller asked for it first.
    unknown_of: Option<Option<String>>,
}

/// What is known of the questions after one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// How long ago the first was.
    pub known_for: Duration,
    /// How many came before from a caller that did not know the init containers yet.
    pub bare: u32,
}

/// That nobody asks for a pod, while others are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// For how long.
    pub lasts: Duration,
    /// Whoever brought it does not know that it was taken in: callers bring a pod once, and take it for
    /// failed.
    pub unanswered: bool,
}

impl Pod {
    fn new(now: Instant) -> Pod {
        Pod {
            first: now,
            last: now,
            lost: false,
            unanswered: false,
            bare: 0,
            closed: false,
            unknown_of: None,
        }
    }
}

impl Heard {
    /// Nobody has asked yet; nobody is there when nobody asks for anything for so long.
    pub fn new(away_after: Duration, now: Instant) -> Heard {
        let (pods, unknown) = (HashMap::new(), HashMap::new());
        Heard(Mutex::new(Inner { pods, unknown, away_after, since: now, last: now }))
    }

    /// Somebody has asked for something.
    pub fn call(&self, now: Instant) {
        let mut inner = self.inner();
        if now.duration_since(inner.last) > inner.away_after {
            inner.since = now;
        }
        inner.last = now;
    }

    /// Somebody brings a pod, and waits for an answer.
    pub fn brought(&self, uid: &Uid, now: Instant) {
        let mut inner = self.inner();
        let pod = inner.pod(uid, now);
        (pod.last, pod.unanswered) = (now, true);
    }

    /// A pod that was brought is not kept here: nothing of it is remembered.
    pub fn turned_away(&self, uid: &Uid) {
        self.inner().pods.remove(uid);
    }

    /// Who brought it hears that it was taken in.
    pub fn answered(&self, uid: &Uid) {
        if let Some(pod) = self.inner().pods.get_mut(uid) {
            pod.unanswered = false;
        }
    }

    /// Somebody asks for a pod; `bare` if he does not know its init containers yet.
    pub fn question(&self, uid: &Uid, bare: bool, now: Instant) -> Question {
        let mut inner = self.inner();
        let pod = inner.pod(uid, now);
        let question = Question { known_for: now.duration_since(pod.first), bare: pod.bare };
        (pod.last, pod.unanswered) = (now, false);
        pod.bare += u32::from(bare);
        question
    }

    /// A pod that nobody had brought was told as lost.
    pub fn lose(&self, uid: &Uid) {
        if let Some(pod) = self.inner().pods.get_mut(uid) {
            pod.lost = true;
        }
    }

    /// Whether it was told as lost: callers have given it up, and ask no more.
    pub fn is_lost(&self, uid: &Uid) -> bool {
        self.inner().pods.get(uid).is_some_and(|pod| pod.lost)
    }

    /// A caller asks for a pod that is not here. Where too many of his are remembered already it is as if nobody
    /// had asked for it before.
    pub fn question_unknown(&self, caller: &Caller, uid: &Uid, bare: bool, now: Instant) -> Question {
        let mut inner = self.inner();
        if !inner.pods.contains_key(uid) {
            let owner = caller.owner();
            let count = inner.unknown.entry(owner.clone()).or_default();
            if *count >= HEARD_MAX {
                return Question { known_for: Duration::ZERO, bare: 0 };
            }
            *count += 1;
            inner.pod(uid, now).unknown_of = Some(owner);
        }
        drop(inner);
        self.question(uid, bare, now)
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
    pub fn silence(&self, uid: &Uid, now: Instant) -> Silence {
        let inner = self.inner();
        let pod = inner.pods.get(uid);
        let unanswered = pod.is_some_and(|pod| pod.unanswered);
        if now.duration_since(inner.last) > inner.away_after {
            return Silence { lasts: Duration::ZERO, unanswered };
        }
        let asked = pod.map_or(inner.since, |pod| pod.last.max(inner.since));
        Silence { lasts: now.duration_since(asked), unanswered }
    }

    /// Forgets the pods that nobody has asked for in a long time.
    pub fn forget(&self, now: Instant, longest: Duration) {
        let kept = longest.max(HEARD_KEPT);
        let mut inner = self.inner();
        inner.pods.retain(|_, pod| now.duration_since(pod.last) <= kept);
        let mut unknown: HashMap<Option<String>, usize> = HashMap::new();
        for owner in inner.pods.values().filter_map(|pod| pod.unknown_of.as_ref()) {
            *unknown.entry(owner.clone()).or_default() += 1;
        }
        inner.unknown = unknown;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no thread panics while it holds what was heard")
    }
}

impl Inner {
    fn pod(&mut self, uid: &Uid, now: Instant) -> &mut Pod {
        if !self.pods.contains_key(uid) {
            self.pods.insert(uid.clone(), Pod::new(now));
        }
        self.pods.get_mut(uid).expect("it was put there if it was missing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SILENT_CALLERS;

    fn uid(text: &str) -> Uid {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_question_is_remembered_and_bare_ones_are_counted() {
        let start = Instant::now();
        let heard = Heard::new(SILENT_CALLERS, start);
        let first = heard.question(&uid("a"), true, start);
        assert_eq!(first, Question { known_for: Duration::ZERO, bare: 0 });
        let later = start + Duration::from_secs(5);
        assert_eq!(heard.question(&uid("a"), false, later).bare, 1);
        assert_eq!(heard.question(&uid("a"), true, later).known_for, Duration::from_secs(5));
        assert_eq!(heard.question(&uid("b"), true, later).bare, 0);
    }

    #[test]
    fn of_pods_that_are_not_here_so_many_are_remembered_of_each_caller() {
        let start = Instant::now();
        let a = Caller::Named("a".into());
        let heard = Heard::new(SILENT_CALLERS, start);
        for n in 0..HEARD_MAX + 5 {
            heard.question_unknown(&a, &uid(&format!("n{n}")), false, start);
        }
        assert_eq!(heard.inner().pods.len(), HEARD_MAX);
        let later = start + Duration::from_secs(5);
        let known_for = |name: String| heard.question_unknown(&a, &uid(&name), false, later).known_for;
        assert_eq!(known_for("n0".to_owned()), Duration::from_secs(5));
        assert_eq!(known_for(format!("n{HEARD_MAX}")), Duration::ZERO, "it is told as waiting");
        // Those that are here are remembered: they would be taken away for want of questions.
        heard.question(&uid("here"), false, start);
        heard.brought(&uid("brought"), start);
        assert_eq!(heard.inner().pods.len(), HEARD_MAX + 2);
        // Another caller's pods are told as lost in time.
        let b = Caller::Named("b".into());
        heard.question_unknown(&b, &uid("of-b"), false, start);
        assert_eq!(heard.question_unknown(&b, &uid("of-b"), false, later).known_for, Duration::from_secs(5));
        heard.forget(start + HEARD_KEPT * 2, Duration::ZERO);
        assert_eq!(known_for("anew".to_owned()), Duration::ZERO);
        assert_eq!(heard.inner().pods.len(), 1, "what is forgotten makes room");
    }

    #[test]
    fn only_the_time_in_which_others_were_asked_for_counts() {
        let start = Instant::now();
        let heard = Heard::new(SILENT_CALLERS, start);
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        heard.question(&uid("a"), false, at(0));
        for minute in 0..=60 {
            heard.call(at(minute));
        }
        let silence = |text: &str, minutes| heard.silence(&uid(text), at(minutes)).lasts;
        assert_eq!(silence("a", 60), Duration::from_secs(3_600));
        assert_eq!(silence("never", 60), Duration::from_secs(3_600), "it may be older than this life");
        heard.brought(&uid("new"), at(59));
        assert_eq!(silence("new", 60), Duration::from_secs(60), "however long others were asked for");
        assert_eq!(silence("a", 600), Duration::ZERO, "nobody asks for anything");
        heard.call(at(600));
        assert_eq!(silence("a", 601), Duration::from_secs(60));
    }

    #[test]
    fn whoever_brought_a_pod_knows_of_it_by_an_answer_or_asks_for_it() {
        let start = Instant::now();
        let heard = Heard::new(SILENT_CALLERS, start);
        let unanswered = || heard.silence(&uid("a"), start).unanswered;
        assert!(!unanswered());
        heard.brought(&uid("a"), start);
        assert!(unanswered());
        heard.answered(&uid("a"));
        assert!(!unanswered());
        heard.brought(&uid("a"), start);
        heard.question(&uid("a"), false, start);
        assert!(!unanswered());
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let start = Instant::now();
        let heard = Heard::new(SILENT_CALLERS, start);
        heard.question(&uid("a"), true, start);
        heard.forget(start + HEARD_KEPT * 2, HEARD_KEPT * 3);
        assert_eq!(heard.inner().pods.len(), 1);
        heard.forget(start + HEARD_KEPT * 2, Duration::ZERO);
        assert_eq!(heard.inner().pods.len(), 0);
    }
}
