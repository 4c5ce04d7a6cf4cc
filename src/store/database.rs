//! The database file and its only writer: a thread that runs what is waiting in one transaction,
//! so that a hundred callers share one sync to disk.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
pub use rusqlite::Transaction;
use rusqlite_migration::{M, Migrations};
use thiserror::Error;
use tokio::sync::oneshot;

use super::predecessor;
use crate::crash_point;

const STEPS: &[M<'static>] = &[
    M::up(include_str!("../../migrations/01-first.sql")),
    M::up(include_str!("../../migrations/02-inherited.sql")),
    M::up(include_str!("../../migrations/03-collected.sql")),
    M::up(include_str!("../../migrations/04-signed-results.sql")),
    M::up(include_str!("../../migrations/05-owner.sql")),
    M::up(include_str!("../../migrations/06-submitting.sql")),
];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// At most this many requests share a transaction: the first of them waits for the last.
const GROUP_MAX: usize = 1_000;

/// After so long without a request the journal is emptied.
const REST: Duration = Duration::from_secs(1);

/// Why the store could not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file cannot be opened or migrated.
    #[error("failed to open the database {path}: {source}")]
    Open {
        /// The file.
        path: String,
        /// What SQLite said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A statement or the commit failed; nothing of the request was kept.
    #[error("the database refused: {0}")]
    Refused(#[from] rusqlite::Error),
    /// The transaction could not be brought to the disk; nothing of the request was kept.
    #[error("failed to commit: {0}")]
    Commit(String),
    /// A row does not hold what it should.
    #[error("the database holds something unreadable: {0}")]
    Unreadable(String),
    /// The writer is gone: we are shutting down, or the commit failed for good.
    #[error("the database is closed")]
    Closed,
}

type Work = Box<dyn FnOnce(&Transaction<'_>) -> Finish + Send>;
/// Called after the commit, or with the reason why there was none.
type Finish = Box<dyn FnOnce(Result<(), String>) + Send>;

/// A handle on the database; clones share the writer.
#[derive(Clone)]
pub struct Database {
    queue: mpsc::Sender<Work>,
}

impl Database {
    /// Opens or creates `path` and brings it to the newest version.
    pub fn open(path: &Path) -> Result<Database, StoreError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open {
            path: path.display().to_string(),
            source,
        };
        make_private(path).map_err(|e| failed(e.into()))?;
        let mut connection = Connection::open(path).map_err(|e| failed(e.into()))?;
        prepare(&mut connection).map_err(failed)?;
        let (queue, work) = mpsc::channel();
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || write(connection, &work))
            .map_err(|e| failed(e.into()))?;
        Ok(Database { queue })
    }

    /// Runs `work` in the writer's next transaction. When this returns `Ok`, it is on disk.
    ///
    /// The request takes its place in the queue at once, not when it is awaited: callers that make
    /// it under a lock reach the disk in the order of that lock.
    pub fn call<T, W>(&self, work: W) -> impl Future<Output = Result<T, StoreError>> + use<T, W>
    where
        T: Send + 'static,
        W: FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, receive) = oneshot::channel();
        let job: Work = Box::new(move |transaction| {
            let result = in_savepoint(transaction, work);
            Box::new(move |committed: Result<(), String>| {
                let result = match committed {
                    Ok(()) => result,
                    Err(why) => Err(StoreError::Commit(why)),
                };
                // A caller that stopped waiting does not want to know.
                let _ = answer.send(result);
            })
        });
        // When the writer is gone, so is `answer`.
        let _ = self.queue.send(job);
        async move { receive.await.map_err(|_| StoreError::Closed)? }
    }
}

/// Wishes hold what callers keep secret. SQLite gives its other files the mode of this one.
fn make_private(path: &Path) -> std::io::Result<()> {
    let private = Permissions::from_mode(0o600);
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?.set_permissions(private)
}

fn prepare(connection: &mut Connection) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted or replaced may have been secret: it is overwritten, not only forgotten.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    predecessor::complete(connection)?;
    MIGRATIONS.to_latest(connection)?;
    Ok(())
}

/// One request's failure must not undo the others of its group.
fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    transaction.execute_batch("SAVEPOINT request")?;
    let result = work(transaction);
    let end = if result.is_ok() { "RELEASE request" } else { "ROLLBACK TO request; RELEASE request" };
    transaction.execute_batch(end)?;
    result
}

