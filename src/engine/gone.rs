//! The wish that nothing of a workload is left: what it waits for, and the way out when that does not come.

use std::time::{Duration, Instant};

use htc_core::workload::names::Uid;
use jiff::Timestamp;

use super::Engine;
use super::board::{Board, Entry};
use super::stage::{Gone, Stage};
use crate::limits::{INTENT_DEADLINE, SUBMIT_DEADLINE, TROUBLE_MAX};
use crate::store::database::{StoreError, now};
use crate::store::wishes::{self, NewWish, StoredWish, Want};

/// What a workload that shall be gone still waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// An answer of the pool, which has given none since then and says why.
    Pool {
        /// Since when.
        since: Timestamp,
        /// What the tool said first.
        why: String,
    },
    /// That a person says whether the queue that answers is ours: absence there proves nothing.
    Mismatch {
        /// What differs, and what to do.
        why: String,
    },
    /// The end of a `condor_submit` that may still commit jobs of it.
    Submission {
        /// Then it is dead at the latest.
        until: Timestamp,
    },
    /// That so many jobs that have vanished without our leave come back, or that HTCondor's history shows how
    /// they ended: they may still run.
    Missing {
        /// How many.
        jobs: usize,
    },
    /// That so many jobs leave the queue; with none, a complete answer that shows it.
    Removal {
        /// How many the last answer had.
        jobs: usize,
    },
}

impl Engine {
    /// Wishes that nothing of a workload is left, known or not. [`Engine::view`] says when it is so.
    pub async fn gone(&self, uid: &Uid, door: &'static str) -> Result<(), StoreError> {
        self.gone_later(uid, door, Duration::ZERO).await
    }

    /// The same; what has come home of it stays for so long, for those who still read it. A new life does not
    /// wait.
    pub async fn gone_later(&self, uid: &Uid, door: &'static str, kept: Duration) -> Result<(), StoreError> {
        let inner = &self.0;
        let known = {
            let board = inner.board();
            // What another door has under this UID is not the caller's to take away.
            if board.entries.door(uid).is_some_and(|its| its != door) {
                return Ok(());
            }
            board.entries.want(uid)
        };
        if matches!(known, Some(Want::Gone | Want::Tombstone)) {
            return Ok(());
        }
        let stranger = known.is_none().then(|| StoredWish {
            uid: uid.clone(),
            door: door.to_owned(),
            namespace: String::new(),
            name: String::new(),
            workload: None,
            want: Want::Gone,
            not_before: inner.born + SUBMIT_DEADLINE.as_secs().cast_signed(),
            inherited: false,
            collected: None,
            owner: None,
        });
        let new_entry = stranger.as_ref().map(|wish| Entry::of(wish, Vec::new()));
        let stranger = stranger.map(NewWish::new).transpose()?;
        let id = uid.clone();
        inner
            .store
            .call(move |t| match &stranger {
                Some(wish) => wishes::insert(t, wish, &[]),
                None => wishes::want_gone(t, &id),
            })
            .await?;
        {
            let mut board = inner.board();
            if let Some(entry) = new_entry {
                board.entries.entry(uid.clone()).or_insert(entry);
            }
            if let Some(entry) = board.entries.get_mut(uid) {
                let kept = if entry.has_outputs() { kept } else { Duration::ZERO };
                entry.stage = Stage::Gone(Gone::until(Instant::now() + kept));
            }
        }
        inner.forget_spent([uid.clone()]).await?;
        inner.look_bell.notify_one();
        Ok(())
    }

    /// Wishes the same without waiting for it: the workload is a tombstone when this returns, and what
    /// of it is or comes in the queue is removed when a look finds it there.
    pub async fn abandon(&self, uid: &Uid, door: &'static str) -> Result<(), StoreError> {
        self.gone(uid, door).await?;
        if self.awaited(uid).is_some() {
            self.0.bury(uid).await?;
            self.0.look_bell.notify_one();
        }
        Ok(())
    }

    /// What a workload that shall be gone waits for; nothing when it is gone, or shall not be.
    pub fn awaited(&self, uid: &Uid) -> Option<Awaited> {
        let board = self.0.board();
        let entry = board.entries.get(uid)?;
        Some(awaited(&board, entry, entry.gone()?, now()))
    }
}

