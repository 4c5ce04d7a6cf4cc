//! The rows of `htcjobs`: one HTCondor job each, committed or about to be.
//!
//! `status` keeps the predecessor's numbers: 1 active, 4 succeeded, 7 failed, +10 once the job's
//! files are home.

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{End, JobId, Outcome};
use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::database::StoreError;
use super::unreadable::{Columns, Unreadable};
use super::worker_faults;

const ACTIVE: i64 = 1;
const SUCCEEDED: i64 = 4;
const FAILED: i64 = 7;
const HOME: i64 = 10;

/// The key's columns, as every statement names them.
const THIS: &str = "uid = ?1 AND idx = ?2 AND attempt = ?3 AND submission = ?4";

/// Where the files of a job are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// They are to come home, if it has any.
    Expected,
    /// They are home.
    Home,
    /// It ended because its ad was not seen for long: they come home should it be back.
    Unseen,
    /// They do not come home: the pool does not have them, or their time is over.
    GivenUp,
}

impl Files {
    /// Whether they may still come home.
    pub fn may_come(self) -> bool {
        match self {
            Files::Expected | Files::Unseen => true,
            Files::Home | Files::GivenUp => false,
        }
    }

    /// What the column `files` says; `status` tells the others apart.
    fn word(self) -> Option<&'static str> {
        match self {
            Files::Expected | Files::Home => None,
            Files::Unseen => Some("unseen"),
            Files::GivenUp => Some("given up"),
        }
    }

    fn read(status: i64, word: Option<&str>, end: Option<&End>) -> Files {
        match word {
            _ if status > HOME => Files::Home,
            Some("unseen") => Files::Unseen,
            Some(_) => Files::GivenUp,
            // Rows of releases that did not keep it.
            None if end.is_some_and(|end| end.outcome == Outcome::LostTrack) => Files::Unseen,
            None => Files::Expected,
        }
    }
}

/// A row of `htcjobs`.
#[derive(Clone, Debug)]
pub struct StoredJob {
    /// The job's key.
    pub key: JobKey,
    /// The name of the outside object.
    pub name: String,
    /// HTCondor's id, once known.
    pub job: Option<JobId>,
    /// The job's folder.
    pub folder: String,
    /// The submission it belongs to, until that is settled.
    pub intent: Option<i64>,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// Where its files are.
    pub files: Files,
    /// Whether its door has made its end known.
    pub published: bool,
    /// Whether its sender signs its result.
    pub signs_result: bool,
}

/// Keeps a new job.
pub fn insert(t: &Transaction<'_>, job: &StoredJob) -> Result<(), StoreError> {
    let StoredJob { key, name, job, folder, intent, end, files, published, signs_result } = job;
    let mut statement = t.prepare_cached(
        "INSERT INTO htcjobs (htcjobName, jobId, status, tempDir, uniqid, uid, idx, attempt, submission,
         intent, ending, published, signs_result, files)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?;
    statement.execute(params![
        name,
        job.map(|id| id.to_string()),
        status(end.as_ref(), *files == Files::Home),
        folder,
        key.uid.as_str(),
        key.index,
        key.attempt,
        key.submission,
        intent,
        end.as_ref().map(json).transpose()?,
        published,
        signs_result,
        files.word(),
    ])?;
    Ok(())
}

/// The tool has printed the job's id.
pub fn set_id(t: &Transaction<'_>, key: &JobKey, job: JobId) -> Result<(), StoreError> {
    update(t, key, "jobId = ?5", job.to_string())
}

/// The job is in the queue with all its files: its submission is settled.
pub fn settle(t: &Transaction<'_>, key: &JobKey, job: JobId) -> Result<(), StoreError> {
    update(t, key, "jobId = ?5, intent = NULL", job.to_string())
}

/// The job's end is known. One that was known before stays.
pub fn end(t: &Transaction<'_>, key: &JobKey, end: &End) -> Result<(), StoreError> {
    let mut statement = t.prepare_cached(&format!(
        "UPDATE htcjobs SET ending = ?5, status = ?6, intent = NULL WHERE {THIS} AND ending IS NULL"
    ))?;
    let JobKey { uid, index, attempt, submission } = key;
    let status = status(Some(end), false);
    statement.execute(params![uid.as_str(), index, attempt, submission, json(end)?, status])?;
    worker_faults::forget(t, key)
}

/// The job's files are home.
pub fn home(t: &Transaction<'_>, key: &JobKey) -> Result<(), StoreError> {
    update(t, key, "status = status % 10 + ?5", HOME)
}

/// Where its files are, if they have not come home.
pub fn set_files(t: &Transaction<'_>, key: &JobKey, files: Files) -> Result<(), StoreError> {
    update(t, key, "files = ?5", files.word())
}

/// The door has made the end known.
pub fn published(t: &Transaction<'_>, key: &JobKey) -> Result<(), StoreError> {
    update(t, key, "published = ?5", true)
}

