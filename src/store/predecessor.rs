//! What the predecessor of this operator wrote into `htcjobs`, one row a job without a `uid`. Nobody
//! repairs these rows any more, so they are read with patience: what means nothing is left out.

use htc_core::workload::progress::JobId;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Transaction, params};

use super::database::StoreError;
use super::jobs::{StoredJob, ending_and_status};

/// The columns that its table had in the end; earlier versions made fewer.
const COLUMNS: [(&str, &str); 5] = [
    ("htcjobName", "TEXT"),
    ("jobId", "TEXT"),
    ("status", "INTEGER"),
    ("tempDir", "TEXT"),
    ("uniqid", "TEXT"),
];

/// A row of the predecessor's that names a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRow {
    /// SQLite's number of the row.
    pub row: i64,
    /// The name of the HTCJob; two namespaces may have the same.
    pub name: String,
    /// HTCondor's id.
    pub job: JobId,
    /// Whether it succeeded, once it had ended.
    pub succeeded: Option<bool>,
    /// The folder it was submitted from.
    pub folder: String,
    /// The predecessor's own id of the HTCJob; empty where it had none.
    pub uniqid: String,
}

/// Gives a table of the predecessor the columns that it lacks. Without such a table this is nothing.
pub fn complete(connection: &Connection) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info('htcjobs')")?;
    let known = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    if known.is_empty() {
        return Ok(());
    }
    for (name, kind) in COLUMNS.iter().filter(|(name, _)| !known.iter().any(|k| k.eq_ignore_ascii_case(name)))
    {
        connection.execute(&format!("ALTER TABLE htcjobs ADD COLUMN {name} {kind}"), [])?;
    }
    Ok(())
}

/// All rows that nobody has inherited and that name a job.
pub fn load(t: &Transaction<'_>) -> Result<Vec<OldRow>, StoreError> {
    let mut statement = t.prepare(
        "SELECT rowid, htcjobName, jobId, status, tempDir, uniqid FROM htcjobs WHERE uid IS NULL ORDER BY rowid",
    )?;
    let mut rows = statement.query([])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(job) = text(row, 2)?.parse() else { continue };
        // 10 is added once the job's files are home.
        let succeeded = match text(row, 3)?.parse::<i64>().map(|status| status % 10) {
            Ok(4) => Some(true),
            Ok(7) => Some(false),
            _ => None,
        };
        let (name, folder, uniqid) = (text(row, 1)?, text(row, 4)?, text(row, 5)?);
        old.push(OldRow { row: row.get(0)?, name, job, succeeded, folder, uniqid });
    }
    Ok(old)
}

/// A row becomes that of a job with a key; what else says the same of this job is forgotten.
pub fn give(t: &Transaction<'_>, rows: &[i64], job: &StoredJob) -> Result<(), StoreError> {
    let Some((first, others)) = rows.split_first() else { return super::jobs::insert(t, job) };
    let (ending, status) = ending_and_status(job)?;
    let StoredJob { key, name, job, folder, intent: _, end: _, files: _, published: _, signs_result: _ } =
        job;
    t.prepare_cached(
        "UPDATE htcjobs SET uid = ?2, idx = ?3, attempt = ?4, submission = ?5, htcjobName = ?6, jobId = ?7,
         tempDir = ?8, ending = ?9, status = ?10 WHERE rowid = ?1",
    )?
    .execute(params![
        first,
        key.uid.as_str(),
        key.index,
        key.attempt,
        key.submission,
        name,
        job.map(|id| id.to_string()),
        folder,
        ending,
        status,
    ])?;
    let mut forget = t.prepare_cached("DELETE FROM htcjobs WHERE rowid = ?1 AND uid IS NULL")?;
    others.iter().try_for_each(|row| forget.execute([row]).map(drop))?;
    Ok(())
}

/// The text of a column, whatever type it has.
fn text(row: &Row<'_>, column: usize) -> Result<String, rusqlite::Error> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).trim().to_owned(),
    })
}
