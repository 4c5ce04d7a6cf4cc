//! Facts about the file itself: when it was made, and which queue it was kept for.

use rusqlite::{OptionalExtension, Transaction, params};

use super::database::{StoreError, now};

/// The highest cluster of a workload whose rows are gone.
const CLUSTER: &str = "highest_cluster";

/// When this file was made, epoch seconds; set at the first call.
pub fn born(t: &Transaction<'_>) -> Result<i64, StoreError> {
    t.execute("INSERT OR IGNORE INTO facts (name, value) VALUES ('born', ?1)", [now().to_string()])?;
    number(t, "born").map(Option::unwrap_or_default)
}

/// A fact, if it is known.
pub fn get(t: &Transaction<'_>, name: &str) -> Result<Option<String>, StoreError> {
    let value = t.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0));
    Ok(value.optional()?)
}

/// Keeps a fact in the place of what was known.
pub fn put(t: &Transaction<'_>, name: &str, value: &str) -> Result<(), StoreError> {
    t.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?1, ?2)", params![name, value])?;
    Ok(())
}

/// The highest cluster that this file has had, apart from the jobs that it has now.
pub fn cluster(t: &Transaction<'_>) -> Result<u32, StoreError> {
    let known = number(t, CLUSTER)?.unwrap_or(0);
    u32::try_from(known).map_err(|why| StoreError::Unreadable(format!("fact {CLUSTER}: {why}")))
}

/// Remembers that the file has had this cluster.
pub fn raise_cluster(t: &Transaction<'_>, seen: u32) -> Result<(), StoreError> {
    if seen > cluster(t)? {
        put(t, CLUSTER, &seen.to_string())?;
    }
    Ok(())
}

fn number(t: &Transaction<'_>, name: &str) -> Result<Option<i64>, StoreError> {
    let parse =
        |text: String| text.parse().map_err(|why| StoreError::Unreadable(format!("fact {name}: {why}")));
    get(t, name)?.map(parse).transpose()
}