fn write(mut connection: Connection, queue: &mpsc::Receiver<Work>) {
    while let Some(first) = next(&connection, queue) {
        let group = std::iter::once(first).chain(queue.try_iter()).take(GROUP_MAX);
        let outcome = (|| {
            let transaction = connection.transaction()?;
            let finish: Vec<Finish> = group.map(|work| work(&transaction)).collect();
            crash_point!("store-before-commit");
            Ok::<_, rusqlite::Error>((finish, transaction.commit()))
        })();
        match outcome {
            Ok((finish, committed)) => {
                crash_point!("store-after-commit");
                let committed = committed.map_err(|e| e.to_string());
                finish.into_iter().for_each(|f| f(committed.clone()));
            }
            // The requests of the group are dropped, which their callers see as "closed".
            Err(why) => tracing::error!(%why, "the database takes no transaction"),
        }
    }
}

/// The next request. The journal still has what was overwritten in the database: it is emptied when there is a
/// moment's rest.
fn next(connection: &Connection, queue: &mpsc::Receiver<Work>) -> Option<Work> {
    match queue.recv_timeout(REST) {
        Ok(work) => return Some(work),
        Err(mpsc::RecvTimeoutError::Disconnected) => return None,
        Err(mpsc::RecvTimeoutError::Timeout) => {}
    }
    // Who reads the file from outside can hold it up; the next rest is as good.
    if let Err(why) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::debug!(%why, "the journal of the database was not emptied");
    }
    queue.recv().ok()
}

/// Seconds since 1970, as all our columns have it.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::super::jobs::StoredJob;
    use super::*;

    #[test]
    fn the_migrations_are_sound() {
        MIGRATIONS.validate().unwrap();
    }

    #[test]
    fn a_file_of_the_predecessor_opens_and_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htcjobs.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(
            "CREATE TABLE htcjobs (htcjobName text, jobId text, status integer, tempDir text, uniqid text);
             INSERT INTO htcjobs VALUES ('zero', '884426.0', 1, '/tmp/x', 'u')",
        )
        .unwrap();
        drop(old);
        Database::open(&path).unwrap();
        let kept: String = Connection::open(&path)
            .unwrap()
            .query_row("SELECT jobId FROM htcjobs", [], |r| r.get(0))
            .unwrap();
        assert_eq!(kept, "884426.0");
    }

    #[tokio::test]
    async fn jobs_of_the_release_before_results_were_signed_are_told_from_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let mut old = Connection::open(&path).unwrap();
        Migrations::from_slice(&STEPS[..3]).to_latest(&mut old).unwrap();
        old.execute_batch(
            "INSERT INTO htcjobs (htcjobName, jobId, status, tempDir, uid, idx, attempt, submission)
             VALUES ('x', '1.0', 1, '/data', 'u', 0, 0, 0)",
        )
        .unwrap();
        drop(old);
        let database = Database::open(&path).unwrap();
        let jobs = database.call(|t| {
            let [old] = &super::super::jobs::load(t)?[..] else { panic!("one job") };
            let new = StoredJob { key: "u/1/0/0".parse().unwrap(), signs_result: true, ..old.clone() };
            super::super::jobs::insert(t, &new)?;
            super::super::jobs::load(t)
        });
        let signs: Vec<bool> = jobs.await.unwrap().iter().map(|job| job.signs_result).collect();
        assert_eq!(signs, [false, true]);
    }

    #[tokio::test]
    async fn its_files_are_for_us_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("x.db")).unwrap();
        database.call(|t| Ok(t.execute("CREATE TABLE x (n integer)", [])?)).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
        assert!(files.len() > 1, "{files:?}");
        for file in files {
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file:?}");
        }
    }

    #[tokio::test]
    async fn a_request_that_fails_leaves_nothing_and_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("x.db")).unwrap();
        let put = |name: &'static str| {
            database.call(move |t| Ok(t.execute("INSERT INTO facts VALUES (?1, '')", [name])?))
        };
        let bad = database.call(|t| {
            t.execute("INSERT INTO facts VALUES ('half', '')", [])?;
            Ok(t.execute("INSERT INTO nowhere VALUES (1)", [])?)
        });
        let (a, bad, b) = tokio::join!(put("a"), bad, put("b"));
        assert!(a.is_ok() && b.is_ok() && bad.is_err());
        let names = database.call(|t| {
            let mut rows = t.prepare("SELECT name FROM facts ORDER BY name")?;
            Ok(rows.query_map([], |r| r.get(0))?.collect::<Result<Vec<String>, _>>()?)
        });
        assert_eq!(names.await.unwrap(), ["a", "b"]);
    }
}
