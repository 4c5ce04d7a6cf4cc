//! The newest report of each job.

use htc_core::workload::names::JobKey;
use htc_core::workload::report::{MAX, Report};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Transaction, params};

use super::database::StoreError;

/// Keeps a report unless one as new or newer is there; says whether it was kept.
pub fn put(t: &Transaction<'_>, report: &Report) -> Result<bool, StoreError> {
    let key = &report.key;
    let id = params![key.uid.as_str(), key.index, key.attempt, key.submission];
    let known: Option<(u32, u64)> = t
        .prepare_cached(
            "SELECT start, seq FROM inbox WHERE uid = ?1 AND idx = ?2 AND attempt = ?3 AND submission = ?4",
        )?
        .query_row(id, |r| Ok((r.get(0)?, r.get::<_, i64>(1)?.cast_unsigned())))
        .optional()?;
    if known.is_some_and(|known| known >= report.order()) {
        return Ok(false);
    }
    let body = serde_json::to_string(report).map_err(|e| StoreError::Unreadable(e.to_string()))?;
    t.prepare_cached(
        "INSERT OR REPLACE INTO inbox (uid, idx, attempt, submission, start, seq, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        key.uid.as_str(),
        key.index,
        key.attempt,
        key.submission,
        report.start,
        report.seq.cast_signed(),
        body
    ])?;
    Ok(true)
}

/// More than any report that a door takes has as JSON.
const LONGEST: usize = 4 * MAX;

/// The newest report of a job. One that cannot be read is left out, and one that is longer than a report may be:
/// earlier releases kept those. The job's ad tells as well.
pub fn get(t: &Transaction<'_>, key: &JobKey) -> Result<Option<Report>, StoreError> {
    let mut statement = t.prepare_cached(
        "SELECT body FROM inbox WHERE uid = ?1 AND idx = ?2 AND attempt = ?3 AND submission = ?4
         AND octet_length(body) <= ?5",
    )?;
    let JobKey { uid, index, attempt, submission } = key;
    let wanted = params![uid.as_str(), index, attempt, submission, LONGEST as i64];
    let body = statement.query_row(wanted, |row| row.get(0));
    Ok(body.optional()?.and_then(|body: Value| match body {
        Value::Text(json) => serde_json::from_str(&json).ok(),
        _ => None,
    }))
}
