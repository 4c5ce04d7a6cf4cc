//! Intents: the durable word that a `condor_submit` is about to be started.

use rusqlite::Transaction;

use super::database::{StoreError, now};

/// An intent that is not settled yet.
#[derive(Clone, Copy, Debug)]
pub struct StoredIntent {
    /// Its number, never used again.
    pub id: i64,
    /// When it was made, epoch seconds.
    pub created: i64,
}

/// A new intent.
pub fn create(t: &Transaction<'_>) -> Result<i64, StoreError> {
    t.execute("INSERT INTO intents (created) VALUES (?1)", [now()])?;
    Ok(t.last_insert_rowid())
}

/// All its jobs are settled.
pub fn close(t: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
    t.execute("DELETE FROM intents WHERE id = ?1", [id])?;
    Ok(())
}

/// All that are open.
pub fn load(t: &Transaction<'_>) -> Result<Vec<StoredIntent>, StoreError> {
    let mut statement = t.prepare("SELECT id, created FROM intents ORDER BY id")?;
    let rows = statement.query_map([], |r| Ok(StoredIntent { id: r.get(0)?, created: r.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
