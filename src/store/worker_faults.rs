//! Indices of which workers could start nothing of the user's: how often, on which machines, and why.

use htc_core::workload::names::{JobKey, Uid};
use rusqlite::{Transaction, params};

use super::database::StoreError;
use super::unreadable::{Columns, Unreadable};

/// What is kept of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFaults {
    /// The attempt that failed last.
    pub attempt: u32,
    /// The submission that failed last.
    pub submission: u32,
    /// How many submissions failed so.
    pub times: u32,
    /// The machines, as far as they are known, each once.
    pub machines: Vec<String>,
    /// Until when they are passed over, epoch seconds.
    pub until: i64,
    /// Why the last one could not run it.
    pub why: String,
}

impl WorkerFaults {
    /// Whether the job with this key is the one that failed last.
    pub fn is_last(&self, key: &JobKey) -> bool {
        (self.attempt, self.submission) == (key.attempt, key.submission)
    }
}

/// Keeps what is known of the index of this job.
pub fn keep(t: &Transaction<'_>, key: &JobKey, faults: &WorkerFaults) -> Result<(), StoreError> {
    let WorkerFaults { attempt, submission, times, machines, until, why } = faults;
    let machines = serde_json::to_string(machines).map_err(|e| StoreError::Unreadable(e.to_string()))?;
    let mut statement = t.prepare_cached(
        "INSERT OR REPLACE INTO worker_faults (uid, idx, attempt, submission, times, machines, until, why)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        key.uid.as_str(),
        key.index,
        attempt,
        submission,
        times,
        machines,
        until,
        why
    ])?;
    Ok(())
}

/// The index has ended.
pub fn forget(t: &Transaction<'_>, key: &JobKey) -> Result<(), StoreError> {
    let mut statement = t.prepare_cached("DELETE FROM worker_faults WHERE uid = ?1 AND idx = ?2")?;
    statement.execute(params![key.uid.as_str(), key.index])?;
    Ok(())
}

/// All of them. One that cannot be read counts as never kept.
pub fn load(
    t: &Transaction<'_>,
    unreadable: &mut Vec<Unreadable>,
) -> Result<Vec<(Uid, u32, WorkerFaults)>, StoreError> {
    let mut statement =
        t.prepare("SELECT uid, idx, attempt, submission, times, machines, until, why FROM worker_faults")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let (text, machines): (String, String) = (columns.get(0, "uid"), columns.get(5, "machines"));
        let index = columns.get(1, "idx");
        let faults = WorkerFaults {
            attempt: columns.get(2, "attempt"),
            submission: columns.get(3, "submission"),
            times: columns.get(4, "times"),
            machines: columns.made("machines", serde_json::from_str(&machines)).unwrap_or_default(),
            until: columns.get(6, "until"),
            why: columns.get(7, "why"),
        };
        match (columns.trouble(), text.parse()) {
            (None, Ok(uid)) => all.push((uid, index, faults)),
            (why, _) => {
                let why = why.unwrap_or_else(|| format!("{text:?} is no UID"));
                unreadable
                    .push(Unreadable { uid: None, why: format!("workers that failed an index: {why}") });
            }
        }
    }
    Ok(all)
}
