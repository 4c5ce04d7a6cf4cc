//! The database file and its only writer: a thread that runs what is waiting in one transaction,
//! so that a hundred callers share one sync to disk.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

pub use rusqlite::Transaction;
use rusqlite::{Connection, TransactionBehavior};
use thiserror::Error;
use tokio::sync::oneshot;

pub use super::clock::now;
use super::format;
use crate::crash_point;

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
    /// A newer release has written the file.
    #[error(
        "the database {path} was written by a newer release of htc-operator (its format is {found}, this release \
         knows {known}); nothing was changed. Start the newer release again, or restore the copy of the data folder \
         that was made before the upgrade"
    )]
    Newer {
        /// The file.
        path: String,
        /// The file's format.
        found: i64,
        /// The newest format of this release.
        known: i64,
    },
    /// A statement failed; nothing of the request was kept.
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

/// Runs in the writer's transaction, or hears why there is none.
type Work = Box<dyn FnOnce(Result<&Transaction<'_>, String>) -> Finish + Send>;
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
        let found = format::refuse_newer(&connection, path)?;
        prepare(&mut connection, found).map_err(failed)?;
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
            let result = transaction.map_err(StoreError::Commit).and_then(|t| in_savepoint(t, work));
            Box::new(move |committed: Result<(), String>| {
                // Who was refused hears why; the others, whether they were kept.
                let result = result.and_then(|done| committed.map(|()| done).map_err(StoreError::Commit));
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

fn prepare(connection: &mut Connection, found: i64) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted or replaced may have been secret: it is overwritten, not only forgotten.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    format::bring_up(connection, found)
}

/// One request's failure must not undo the others of its group.
fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    transaction.execute_batch("SAVEPOINT request")?;
    let result = work(transaction);
    if result.is_ok() {
        transaction.execute_batch("RELEASE request")?;
    } else if !transaction.is_autocommit()
        && let Err(why) = transaction.execute_batch("ROLLBACK TO request; RELEASE request")
    {
        tracing::error!(%why, "failed to undo a request; all of its transaction are undone");
        transaction.execute_batch("ROLLBACK")?;
    }
    result
}

fn write(mut connection: Connection, queue: &mpsc::Receiver<Work>) {
    while let Some(first) = next(&connection, queue) {
        let mut group = std::iter::once(first).chain(queue.try_iter()).take(GROUP_MAX).peekable();
        while group.peek().is_some() {
            write_together(&mut connection, &mut group);
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

/// Runs requests in one transaction, up to the first that ends it: on a full disk SQLite rolls back the whole
/// transaction, not only the statement, and each request after that would commit by itself.
fn write_together(connection: &mut Connection, group: &mut impl Iterator<Item = Work>) {
    // At once to write: one that only reads at first is refused, and does not wait, where another life writes still.
    let transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(why) => {
            tracing::error!(%why, "the database takes no transaction");
            let why = why.to_string();
            return group.for_each(|work| work(Err(why.clone()))(Err(why.clone())));
        }
    };
    let mut finish: Vec<Finish> = Vec::new();
    for work in group {
        finish.push(work(Ok(&transaction)));
        if transaction.is_autocommit() {
            break;
        }
    }
    crash_point!("store-before-commit");
    let committed = match transaction.is_autocommit() {
        true => Err("SQLite has undone the whole transaction, as it does when the disk is full".to_owned()),
        false => transaction.commit().map_err(|why| why.to_string()),
    };
    crash_point!("store-after-commit");
    finish.into_iter().for_each(|f| f(committed.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[tokio::test]
    async fn on_a_full_disk_every_request_hears_whether_it_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("x.db")).unwrap();
        let put = |name: &'static str, size: usize| {
            let row = (name, "x".repeat(size));
            database.call(move |t| Ok(t.execute("INSERT INTO facts VALUES (?1, ?2)", row)?))
        };
        let limit = database.call(|t| {
            let pages: i64 = t.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            Ok(t.execute_batch(&format!("PRAGMA max_page_count = {}", pages + 8))?)
        });
        limit.await.unwrap();
        // As long as the first is at work, all that come join its group.
        let (go, wait) = mpsc::channel::<()>();
        let first = database.call(move |t| {
            let _ = wait.recv();
            Ok(t.execute("INSERT INTO facts VALUES ('first', '')", [])?)
        });
        let (before, large, after) = (put("before", 1), put("large", 1 << 20), put("after", 1));
        go.send(()).unwrap();
        let (first, before, large, after) = tokio::join!(first, before, large, after);
        let told = [("first", first), ("before", before), ("large", large), ("after", after)];
        let kept = told.iter().filter(|(_, told)| told.is_ok()).map(|(name, _)| (*name).to_owned());
        let kept: std::collections::BTreeSet<String> = kept.collect();
        let there = database.call(|t| {
            let mut rows = t.prepare("SELECT name FROM facts WHERE name <> 'born'")?;
            Ok(rows.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
        });
        assert_eq!(kept, there.await.unwrap(), "{told:?}");
        assert!(matches!(&told[2].1, Err(StoreError::Refused(why)) if why.to_string().contains("full")));
        // What was not kept can be asked for again, now that there is room.
        for (name, _) in told.into_iter().filter(|(_, told)| told.is_err()) {
            put(name, 1).await.unwrap();
        }
    }
}
