//! Rebuilds the board from the store.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::Progress;
use htc_core::workload::spec;

use super::board::{Board, Entry, Files, InQueue, Intent, Job, Witness};
use super::boot::Boot;
use super::entries::Tombstone;
use super::files;
use crate::limits::INTENT_DEADLINE;
use crate::store::clock::{self, now};
use crate::store::database::{Database, StoreError, Transaction};
use crate::store::intents::{NewIntent, StoredIntent};
use crate::store::jobs::StoredJob;
use crate::store::wishes::Want;
use crate::store::{facts, inbox, intents, jobs, refused, wishes, worker_faults};

/// The board as the last life left it, and when the store was made. What cannot be read stops nothing: it is told,
/// and its workload is not submitted.
pub async fn load(store: &Database, data: &Path, boot: &Boot) -> Result<(Board, i64), StoreError> {
    let (data, boot) = (data.to_owned(), boot.clone());
    // Row by row: most are of jobs that rest, of which little is kept.
    store.call(move |t| read(t, &data, &boot)).await
}

fn read(t: &Transaction<'_>, data: &Path, boot: &Boot) -> Result<(Board, i64), StoreError> {
    clock::resume(t)?;
    let mut unreadable = Vec::new();
    // A clock that was set back must not have us wait until it is there again.
    let born = facts::born(t, &mut unreadable)?.min(now());
    let highest_cluster = facts::cluster(t, &mut unreadable)?;
    let clusters_unknown = facts::clusters_are_unknown(t)?;
    let mut board = Board { highest_cluster, clusters_unknown, ..Board::default() };
    let latest = now() + INTENT_DEADLINE.as_secs().cast_signed();
    for (mut wish, waiting) in wishes::load(t, &mut unreadable)? {
        if wish.want == Want::Tombstone {
            board.entries.insert_tombstone(wish.uid, Tombstone::of(wish.door, wish.owner));
            continue;
        }
        wish.not_before = wish.not_before.min(latest);
        board.entries.insert(wish.uid.clone(), Entry::of(&wish, waiting));
    }
    for StoredIntent { id, intent } in intents::load(t, &mut unreadable)? {
        board.intents.insert(id, of_earlier_life(&intent, boot));
    }
    let folder = |key: &JobKey| files::job_folder(data, key);
    jobs::each(t, &mut unreadable, |stored| {
        let Some(entry) = board.entries.get_mut(&stored.key.uid) else { return Ok(()) };
        let (inherited, own_folder) = (entry.inherited, folder(&stored.key));
        let mut job = job(stored);
        if inherited {
            // They stay where HTCondor has them.
            job.files = Files::GivenUp;
        } else {
            // The data folder may have been moved since.
            job.folder = own_folder;
        }
        if !job.rests() || entry.keeps_reports() {
            job.report = inbox::get(t, &job.key)?.map(|report| Arc::new(report.bounded()));
        }
        entry.add(job, folder);
        Ok(())
    })?;
    for (uid, index, since) in refused::load(t, &mut unreadable)? {
        if let Some(run) = board.entries.get_mut(&uid).and_then(Entry::run_mut) {
            run.doubts.get_or_insert_default().remember(index, since, Instant::now());
        }
    }
    for (uid, index, faults) in worker_faults::load(t, &mut unreadable)? {
        if let Some(entry) = board.entries.get_mut(&uid) {
            entry.remember_faults(index, faults);
        }
    }
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
        // What cannot be read is not known to be over.
        for (uid, entry) in board.entries.iter().filter(|(_, entry)| entry.unreadable.is_none()) {
            tidy_jobs(&data, uid, entry);
        }
        for uid in board.entries.buried() {
            let folder = files::workload_folder(&data, uid);
            note("a deleted workload", &folder, files::remove_folder(&folder));
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
fn tidy_jobs(data: &Path, uid: &Uid, entry: &Entry) {
    let Ok(folders) = std::fs::read_dir(files::workload_folder(data, uid)) else { return };
    // Whether the submission of each is settled.
    let live = entry.jobs.values().map(|job| (job.folder.clone().into(), job.intent.is_none()));
    let rested = entry.rested.iter().map(|rest| (files::job_folder(data, &rest.key(uid)).into(), true));
    let current: HashMap<PathBuf, bool> = live.chain(rested).collect();
    for folder in folders.flatten().map(|folder| folder.path()) {
        let description = folder.join(spec::FILE);
        match current.get(&*folder) {
            Some(true) if description.exists() => {
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
    let StoredJob { key, name: _, job, folder, intent, end, files, published, signs_result } = stored;
    let progress = match (end, job, intent) {
        (Some(end), job, _) => Progress::Ended { job, end },
        (None, Some(job), None) => Progress::Queued { job },
        (None, job, _) => Progress::Submitting { job },
    };
    let job = Job { files, published, signs_result, ..Job::new(key, folder, progress, intent) };
    // If it is in the queue after all, its ad wakes it.
    let has_left = job.end().is_some() && published && !job.wants_files();
    Job { in_queue: if has_left { InQueue::Left } else { InQueue::Yes }, ..job }
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
