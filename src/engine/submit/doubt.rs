//! What failed submissions have made doubtful of one workload: in which company its jobs may go, and
//! when. A job that fails alone waits alone, and holds up no other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::engine::board::Obstacle;
use crate::engine::look::tracker::{backoff, backoff_up_to};
use crate::limits::LONE_BACKOFF_MAX;

/// What is doubtful of a workload; one that is beyond doubt has none.
#[derive(Clone, Debug, Default)]
pub struct Doubts {
    /// A submission with jobs of it failed, and nobody knows which was meant: so many go together at
    /// most, and with none that is beyond doubt.
    pub at_most: Option<usize>,
    /// The indices that failed alone: they go alone.
    pub alone: BTreeMap<u32, Alone>,
    /// How often a job of it failed alone, one after the other.
    pub failures: u32,
    /// Nothing of it is submitted before.
    pub rests_until: Option<Instant>,
    /// Since when jobs of it are refused, without one that was taken in between; epoch seconds.
    refused_since: Option<i64>,
    /// How often in a row files of it did not reach the pool.
    unstaged: u32,
    /// What the tool said last.
    pub obstacle: Option<Obstacle>,
}

/// A job that failed alone.
#[derive(Clone, Debug)]
pub struct Alone {
    failures: u32,
    next: Instant,
    refused_since: Option<i64>,
}

/// A submission that failed.
pub struct Failed<'a> {
    /// The indices of this workload in it.
    pub indices: &'a [u32],
    /// How many jobs it had, of all workloads.
    pub rows: usize,
    /// Whether what it asked for was refused.
    pub refused: bool,
    /// What the tool said.
    pub why: &'a str,
    /// For so long a job that is refused is tried again.
    pub refused_after: Duration,
}

impl Doubts {
    /// A submission with these indices failed, and one of its jobs may be to blame.
    pub fn failed(&mut self, failed: &Failed<'_>, now: Instant, epoch: i64) {
        let Failed { indices, rows, refused, why, refused_after } = *failed;
        self.at_most = Some((rows / 2).max(1));
        if rows > 1 {
            return;
        }
        // Copies are alike: what was refused of one for long is not asked for as long for each.
        let since = self.refused_since.unwrap_or(epoch);
        self.refused_since = self.refused_since.or(refused.then_some(epoch));
        let mut over = false;
        for index in indices {
            let fresh = Alone { failures: 0, next: now, refused_since: None };
            let alone = self.alone.entry(*index).or_insert(fresh);
            alone.failures += 1;
            alone.next = now + backoff_up_to(LONE_BACKOFF_MAX, alone.failures);
            if refused {
                let since = *alone.refused_since.get_or_insert(since);
                over |= is_over(since, epoch, refused_after);
            }
        }
        self.failures += 1;
        // One that is given up now does not make the others wait.
        self.rests_until = (!over).then(|| now + backoff(self.failures));
        self.obstacle = Some(Obstacle::ours(why.to_owned()));
    }

    /// A submission with these indices went well. `most` go together where nothing is in doubt.
    pub fn went_well(&mut self, indices: &[u32], most: usize) {
        for index in indices {
            self.alone.remove(index);
        }
        self.at_most = self.at_most.map(|n| n * 2).filter(|n| *n < most);
        (self.failures, self.rests_until, self.refused_since) = (0, None, None);
        if self.alone.is_empty() && self.unstaged == 0 {
            self.obstacle = None;
        }
    }

    /// Jobs of it were committed, and their files did not reach the pool.
    pub fn unstaged(&mut self, now: Instant) {
        self.unstaged += 1;
        self.rests_until = Some(now + backoff(self.unstaged));
        self.obstacle = Some(Obstacle::ours(format!(
            "its files did not reach the pool in {} submissions, as when the schedd's spool has no room",
            self.unstaged
        )));
    }

    /// Files of it have reached the pool.
    pub fn arrived(&mut self) {
        if std::mem::take(&mut self.unstaged) > 0 && self.alone.is_empty() {
            (self.rests_until, self.obstacle) = (None, None);
        }
    }

    /// The index is not submitted any more.
    pub fn ended(&mut self, index: u32) {
        self.alone.remove(&index);
    }

    /// An earlier life knows that this index is refused since then.
    pub fn remember(&mut self, index: u32, since: i64, now: Instant) {
        self.at_most = Some(1);
        self.refused_since = Some(self.refused_since.map_or(since, |before| before.min(since)));
        self.alone.insert(index, Alone { failures: 1, next: now, refused_since: Some(since) });
    }

