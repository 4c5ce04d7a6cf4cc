//! The wish that a workload runs. Durable when the call returns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use htc_core::workload::Workload;
use htc_core::workload::names::{JobKey, Uid};
use jiff::Timestamp;
use thiserror::Error;

use super::board::{Board, Entry, Job};
use super::rest::Rested;
use super::settled::{Homes, Settled};
use super::stage::Stage;
use super::trouble::FULL;
use super::{Engine, Inner};
use crate::condor::riddle::Riddle;
use crate::condor::submit::Terms;
use crate::crash_point;
use crate::limits::SUBMIT_DEADLINE;
use crate::store::database::{StoreError, now};
use crate::store::jobs::{self, StoredJob};
use crate::store::wishes::{self, NewWish, StoredWish, Waiting, Want};

/// The wish that a workload runs.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The caller's id for it, unique for ever.
    pub uid: Uid,
    /// Which door wishes.
    pub door: &'static str,
    /// The outside object's namespace; empty where there is none.
    pub namespace: String,
    /// The outside object's name.
    pub name: String,
    /// What shall run.
    pub workload: Workload,
    /// The caller knows that this wish may have been made before. When our store does not know it,
    /// the store was lost, and a tool of the earlier life may still be at work.
    pub seen_before: bool,
    /// Indices whose end the caller has already made known; they are not run again. What is no index is left out.
    pub settled: Vec<Settled>,
    /// To whom it belongs among the callers of its door; to all of them without.
    pub owner: Option<String>,
}

/// Why a wish was not taken.
#[derive(Debug, Error)]
pub enum WishError {
    /// The workload of this UID was deleted; UIDs are not used twice.
    #[error("the workload {0} has been deleted")]
    Deleted(Uid),
    /// The UID belongs to a workload of another door.
    #[error("the UID {0} belongs to a workload of {1}")]
    Taken(Uid, String),
    /// There is no room in the data folder for what is new.
    #[error("{FULL}")]
    Full,
    /// It could not be made durable.
    #[error("failed to keep the wish: {0}")]
    Store(#[from] StoreError),
}

impl Engine {
    /// Wishes that a workload runs. To wish the same again changes nothing.
    pub async fn run(&self, wish: Wish) -> Result<(), WishError> {
        let inner = &self.0;
        if inner.board().has(&wish)? {
            return Ok(());
        }
        if inner.store.is_full() {
            return Err(WishError::Full);
        }
        let uid = wish.uid.clone();
        let seen_before = wish.seen_before || inner.may_have_run(&uid).await;
        let homes = inner.homes(&uid, &wish.settled).await;
        let (mut entry, stored) = accept(inner, Wish { seen_before, ..wish }, &homes);
        let waiting = entry.waiting().to_vec();
        let is_settled = waiting.is_empty();
        let ended: Vec<StoredJob> = entry.jobs.values().map(|job| stored_job(&entry.name, job)).collect();
        let stored = NewWish::new(stored)?;
        inner
            .store
            .call(move |t| {
                wishes::insert(t, &stored, &waiting)?;
                ended.iter().try_for_each(|job| jobs::insert(t, job))
            })
            .await?;
        crash_point!("wish-durable");
        let adopts = {
            let mut board = inner.board();
            // Again: a look that did not know of this wish yet may have found jobs of it meanwhile. Nor does
            // a look that began before now prove that there are none.
            let adopts = seen_before || board.strangers.contains(&uid);
            if adopts {
                entry.run_mut().into_iter().for_each(|run| run.unproven_since = Some(Instant::now()));
                entry.not_before = entry.not_before.max(inner.earliest());
            }
            board.entries.entry(uid.clone()).or_insert(entry);
            adopts
        };
        if is_settled {
            inner.forget_spent([uid.clone()]).await?;
        }
        inner.metrics.wishes.inc();
        inner.submit_bell.notify_one();
        if adopts {
            // Jobs of an earlier life may be in the queue: the next look adopts them.
            inner.look_bell.notify_one();
        }
        inner.ring([uid]);
        Ok(())
    }

