//! Facts about the file itself: when it was made, and which queue it was kept for.

use std::fmt::Display;
use std::str::FromStr;

use rusqlite::{OptionalExtension, Transaction, params};

use super::database::{StoreError, now};
use super::unreadable::Unreadable;

/// The highest cluster of a workload whose rows are gone.
const CLUSTER: &str = "highest_cluster";

/// An earlier release has kept this file and no highest cluster.
const CLUSTERS_UNKNOWN: &str = "clusters_unknown";

/// When this file was made, epoch seconds; set at the first call. Where that cannot be read, it is now.
pub fn born(t: &Transaction<'_>, unreadable: &mut Vec<Unreadable>) -> Result<i64, StoreError> {
    t.execute("INSERT OR IGNORE INTO facts (name, value) VALUES ('born', ?1)", [now().to_string()])?;
    Ok(number(t, "born", unreadable)?.unwrap_or_else(now))
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

/// The highest cluster that this file has had, apart from the jobs that it has now; 0 where that cannot be read.
pub fn cluster(t: &Transaction<'_>, unreadable: &mut Vec<Unreadable>) -> Result<u32, StoreError> {
    Ok(number(t, CLUSTER, unreadable)?.unwrap_or(0))
}

/// Whether the file may have had higher clusters than it knows of: those of an earlier release.
pub fn clusters_are_unknown(t: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(get(t, CLUSTERS_UNKNOWN)?.is_some())
}

/// From now on the file knows which clusters it has had: none above this one.
pub fn know_clusters(t: &Transaction<'_>, highest: u32) -> Result<(), StoreError> {
    raise_cluster(t, highest)?;
    t.execute("DELETE FROM facts WHERE name = ?1", [CLUSTERS_UNKNOWN])?;
    Ok(())
}

/// Remembers that the file has had this cluster.
pub fn raise_cluster(t: &Transaction<'_>, seen: u32) -> Result<(), StoreError> {
    if seen > cluster(t, &mut Vec::new())? {
        put(t, CLUSTER, &seen.to_string())?;
    }
    Ok(())
}

fn number<N: FromStr<Err: Display>>(
    t: &Transaction<'_>,
    name: &str,
    unreadable: &mut Vec<Unreadable>,
) -> Result<Option<N>, StoreError> {
    let Some(text) = get(t, name)? else { return Ok(None) };
    let number = text.parse().map_err(|why| format!("fact {name} is {text:?}: {why}"));
    Ok(number.map_err(|why| unreadable.push(Unreadable { uid: None, why })).ok())
}
