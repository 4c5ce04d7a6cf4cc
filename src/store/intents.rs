//! Intents: the durable word that a `condor_submit` is about to be started.

use rusqlite::{Transaction, params};

use super::database::{StoreError, now};
use super::unreadable::{Columns, Unreadable};

/// An intent that is not settled yet.
#[derive(Clone, Debug)]
pub struct StoredIntent {
    /// Its number, never used again.
    pub id: i64,
    /// What it says.
    pub intent: NewIntent,
}

/// What an intent says.
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// When it was made, epoch seconds.
    pub created: i64,
    /// When its tool is dead at the latest, epoch seconds; unknown in rows of earlier releases.
    pub deadline: Option<i64>,
    /// The boot in which the tool was started, where that is known.
    pub boot: Option<String>,
    /// The host, for people.
    pub host: Option<String>,
}

/// Keeps a new intent; gives its number.
pub fn create(t: &Transaction<'_>, intent: &NewIntent) -> Result<i64, StoreError> {
    let NewIntent { created, deadline, boot, host } = intent;
    t.execute(
        "INSERT INTO intents (created, deadline, boot, host) VALUES (?1, ?2, ?3, ?4)",
        params![created, deadline, boot, host],
    )?;
    Ok(t.last_insert_rowid())
}

/// All its jobs are settled.
pub fn close(t: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
    t.execute("DELETE FROM intents WHERE id = ?1", [id])?;
    Ok(())
}

/// All that are open. Of one that cannot be read nothing is known but that it may be a new one.
pub fn load(t: &Transaction<'_>, unreadable: &mut Vec<Unreadable>) -> Result<Vec<StoredIntent>, StoreError> {
    let mut statement = t.prepare("SELECT id, created, deadline, boot, host FROM intents ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut intents = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let id = columns.get(0, "id");
        let (created, deadline) = (columns.get(1, "created"), columns.get(2, "deadline"));
        let (boot, host) = (columns.get(3, "boot"), columns.get(4, "host"));
        let intent = match columns.trouble() {
            None => NewIntent { created, deadline, boot, host },
            Some(why) => {
                unreadable.push(Unreadable { uid: None, why: format!("submission {id}: {why}") });
                NewIntent { created: now(), deadline: None, boot: None, host: None }
            }
        };
        intents.push(StoredIntent { id, intent });
    }
    Ok(intents)
}
