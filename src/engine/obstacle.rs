//! What is in the way, as people are told of it.

use jiff::Timestamp;

/// The pool does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// What the tool said first.
    pub why: String,
}

/// Something in the way of submissions, which are tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// A word for conditions: `PoolUnavailable`, `QueueFull`, `SubmitFailed`, `RecordUnreadable`.
    pub reason: &'static str,
    /// A sentence.
    pub why: String,
}

impl Obstacle {
    /// The pool does not answer.
    pub fn pool(why: String) -> Obstacle {
        Obstacle { reason: "PoolUnavailable", why }
    }

    /// The queue takes no more for now.
    pub fn full(why: String) -> Obstacle {
        Obstacle { reason: "QueueFull", why }
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
