//! Rebuilds the board from the store.

use std::path::Path;
use std::sync::Arc;

use htc_core::workload::progress::Progress;

use super::board::{Board, Entry, Intent, Job};
use super::files;
use crate::limits::TOMBSTONE_KEPT;
use crate::store::database::{Database, StoreError, now};
use crate::store::jobs::StoredJob;
use crate::store::{facts, inbox, intents, jobs, wishes};

/// The board as the last life left it, and when the store was made.
pub async fn load(store: &Database) -> Result<(Board, i64), StoreError> {
    let kept = TOMBSTONE_KEPT.as_secs().cast_signed();
    let (born, wishes, jobs, intents, reports, highest_cluster) = store
        .call(move |t| {
            wishes::prune(t, now() - kept)?;
            Ok((
                facts::born(t)?,
                wishes::load(t)?,
                jobs::load(t)?,
                intents::load(t)?,
                inbox::load(t)?,
                facts::cluster(t)?,
            ))
        })
        .await?;
    let mut board = Board { highest_cluster, ..Board::default() };
    for (wish, waiting) in wishes {
        board.entries.insert(wish.uid.clone(), Entry::of(&wish, waiting));
    }
    for intent in intents {
        board
            .intents
            .insert(intent.id, Intent { created: intent.created, rows: 0, at_work: false, dead: None });
    }
    for stored in jobs {
        let index = stored.key.index;
        if let Some(entry) = board.entries.get_mut(&stored.key.uid) {
            entry.jobs.insert(index, Box::new(Job { forsaken: entry.inherited, ..job(stored) }));
        }
    }
    for report in reports {
        if let Some(job) = board.job_mut(&report.key.clone()) {
            job.report = Some(Arc::new(report));
        }
    }
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
    Job { home, published, ..Job::new(key, folder, progress, intent) }
}
