//! Rebuilds the board from the store.

use std::path::Path;
use std::sync::Arc;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::Progress;

use super::board::{Board, Entry, Intent, Job};
use super::entries::Tombstone;
use super::files;
use crate::limits::SUBMIT_DEADLINE;
use crate::store::clock::{self, now};
use crate::store::database::{Database, StoreError, Transaction};
use crate::store::intents::StoredIntent;
use crate::store::jobs::StoredJob;
use crate::store::wishes::Want;
use crate::store::{inbox, intents, jobs, wishes};

/// The board as the last life left it, and when the store was made. What cannot be read stops nothing: it is told,
/// and its workload is not submitted.
pub async fn load(store: &Database, data: &Path) -> Result<(Board, i64), StoreError> {
    let data = data.to_owned();
    // Row by row: most are of jobs that rest, of which little is kept.
    store.call(move |t| read(t, &data)).await
}

fn read(t: &Transaction<'_>, data: &Path) -> Result<(Board, i64), StoreError> {
    clock::resume(t)?;
    let mut board = Board::default();
    let mut unreadable = Vec::new();
    // A clock that was set back must not have us wait until it is there again.
    let born = wishes::born(t, &mut unreadable)?.min(now());
    let latest = now() + SUBMIT_DEADLINE.as_secs().cast_signed();
    for (mut wish, waiting) in wishes::load(t, &mut unreadable)? {
        if wish.want == Want::Tombstone {
            board.entries.insert_tombstone(wish.uid, Tombstone::of(wish.door));
            continue;
        }
        wish.not_before = wish.not_before.min(latest);
        board.entries.insert(wish.uid.clone(), Entry::of(&wish, waiting));
    }
    for StoredIntent { id, created } in intents::load(t, &mut unreadable)? {
        board.intents.insert(id, Intent { created, rows: 0, at_work: false, dead: None });
    }
    let folder = |key: &JobKey| files::job_folder(data, key);
    jobs::each(t, &mut unreadable, |stored| {
        let Some(entry) = board.entries.get_mut(&stored.key.uid) else { return Ok(()) };
        let mut job = Job { forsaken: entry.inherited, ..job(stored) };
        if !job.rests() || entry.keeps_reports() {
            job.report = inbox::get(t, &job.key)?.map(Arc::new);
        }
        entry.add(job, folder);
        Ok(())
    })?;
    for row in &unreadable {
        let uid = row.uid.as_ref().map(Uid::as_str);
        tracing::error!(uid, why = row.why, "the database holds something unreadable; all else goes on");
        if let Some(entry) = row.uid.as_ref().and_then(|uid| board.entries.get_mut(uid)) {
            entry.unreadable.get_or_insert_with(|| row.why.clone());
        }
    }
    board.unreadable = unreadable;
    board.entries.rest(folder);
    Ok((board, born))
}

/// Removes what a crash left of submissions that are settled.
pub fn tidy(intents: &Path, board: &Board) {
    let Ok(folders) = std::fs::read_dir(intents) else { return };
    for folder in folders.flatten() {
        let id = folder.file_name().to_str().and_then(|name| name.parse().ok());
        if id.is_some_and(|id: i64| !board.intents.contains_key(&id))
            && let Err(why) = files::remove_folder(&folder.path())
        {
            tracing::warn!(%why, folder = %folder.path().display(), "failed to remove the rest of a submission");
        }
    }
}

fn job(stored: StoredJob) -> Job {
    let StoredJob { key, name: _, job, folder, intent, end, home, published } = stored;
    let progress = match (end, job, intent) {
        (Some(end), job, _) => Progress::Ended { job, end },
        (None, Some(job), None) => Progress::Queued { job },
        (None, job, _) => Progress::Submitting { job },
    };
    let job = Job { home, published, ..Job::new(key, folder, progress, intent) };
    // If it is in the queue after all, its ad wakes it.
    let left = job.end().is_some() && published && !job.wants_files();
    Job { left, ..job }
}