/// This submission never came to anything.
pub fn delete(t: &Transaction<'_>, key: &JobKey) -> Result<(), StoreError> {
    let mut statement = t.prepare_cached(&format!("DELETE FROM htcjobs WHERE {THIS}"))?;
    statement.execute(params![key.uid.as_str(), key.index, key.attempt, key.submission])?;
    Ok(())
}

/// Each job with a key, in order; rows of the predecessor have none. Of one whose id or end cannot be read the rest
/// counts: its ad tells the id, and its status whether it succeeded.
pub fn each(
    t: &Transaction<'_>,
    unreadable: &mut Vec<Unreadable>,
    mut take: impl FnMut(StoredJob) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = t.prepare(
        "SELECT uid, idx, attempt, submission, htcjobName, jobId, tempDir, intent, ending, status, published,
         signs_result, files
         FROM htcjobs WHERE uid IS NOT NULL ORDER BY uid, idx, attempt, submission",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let text: String = columns.get(0, "uid");
        let (index, attempt): (u32, u32) = (columns.get(1, "idx"), columns.get(2, "attempt"));
        let (submission, folder): (u32, String) = (columns.get(3, "submission"), columns.get(6, "tempDir"));
        let has_key = columns.trouble().is_none();
        let stored = match text.parse() {
            Ok(uid) if has_key => {
                Some(read(JobKey { uid, index, attempt, submission }, folder, &mut columns))
            }
            _ => None,
        };
        if stored.is_none() || columns.trouble().is_some() {
            let why = columns.trouble().unwrap_or_else(|| "its UID cannot be read".to_owned());
            unreadable.push(Unreadable::of(&text, format!("its job {index} cannot be read: {why}")));
        }
        stored.map_or(Ok(()), &mut take)?;
    }
    Ok(())
}

fn read(key: JobKey, folder: String, columns: &mut Columns<'_>) -> StoredJob {
    let (id, ending): (Option<String>, Option<String>) = (columns.get(5, "jobId"), columns.get(8, "ending"));
    let status: i64 = columns.get(9, "status");
    let id = id.map(|id| id.parse().map_err(|()| format!("{id:?} is no id"))).transpose();
    let end = ending.map(|json| {
        let read = serde_json::from_str(&json);
        columns.made("ending", read).unwrap_or_else(|| recorded(status))
    });
    let files: Option<String> = columns.get(12, "files");
    StoredJob {
        key,
        name: columns.get(4, "htcjobName"),
        job: columns.made("jobId", id).flatten(),
        folder,
        intent: columns.get(7, "intent"),
        files: Files::read(status, files.as_deref(), end.as_ref()),
        end,
        published: columns.get(10, "published"),
        signs_result: columns.get(11, "signs_result"),
    }
}

/// An end whose words cannot be read.
fn recorded(status: i64) -> End {
    let outcome = if status % HOME == SUCCEEDED { Outcome::Succeeded } else { Outcome::LostTrack };
    let message = "it has ended, and the database's record of how cannot be read".to_owned();
    End { outcome, message, at: Timestamp::now() }
}

fn update(
    t: &Transaction<'_>,
    key: &JobKey,
    set: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), StoreError> {
    let mut statement = t.prepare_cached(&format!("UPDATE htcjobs SET {set} WHERE {THIS}"))?;
    statement.execute(params![key.uid.as_str(), key.index, key.attempt, key.submission, value])?;
    Ok(())
}

fn status(end: Option<&End>, home: bool) -> i64 {
    let status = match end {
        None => ACTIVE,
        Some(end) if end.outcome.succeeded() => SUCCEEDED,
        Some(_) => FAILED,
    };
    status + if home { HOME } else { 0 }
}

/// The columns `ending` and `status` of a job.
pub fn ending_and_status(job: &StoredJob) -> Result<(Option<String>, i64), StoreError> {
    Ok((job.end.as_ref().map(json).transpose()?, status(job.end.as_ref(), job.files == Files::Home)))
}

fn json(end: &End) -> Result<String, StoreError> {
    serde_json::to_string(end).map_err(|e| StoreError::Unreadable(e.to_string()))
}

/// The highest cluster among the jobs of a workload; 0 where none is known.
pub fn highest_cluster(t: &Transaction<'_>, uid: &Uid) -> Result<u32, StoreError> {
    let cluster = "CAST(substr(jobId, 1, instr(jobId, '.') - 1) AS INTEGER)";
    // An id that is none says nothing, and holds up nobody.
    let is_one = format!("{cluster} BETWEEN 0 AND {}", u32::MAX);
    let highest = format!("SELECT ifnull(max({cluster}), 0) FROM htcjobs WHERE uid = ?1 AND {is_one}");
    Ok(t.query_row(&highest, [uid.as_str()], |row| row.get(0))?)
}
