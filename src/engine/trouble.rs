//! What is in the way: a pool that does not answer, and what keeps jobs from being submitted.

use std::fmt;
use std::time::Instant;

use jiff::Timestamp;

use super::words::shortened;
use crate::limits::{TROUBLE_MAX, TROUBLE_TOLD};

/// The pool does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// What the tool said first.
    pub why: String,
}

const MISMATCH: &str = "StoreMismatch";

/// Something in the way of submissions, which are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// A word for conditions: `PoolUnavailable`, `StoreMismatch`, `QueueFull`, `NamespaceLimit`, `SubmitFailed`,
    /// `RecordUnreadable`, `JobUnreadable`.
    pub reason: &'static str,
    /// A sentence.
    pub why: String,
}

impl Obstacle {
    /// The pool does not answer.
    pub fn pool(why: String) -> Obstacle {
        Obstacle { reason: "PoolUnavailable", why }
    }

    /// The queue that answers is not known to be the one that the store was kept for.
    pub fn mismatch(why: String) -> Obstacle {
        Obstacle { reason: MISMATCH, why }
    }

    /// Whether it is that: as long as it lasts nothing else is in the way.
    pub fn is_mismatch(&self) -> bool {
        self.reason == MISMATCH
    }

    /// A job in the queue hides which index it is of.
    pub fn obscured() -> Obstacle {
        let why = "a job of it in the queue does not say which copy it is, so none is submitted; the operator's log names \
                   it: mend its ad with condor_qedit, or remove it";
        Obstacle { reason: "JobUnreadable", why: why.to_owned() }
    }

    /// The queue takes no more for now.
    pub fn full(why: String) -> Obstacle {
        Obstacle { reason: "QueueFull", why }
    }

    /// The namespace has all that it may have.
    pub fn namespace(why: String) -> Obstacle {
        Obstacle { reason: "NamespaceLimit", why }
    }

    /// A part of its record cannot be read: nobody knows what is to be submitted, or what was.
    pub fn unreadable(why: String) -> Obstacle {
        let why = format!(
            "the operator's database cannot be read here: {why}. Nothing more of it is submitted; restore a backup of \
             the database, or delete this object and create it again"
        );
        Obstacle { reason: "RecordUnreadable", why }
    }

    /// Something failed on our side.
    pub fn ours(why: String) -> Obstacle {
        Obstacle { reason: "SubmitFailed", why }
    }
}

/// A namespace that has no room for what waits.
#[derive(Clone, Debug)]
pub struct Full {
    /// Since when.
    pub since: Instant,
    /// What its workloads are told, once that has lasted.
    pub told: Option<Obstacle>,
}

impl Trouble {
    /// Whether it has lasted so long that it is told also to those who do not wait for the pool: one question that
    /// fails would have every status written.
    pub fn lasts(&self, now: Timestamp) -> bool {
        now.duration_since(self.since).unsigned_abs() >= TROUBLE_TOLD
    }
}

/// One line, however much the tool said.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = self.why.replace(char::is_control, " ");
        write!(f, "the pool has not answered since {:.0}: {}", self.since, shortened(why, TROUBLE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_one_line_and_is_told_to_all_only_when_it_lasts() {
        let since: Timestamp = "2026-01-01T00:00:00.123Z".parse().unwrap();
        let trouble = Trouble { since, why: format!("no\nschedd {}", "x".repeat(5_000)) };
        let text = trouble.to_string();
        assert!(
            text.starts_with("the pool has not answered since 2026-01-01T00:00:00Z: no schedd"),
            "{text}"
        );
        assert!(text.len() < 600, "{text}");
        assert!(!trouble.lasts(since) && trouble.lasts(since + TROUBLE_TOLD));
    }
}
