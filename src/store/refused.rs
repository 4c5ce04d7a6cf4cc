//! Indices that HTCondor has refused alone, and since when.

use htc_core::workload::names::{JobKey, Uid};
use rusqlite::{Transaction, params};

use super::database::StoreError;
use super::unreadable::{Columns, Unreadable};

/// Keeps since when an index is refused, epoch seconds; what was kept before stays.
pub fn keep(t: &Transaction<'_>, key: &JobKey, since: i64) -> Result<(), StoreError> {
    let mut statement =
        t.prepare_cached("INSERT OR IGNORE INTO refused (uid, idx, since) VALUES (?1, ?2, ?3)")?;
    statement.execute(params![key.uid.as_str(), key.index, since])?;
    Ok(())
}

/// The index was taken, or is given up.
pub fn forget(t: &Transaction<'_>, key: &JobKey) -> Result<(), StoreError> {
    let mut statement = t.prepare_cached("DELETE FROM refused WHERE uid = ?1 AND idx = ?2")?;
    statement.execute(params![key.uid.as_str(), key.index])?;
    Ok(())
}

/// All of them: workload, index, since when. One that cannot be read counts as never refused.
pub fn load(
    t: &Transaction<'_>,
    unreadable: &mut Vec<Unreadable>,
) -> Result<Vec<(Uid, u32, i64)>, StoreError> {
    let mut statement = t.prepare("SELECT uid, idx, since FROM refused")?;
    let mut rows = statement.query([])?;
    let mut refused = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let text: String = columns.get(0, "uid");
        let (index, since) = (columns.get(1, "idx"), columns.get(2, "since"));
        match (columns.trouble(), text.parse()) {
            (None, Ok(uid)) => refused.push((uid, index, since)),
            (why, _) => {
                let why = why.unwrap_or_else(|| format!("{text:?} is no UID"));
                unreadable.push(Unreadable { uid: None, why: format!("a refused index: {why}") });
            }
        }
    }
    Ok(refused)
}