fn awaited(board: &Board, entry: &Entry, gone: &Gone, now: i64) -> Awaited {
    if let Some(trouble) = &board.trouble {
        let why = trouble.why.chars().take(TROUBLE_MAX).collect();
        return Awaited::Pool { since: trouble.since, why };
    }
    if let Some(mismatch) = board.mismatch() {
        return Awaited::Mismatch { why: mismatch.why.clone() };
    }
    let intents = entry.jobs.values().filter_map(|job| board.intents.get(&job.intent?));
    let alive = intents.filter(|intent| intent.dead.is_none()).map(|intent| intent.deadline);
    let coming = (entry.intended > 0).then_some(now + INTENT_DEADLINE.as_secs().cast_signed());
    let earlier_life = (entry.not_before > now).then_some(entry.not_before);
    match alive.chain(coming).chain(earlier_life).max() {
        Some(until) => Awaited::Submission { until: Timestamp::from_second(until).unwrap_or_default() },
        None => match entry.jobs.values().filter(|job| job.is_expected() && job.is_missing()).count() {
            0 => Awaited::Removal { jobs: gone.in_queue },
            jobs => Awaited::Missing { jobs },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::board::{Intent, Job, ToolEnd, Trouble, Witness};
    use htc_core::workload::progress::Progress;

    /// The board of a workload that shall be gone, with one job of submission 1.
    fn board(dead: Option<(Instant, ToolEnd)>) -> (Board, Uid) {
        let uid: Uid = "u".parse().unwrap();
        let wish = StoredWish {
            uid: uid.clone(),
            door: "test".into(),
            namespace: String::new(),
            name: String::new(),
            workload: None,
            want: Want::Gone,
            not_before: 0,
            inherited: false,
            collected: None,
            owner: None,
        };
        let mut entry = Entry::of(&wish, vec![]);
        let key = "u/0/0/0".parse().unwrap();
        let job = Job::new(key, String::new(), Progress::Submitting { job: None }, Some(1));
        entry.jobs.insert(0, Box::new(job));
        entry.stage = Stage::Gone(Gone { in_queue: 3, ..Gone::until(Instant::now()) });
        let mut board = Board::default();
        let witness = Witness::Submitter;
        board.intents.insert(1, Intent { created: 1_000, deadline: 1_180, rows: 1, witness, dead });
        board.entries.insert(uid.clone(), entry);
        (board, uid)
    }

    fn awaited(board: &Board, uid: &Uid, now: i64) -> Awaited {
        let entry = &board.entries[uid];
        super::awaited(board, entry, entry.gone().unwrap(), now)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_tool_that_lives_is_waited_for_until_its_deadline() {
        let (board, uid) = board(None);
        let until = at(1_180);
        assert_eq!(awaited(&board, &uid, 1_001), Awaited::Submission { until });
    }

    #[test]
    fn once_the_tool_is_dead_only_the_jobs_in_the_queue_count() {
        let (board, uid) = board(Some((Instant::now(), ToolEnd::Unknown)));
        assert_eq!(awaited(&board, &uid, 1_001), Awaited::Removal { jobs: 3 });
    }

    #[test]
    fn a_tool_of_a_life_before_this_store_may_still_be_at_work() {
        let (mut board, uid) = board(Some((Instant::now(), ToolEnd::Unknown)));
        board.entries.get_mut(&uid).unwrap().not_before = 2_000;
        assert_eq!(awaited(&board, &uid, 1_001), Awaited::Submission { until: at(2_000) });
        assert_eq!(awaited(&board, &uid, 2_000), Awaited::Removal { jobs: 3 });
    }

    #[test]
    fn a_job_that_has_vanished_is_awaited_until_it_is_known_how_it_ended() {
        let (mut board, uid) = board(Some((Instant::now(), ToolEnd::Unknown)));
        let job = board.entries.get_mut(&uid).unwrap().jobs.get_mut(&0).unwrap();
        job.progress = Progress::Queued { job: "7.0".parse().unwrap() };
        job.miss(Instant::now());
        assert_eq!(awaited(&board, &uid, 1_001), Awaited::Missing { jobs: 1 });
    }

    #[test]
    fn a_pool_that_does_not_answer_comes_before_everything_else() {
        let (mut board, uid) = board(None);
        board.trouble = Some(Trouble { since: at(900), why: "x".repeat(2_000) });
        let why = "x".repeat(TROUBLE_MAX);
        assert_eq!(awaited(&board, &uid, 1_001), Awaited::Pool { since: at(900), why });
    }
}
