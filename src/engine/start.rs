//! Rebuilds the board from the store.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::progress::Progress;
use htc_core::workload::spec;

use super::board::{Board, Entry, Intent, Job, Witness};
use super::boot::Boot;
use super::files;
use crate::limits::{INTENT_DEADLINE, TOMBSTONE_KEPT};
use crate::store::database::{Database, StoreError, now};
use crate::store::intents::{NewIntent, StoredIntent};
use crate::store::jobs::StoredJob;
use crate::store::wishes::Want;
use crate::store::{facts, inbox, intents, jobs, refused, wishes};

/// The board as the last life left it, and when the store was made.
pub async fn load(store: &Database, boot: &Boot) -> Result<(Board, i64), StoreError> {
    let kept = TOMBSTONE_KEPT.as_secs().cast_signed();
    let (born, wishes, jobs, intents, reports, refused, highest_cluster) = store
        .call(move |t| {
            wishes::prune(t, now() - kept)?;
            let (born, wishes, jobs) = (facts::born(t)?, wishes::load(t)?, jobs::load(t)?);
            let (intents, reports) = (intents::load(t)?, inbox::load(t)?);
            Ok((born, wishes, jobs, intents, reports, refused::load(t)?, facts::cluster(t)?))
        })
        .await?;
    let mut board = Board { highest_cluster, ..Board::default() };
    for (wish, waiting) in wishes {
        board.entries.insert(wish.uid.clone(), Entry::of(&wish, waiting));
    }
    for StoredIntent { id, intent } in intents {
        board.intents.insert(id, of_earlier_life(&intent, boot));
    }
    for stored in jobs {
        let index = stored.key.index;
        if let Some(entry) = board.entries.get_mut(&stored.key.uid) {
            entry.jobs.insert(index, Box::new(Job { forsaken: entry.inherited, ..job(stored) }));
        }
    }
    for report in reports {
        if let Some(job) = board.job_mut(&report.key.clone()) {
            job.report = Some(Arc::new(report.bounded()));
        }
    }
    for (uid, index, since) in refused {
        if let Some(entry) = board.entries.get_mut(&uid).filter(|entry| entry.want == Want::Run) {
            entry.doubts.get_or_insert_default().remember(index, since, Instant::now());
        }
    }
    Ok((board, born))
}

/// A submission that an earlier life has begun. Its tool was started before this life began, so it is dead
/// when its whole time has passed since, whatever clocks say.
fn of_earlier_life(intent: &NewIntent, boot: &Boot) -> Intent {
    let NewIntent { created, deadline, boot: theirs, host } = intent;
    let deadline = deadline.unwrap_or(created + INTENT_DEADLINE.as_secs().cast_signed());
    let left = u64::try_from(deadline - now()).map_or(Duration::ZERO, Duration::from_secs);
    let until = Instant::now() + left.min(INTENT_DEADLINE);
    let witness = match (theirs, &boot.id) {
        (Some(theirs), Some(ours)) if theirs == ours => Witness::Lock,
        (Some(_), _) => Witness::Time(until),
        (None, _) => Witness::LockAndTime(until),
    };
    if witness != Witness::Lock && !left.is_zero() {
        let host = host.as_deref().unwrap_or("unknown");
        tracing::info!(
            host,
            seconds = left.as_secs(),
            "waiting for a condor_submit that was started elsewhere"
        );
    }
    Intent { created: *created, deadline, rows: 0, witness, dead: None }
}

/// Removes what crashes and earlier releases have left of submissions that are over: their folders, and
/// descriptions of jobs, which hold secrets. Before anything is submitted again.
pub async fn tidy(data: &Path, board: Board) -> Board {
    let data = data.to_owned();
    let work = move || {
        tidy_intents(&data.join("intents"), &board);
        for (uid, entry) in &board.entries {
            let folder = data.join("jobs").join(uid.as_str());
            match entry.want {
                Want::Tombstone => note("a deleted workload", &folder, files::remove_folder(&folder)),
                Want::Run | Want::Gone => tidy_jobs(&folder, entry),
            }
        }
        board
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(board) => board,
        Err(why) => std::panic::resume_unwind(why.into_panic()),
    }
}

fn tidy_intents(intents: &Path, board: &Board) {
    let Ok(folders) = std::fs::read_dir(intents) else { return };
    for folder in folders.flatten() {
        let id = folder.file_name().to_str().and_then(|name| name.parse().ok());
        if id.is_some_and(|id: i64| !board.intents.contains_key(&id)) {
            note("a submission", &folder.path(), files::remove_folder(&folder.path()));
        }
    }
}

/// A description is needed as long as the submission of its job is not settled. A folder in which nothing
/// else is, of a job that is not the current one of its index, is of a submission that came to nothing.
fn tidy_jobs(workload: &Path, entry: &Entry) {
    let Ok(folders) = std::fs::read_dir(workload) else { return };
    let current: HashMap<&Path, &Job> =
        entry.jobs.values().map(|job| (Path::new(&job.folder), &**job)).collect();
    for folder in folders.flatten().map(|folder| folder.path()) {
        let description = folder.join(spec::FILE);
        match current.get(&*folder) {
            Some(job) if job.intent.is_some() => {}
            Some(_) if description.exists() => {
                note("a settled submission", &description, std::fs::remove_file(&description));
            }
            Some(_) => {}
            // One that holds anything else is not removed, and that is right.
            None => drop(files::remove_unused(&folder)),
        }
    }
}

fn note(what: &str, path: &Path, removed: std::io::Result<()>) {
    if let Err(why) = removed {
        tracing::warn!(%why, path = %path.display(), "failed to remove what is left of {what}");
    }
}

fn job(stored: StoredJob) -> Job {
    let StoredJob { key, name: _, job, folder, intent, end, home, published, signs_result } = stored;
    let progress = match (end, job, intent) {
        (Some(end), job, _) => Progress::Ended { job, end },
        (None, Some(job), None) => Progress::Queued { job },
        (None, job, _) => Progress::Submitting { job },
    };
    Job { home, published, signs_result, ..Job::new(key, folder, progress, intent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(boot: Option<&str>, deadline: Option<i64>) -> NewIntent {
        NewIntent { created: now() - 10, deadline, boot: boot.map(str::to_owned), host: None }
    }

    fn witness(intent: &NewIntent) -> Witness {
        let here = Boot { id: Some("here".to_owned()), host: None };
        of_earlier_life(intent, &here).witness
    }

    #[test]
    fn a_lock_proves_something_only_in_the_boot_in_which_it_was_taken() {
        let soon = Some(now() + 100);
        assert_eq!(witness(&intent(Some("here"), soon)), Witness::Lock);
        assert!(
            matches!(witness(&intent(Some("elsewhere"), soon)), Witness::Time(at) if at > Instant::now())
        );
        assert!(matches!(witness(&intent(None, None)), Witness::LockAndTime(at) if at > Instant::now()));
        let unknown = of_earlier_life(&intent(Some("elsewhere"), soon), &Boot::default());
        assert!(matches!(unknown.witness, Witness::Time(_)));
    }

    #[test]
    fn a_clock_that_differs_makes_nobody_wait_longer_than_a_tool_can_live() {
        let (before, until) = (Instant::now(), Some(now() + 1_000_000));
        let Witness::Time(at) = witness(&intent(Some("elsewhere"), until)) else { panic!() };
        assert!(at <= before + INTENT_DEADLINE + Duration::from_secs(10));
        let Witness::Time(at) = witness(&intent(Some("elsewhere"), Some(now() - 1))) else { panic!() };
        assert!(at <= Instant::now());
    }
}
