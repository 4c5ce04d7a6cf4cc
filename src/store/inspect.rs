//! Looks at the database of an operator that may be running, without changing anything.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::database::StoreError;
use super::format::refuse_newer;
use super::unreadable::Unreadable;
use super::{facts, intents, jobs, refused, wishes};

fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    refuse_newer(&connection, path)?;
    Ok(connection)
}

/// A fact of this file; nothing where there is no file yet.
pub fn fact(path: &Path, name: &str) -> Result<Option<String>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    facts::get(&open(path)?.transaction()?, name)
}

/// What of this file cannot be read; nothing where there is no file yet.
pub fn unreadable(path: &Path) -> Result<Vec<Unreadable>, StoreError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut connection = open(path)?;
    let mut found = Vec::new();
    let t = connection.transaction()?;
    wishes::load(&t, &mut found)?;
    intents::load(&t, &mut found)?;
    refused::load(&t, &mut found)?;
    jobs::each(&t, &mut found, |_| Ok(()))?;
    Ok(found)
}
