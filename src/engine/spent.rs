//! A workload of which nothing will be submitted any more keeps only what its status needs. What it brought, Secrets
//! among it, goes from memory, store and folder with its last end, and not only when it is deleted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use htc_core::workload::Workload;
use htc_core::workload::names::Uid;
use htc_core::workload::spec;

use super::Inner;
use super::board::{Board, Entry};
use super::stage::Stage;
use crate::crash_point;
use crate::store::database::StoreError;
use crate::store::wishes::{self, Told};

/// What is left of workloads.
type Left = HashMap<Uid, Arc<Workload>>;

impl Inner {
    /// Forgets what those of these workloads brought that are over.
    pub(super) async fn forget_spent(&self, uids: impl IntoIterator<Item = Uid>) -> Result<(), StoreError> {
        let left: Left = {
            let board = self.board();
            uids.into_iter().filter_map(|uid| Some((uid.clone(), left_of(&board, &uid)?))).collect()
        };
        if left.is_empty() {
            return Ok(());
        }
        let told =
            left.iter().map(|(uid, workload)| Told::new(uid, workload)).collect::<Result<Vec<_>, _>>()?;
        self.store.call(move |t| told.iter().try_for_each(|told| wishes::tell_only(t, told))).await?;
        crash_point!("spent-forgotten");
        let folders: Vec<_> = left.keys().map(|uid| self.workload_folder(uid)).collect();
        {
            let mut board = self.board();
            for (uid, workload) in left {
                if let Some(entry) = board.entries.get_mut(&uid).filter(|entry| is_spent(entry)) {
                    entry.workload = Some(workload);
                }
            }
        }
        // Submissions that came to nothing have left theirs, and so has a crash.
        tokio::task::spawn_blocking(move || folders.iter().for_each(|folder| remove_descriptions(folder)));
        Ok(())
    }

    /// The same for all that a life before this one has left.
    pub(super) async fn forget_all_spent(&self) -> Result<(), StoreError> {
        let uids: Vec<Uid> = self.board().entries.keys().cloned().collect();
        self.forget_spent(uids).await
    }
}

fn left_of(board: &Board, uid: &Uid) -> Option<Arc<Workload>> {
    let entry = board.entries.get(uid).filter(|entry| is_spent(entry))?;
    let workload = entry.workload.as_deref()?;
    let told = workload.told_only();
    (told != *workload).then(|| Arc::new(told))
}

/// Whether nothing of it will be submitted any more.
fn is_spent(entry: &Entry) -> bool {
    // What cannot be read stays as it is.
    entry.intended == 0
        && entry.unreadable.is_none()
        && match &entry.stage {
            Stage::Run(run) => run.waiting.is_empty() && entry.jobs.values().all(|job| job.end().is_some()),
            // What is being submitted may still be written down.
            Stage::Gone(_) => entry.jobs.values().all(|job| job.intent.is_none()),
        }
}

/// Removes each `job.json` of a workload; outputs have another name.
fn remove_descriptions(folder: &Path) {
    let Ok(jobs) = std::fs::read_dir(folder) else { return };
    for job in jobs.flatten() {
        // That it is not there is the rule.
        let _ = std::fs::remove_file(job.path().join(spec::FILE));
    }
}
