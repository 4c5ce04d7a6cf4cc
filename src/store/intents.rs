//! Intents: the durable word that a `condor_submit` is about to be started.

use rusqlite::Transaction;

use super::database::{StoreError, now};
use super::unreadable::{Columns, Unreadable};

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

/// All that are open. One whose age cannot be read is a new one.
pub fn load(t: &Transaction<'_>, unreadable: &mut Vec<Unreadable>) -> Result<Vec<StoredIntent>, StoreError> {
    let mut statement = t.prepare("SELECT id, created FROM intents ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut intents = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let (id, created) = (columns.get(0, "id"), columns.get(1, "created"));
        if let Some(why) = columns.trouble() {
            unreadable.push(Unreadable { uid: None, why: format!("submission {id}: {why}") });
        }
        intents.push(StoredIntent { id, created: if columns.wrong.is_empty() { created } else { now() } });
    }
    Ok(intents)
}