    /// Since when this index is refused, epoch seconds.
    pub fn refused_since(&self, index: u32) -> Option<i64> {
        self.alone.get(&index)?.refused_since
    }

    /// Whether nothing of the workload may go now.
    pub fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }

    /// The index that failed alone longest ago and may go again.
    pub fn lone(&self, now: Instant, is_waiting: impl Fn(u32) -> bool) -> Option<u32> {
        let due = self.alone.iter().filter(|(index, alone)| alone.next <= now && is_waiting(**index));
        due.min_by_key(|(_, alone)| alone.next).map(|(index, _)| *index)
    }

    /// When something of it may go that may not now.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let alone = self.alone.values().map(|alone| alone.next);
        alone.chain(self.rests_until).filter(|at| *at > now).min()
    }

    /// Whether nothing is in doubt any more.
    pub fn are_over(&self) -> bool {
        self.at_most.is_none() && self.alone.is_empty() && self.unstaged == 0
    }
}

/// Whether what is refused since then has been tried long enough.
pub fn is_over(since: i64, epoch: i64, refused_after: Duration) -> bool {
    epoch.saturating_sub(since) >= refused_after.as_secs().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn fail(doubts: &mut Doubts, indices: &[u32], rows: usize, refused: bool, epoch: i64) {
        let failed = Failed { indices, rows, refused, why: "no", refused_after: HOUR };
        doubts.failed(&failed, Instant::now(), epoch);
    }

    #[test]
    fn a_batch_is_halved_until_a_job_stands_alone_and_only_then_something_waits() {
        let mut doubts = Doubts::default();
        for (rows, at_most) in [(8, 4), (4, 2), (2, 1)] {
            fail(&mut doubts, &[0, 1], rows, true, 0);
            assert_eq!((doubts.at_most, doubts.rests_until), (Some(at_most), None));
        }
        fail(&mut doubts, &[1], 1, true, 0);
        assert!(doubts.rests(Instant::now()) && doubts.obstacle.is_some());
        assert_eq!(doubts.alone.keys().copied().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn one_that_fails_alone_waits_longer_each_time_and_the_others_go_once_one_is_taken() {
        let mut doubts = Doubts::default();
        let now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..20 {
            fail(&mut doubts, &[5], 1, false, 0);
            waits.push(doubts.alone[&5].next - now);
        }
        assert!(waits[0] < Duration::from_secs(1) && waits[19] >= LONE_BACKOFF_MAX, "{waits:?}");
        assert_eq!(doubts.refused_since(5), None);
        doubts.went_well(&[6], 200);
        assert!(!doubts.rests(Instant::now()) && !doubts.are_over());
        assert_eq!((doubts.at_most, doubts.lone(now, |_| true)), (Some(2), None));
        assert_eq!(doubts.lone(now + LONE_BACKOFF_MAX * 2, |_| true), Some(5));
        doubts.went_well(&[5], 200);
        assert_eq!(doubts.obstacle, None);
    }

    #[test]
    fn copies_that_are_refused_one_after_the_other_share_their_hour() {
        let mut doubts = Doubts::default();
        fail(&mut doubts, &[0], 1, true, 100);
        fail(&mut doubts, &[1], 1, true, 3_000);
        assert_eq!((doubts.refused_since(0), doubts.refused_since(1)), (Some(100), Some(100)));
        assert!(doubts.rests(Instant::now()));
        fail(&mut doubts, &[0], 1, true, 3_700);
        assert!(!doubts.rests(Instant::now()), "it is given up: the next one need not wait");
        doubts.went_well(&[2], 200);
        fail(&mut doubts, &[3], 1, true, 4_000);
        assert_eq!(doubts.refused_since(3), Some(4_000), "one was taken in between");
    }

    #[test]
    fn a_refusal_is_remembered_by_the_next_life() {
        let mut doubts = Doubts::default();
        doubts.remember(7, 50, Instant::now());
        fail(&mut doubts, &[7], 1, true, 3_700);
        assert_eq!(doubts.refused_since(7), Some(50));
    }

    #[test]
    fn files_that_never_arrive_make_the_workload_wait_until_some_do() {
        let mut doubts = Doubts::default();
        (0..3).for_each(|_| doubts.unstaged(Instant::now()));
        doubts.went_well(&[0], 200);
        assert!(!doubts.are_over() && doubts.obstacle.is_some(), "the tool's exit code proves nothing");
        doubts.arrived();
        assert!(doubts.are_over() && doubts.obstacle.is_none() && !doubts.rests(Instant::now()));
    }
}
