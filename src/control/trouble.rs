//! What a table of jobs begins with: why it may be old, and what cannot be followed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Troubles};

/// Why the lines may be old.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TroubleLine {
    /// The pool has answered since the operator started.
    pub ready: bool,
    /// Why the pool does not answer now.
    pub pool: Option<String>,
    /// Since when it does not.
    pub since: Option<Timestamp>,
    /// Why the last submission failed.
    pub submit: Option<String>,
    /// How many jobs are missing in HTCondor's queue.
    #[serde(default)]
    pub missing: usize,
    /// Whether those are most of all.
    #[serde(default)]
    pub vanished: bool,
    /// How many ads of jobs in the queue cannot be judged.
    #[serde(default)]
    pub unreadable: usize,
    /// How many jobs of other users bear our instance id.
    #[serde(default)]
    pub foreign: usize,
    /// What of the operator's database cannot be read.
    #[serde(default)]
    pub store: Option<String>,
    /// What keeps the database and the queue apart, a clause each: nothing is submitted, removed or ended.
    #[serde(default)]
    pub mismatch: Vec<String>,
}

impl TroubleLine {
    /// What is the matter now.
    pub fn of(engine: &Engine) -> TroubleLine {
        let Troubles { pool, submit, missing, vanished, riddles: unreadable, foreign, store } =
            engine.troubles();
        let (pool, since) = pool.map(|trouble| (trouble.why, trouble.since)).unzip();
        TroubleLine {
            ready: engine.is_ready(),
            pool,
            since,
            submit,
            missing,
            vanished,
            unreadable,
            foreign,
            store,
            mismatch: engine.mismatch(),
        }
    }
}
