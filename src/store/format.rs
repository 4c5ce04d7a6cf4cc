//! The format of the database file: numbered steps that only add, so that whatever an earlier release has left goes on.

use std::error::Error;
use std::path::Path;

use rusqlite::Connection;
use rusqlite_migration::{M, Migrations};

use super::database::StoreError;
use super::predecessor;

const STEPS: &[M<'static>] = &[
    M::up(include_str!("../../migrations/01-first.sql")),
    M::up(include_str!("../../migrations/02-inherited.sql")),
    M::up(include_str!("../../migrations/03-collected.sql")),
    M::up(include_str!("../../migrations/04-signed-results.sql")),
    M::up(include_str!("../../migrations/05-owner.sql")),
    M::up(include_str!("../../migrations/06-submitting.sql")),
    M::up(include_str!("../../migrations/07-tombstones.sql")),
    M::up(include_str!("../../migrations/11-clusters.sql")),
    M::up(include_str!("../../migrations/12-worker-faults.sql")),
    M::up(include_str!("../../migrations/13-files.sql")),
];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// Releases of this format and before did not overwrite what they deleted.
const NOT_OVERWRITTEN: i64 = 3;

/// Brings a file of this format to the newest one.
pub(super) fn bring_up(connection: &mut Connection, found: i64) -> Result<(), Box<dyn Error + Send + Sync>> {
    if found <= NOT_OVERWRITTEN {
        leave_out_deleted(connection);
    }
    predecessor::complete(connection)?;
    MIGRATIONS.to_latest(connection)?;
    Ok(())
}

/// Writes the file anew, without what was deleted. Before the migrations, so that it is done again where it is
/// interrupted; without it nothing else is worse.
fn leave_out_deleted(connection: &Connection) {
    let written = connection.execute_batch("VACUUM");
    // What a pragma says is a row.
    let emptied =
        written.and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
    if let Err(why) = emptied {
        tracing::warn!(%why, "what an earlier release has deleted may still be in the file of the database");
    }
}

/// The format of a file, unless a newer release wrote it: how many of our migrations it has seen.
pub(super) fn refuse_newer(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let path = path.display().to_string();
    let found: i64 = match connection.pragma_query_value(None, "user_version", |row| row.get(0)) {
        Ok(found) => found,
        Err(why) => return Err(StoreError::Open { path, source: why.into() }),
    };
    match found > known {
        true => Err(StoreError::Newer { path, found, known }),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::database::Database;
    use super::super::jobs::{self, StoredJob};
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
            let all = || {
                let mut all = Vec::new();
                jobs::each(t, &mut Vec::new(), |job| {
                    all.push(job);
                    Ok(())
                })?;
                Ok::<Vec<StoredJob>, StoreError>(all)
            };
            let [old] = &all()?[..] else { panic!("one job") };
            let new = StoredJob { key: "u/1/0/0".parse().unwrap(), signs_result: true, ..old.clone() };
            jobs::insert(t, &new)?;
            all()
        });
        let signs: Vec<bool> = jobs.await.unwrap().iter().map(|job| job.signs_result).collect();
        assert_eq!(signs, [false, true]);
    }

    #[test]
    fn what_an_earlier_release_deleted_is_not_in_the_file_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let mut old = Connection::open(&path).unwrap();
        old.pragma_update(None, "secure_delete", false).unwrap();
        Migrations::from_slice(&STEPS[..3]).to_latest(&mut old).unwrap();
        old.execute_batch("INSERT INTO facts VALUES ('x', 'correct-horse'); DELETE FROM facts").unwrap();
        drop(old);
        let is_there = || std::fs::read(&path).unwrap().windows(13).any(|bytes| bytes == b"correct-horse");
        assert!(is_there());
        let _database = Database::open(&path).unwrap();
        assert!(!is_there());
    }

    #[test]
    fn a_file_that_was_left_between_two_steps_goes_on() {
        for steps in 1..=STEPS.len() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            let mut connection = Connection::open(&path).unwrap();
            Migrations::from_slice(&STEPS[..steps]).to_latest(&mut connection).unwrap();
            drop(connection);
            Database::open(&path).unwrap();
            let connection = Connection::open(&path).unwrap();
            assert_eq!(refuse_newer(&connection, &path).unwrap(), i64::try_from(STEPS.len()).unwrap());
        }
    }

    #[test]
    fn a_file_of_a_newer_release_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        drop(Database::open(&path).unwrap());
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 1_000).unwrap();
        let told = Database::open(&path).map(drop).unwrap_err().to_string();
        assert!(told.contains("newer release") && told.contains("restore the copy"), "{told}");
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 1_000);
    }
}