    /// The caller's outside has taken the ends of these indices: their jobs may leave the queue.
    pub async fn published(&self, uid: &Uid, indices: &[u32]) -> Result<(), StoreError> {
        let inner = &self.0;
        let keys: Vec<JobKey> = {
            let board = inner.board();
            let Some(entry) = board.entries.get(uid) else { return Ok(()) };
            let ended = |index| entry.jobs.get(index).filter(|job| job.end().is_some() && !job.published);
            indices.iter().filter_map(ended).map(|job| job.key.clone()).collect()
        };
        if keys.is_empty() {
            return Ok(());
        }
        let durable = keys.clone();
        inner.store.call(move |t| durable.iter().try_for_each(|key| jobs::published(t, key))).await?;
        crash_point!("published-durable");
        let mut board = inner.board();
        for key in &keys {
            if let Some(job) = board.job_mut(key) {
                job.published = true;
            }
        }
        drop(board);
        inner.look_bell.notify_one();
        Ok(())
    }
}

impl Board {
    /// Whether this very wish is known. What another door wishes under its UID is not it.
    fn has(&self, wish: &Wish) -> Result<bool, WishError> {
        let Some(want) = self.entries.want(&wish.uid) else { return Ok(false) };
        match self.entries.door(&wish.uid).filter(|its| *its != wish.door) {
            Some(other) => Err(WishError::Taken(wish.uid.clone(), other.to_owned())),
            None if want == Want::Run => Ok(true),
            None => Err(WishError::Deleted(wish.uid.clone())),
        }
    }
}

impl Inner {
    /// Whether an earlier life, whose store was lost, may have wished this: jobs of it are in the queue, or
    /// a tool of that life may still be at work, since there are jobs of others, or files of its own.
    async fn may_have_run(&self, uid: &Uid) -> bool {
        let is_young = now() < self.earliest();
        let (is_known, others) = {
            let board = self.board();
            let unknown = board.riddles.iter().any(|riddle| is_nobodys(&board, riddle));
            (board.strangers.contains(uid), !board.strangers.is_empty() || unknown)
        };
        // They are written before the tool starts, and go with the wish.
        let has_files = async || tokio::fs::try_exists(self.workload_folder(uid)).await.unwrap_or(true);
        is_known || (is_young && (others || has_files().await))
    }

    /// When no tool of an earlier life is at work any more, epoch seconds.
    fn earliest(&self) -> i64 {
        self.born + SUBMIT_DEADLINE.as_secs().cast_signed()
    }
}

/// Whether an ad that cannot be judged does not even say by its id whose it is.
fn is_nobodys(board: &Board, riddle: &Riddle) -> bool {
    let mut jobs = board.jobs();
    riddle.uid.is_none() && !jobs.any(|job| riddle.job.is_some() && job.progress.job() == riddle.job)
}

fn accept(inner: &Inner, wish: Wish, homes: &Homes) -> (Entry, StoredWish) {
    // No `..`: a forgotten field would be lost with the wish.
    let Wish { uid, door, namespace, name, workload, seen_before, settled, owner } = wish;
    let indices = workload.indices;
    let stored = StoredWish {
        uid: uid.clone(),
        door: door.to_owned(),
        namespace,
        name,
        workload: Some(Arc::new(workload)),
        want: Want::Run,
        not_before: if seen_before { inner.earliest() } else { now() },
        inherited: false,
        collected: None,
        owner,
    };
    let all = Waiting { first: 0, last: indices.saturating_sub(1), attempt: 0, submission: 0 };
    let mut entry = Entry::of(&stored, if indices > 0 { vec![all] } else { Vec::new() });
    for one in settled {
        if let Some(taken) = inner.ended_outside(&uid, &mut entry, one, homes) {
            entry.jobs.insert(taken.job.key.index, taken.job);
        }
    }
    (entry, stored)
}

/// The row of a job of the board.
pub(super) fn stored_job(name: &str, job: &Job) -> StoredJob {
    StoredJob {
        key: job.key.clone(),
        name: name.to_owned(),
        job: job.progress.job(),
        folder: job.folder.clone(),
        intent: job.intent,
        end: job.end().cloned(),
        files: job.files,
        published: job.published,
        signs_result: job.signs_result,
    }
}

impl Entry {
    /// The entry of a wish that has no jobs yet.
    pub(super) fn of(wish: &StoredWish, waiting: Vec<Waiting>) -> Entry {
        let StoredWish {
            uid: _,
            door,
            namespace,
            name,
            workload,
            want,
            not_before,
            inherited,
            collected,
            owner,
        } = wish;
        let shape = workload.as_ref().map(|workload| Terms::from(&**workload).shape_id());
        Entry {
            door: door.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
            workload: workload.clone(),
            stage: Stage::of(*want, waiting, shape),
            not_before: *not_before,
            intended: 0,
            inherited: *inherited,
            collected: collected.and_then(|at| Timestamp::from_second(at).ok()),
            owner: owner.clone(),
            jobs: BTreeMap::new(),
            rested: Rested::default(),
            worker_faults: BTreeMap::new(),
            unreadable: None,
        }
    }
}

#[cfg(test)]
impl Entry {
    /// One of which nothing is known but what waits.
    pub(super) fn bare(waiting: &[Waiting]) -> Entry {
        let wish = StoredWish {
            uid: "u".parse().expect("a UID"),
            door: "test".to_owned(),
            namespace: String::new(),
            name: "x".to_owned(),
            workload: None,
            want: Want::Run,
            not_before: 0,
            inherited: false,
            collected: None,
            owner: None,
        };
        Entry::of(&wish, waiting.to_vec())
    }
}
