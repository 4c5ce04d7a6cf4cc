//! What each namespace has in the queue and on our disk, and whether it has room for more.

use std::collections::HashMap;
use std::time::Instant;

use htc_core::workload::names::Uid;

use crate::engine::board::{Board, Full, InQueue, Obstacle};
use crate::limits::FULL_TOLD;

/// What one namespace may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Jobs in the queue.
    pub jobs: Option<usize>,
    /// MB of outputs that have come home.
    pub output_mb: Option<u64>,
}

/// What all namespaces have, counted in one pass over the board.
pub struct Usage<'a> {
    /// Jobs of all namespaces that are in the queue or may be.
    pub live: usize,
    of: HashMap<&'a str, Used>,
}

#[derive(Clone, Copy, Default)]
struct Used {
    live: usize,
    /// Bytes of outputs that have come home.
    bytes: u64,
    waits: bool,
}

impl<'a> Usage<'a> {
    /// What is on the board.
    pub fn of(board: &'a Board) -> Usage<'a> {
        let mut usage = Usage { live: 0, of: HashMap::new() };
        for (namespace, bytes) in board.entries.resting_bytes() {
            usage.of.entry(namespace).or_default().bytes += bytes;
        }
        for (_, entry) in board.entries.live() {
            let used = usage.of.entry(entry.namespace.as_str()).or_default();
            let live = entry.jobs.values().filter(|job| job.in_queue != InQueue::Left).count();
            usage.live += live;
            used.live += live;
            used.waits |= !entry.waiting().is_empty();
            used.bytes += entry.bytes();
        }
        usage
    }

    /// How many jobs a namespace may have more; an error says why none.
    pub fn room(&self, namespace: &str, limits: Limits) -> Result<usize, Obstacle> {
        let Used { live, bytes, waits: _ } = self.of.get(namespace).copied().unwrap_or_default();
        if let Some(limit) = limits.output_mb
            && bytes >= limit.saturating_mul(1_000_000)
        {
            return Err(Obstacle::namespace(format!(
                "outputs of the namespace take the {limit} MB that the operator keeps for it \
                 (--max-output-mb-per-namespace): delete jobs whose outputs are not needed any more"
            )));
        }
        match limits.jobs {
            None => Ok(usize::MAX),
            Some(limit) if live < limit => Ok(limit - live),
            Some(limit) => Err(Obstacle::namespace(format!(
                "the namespace has the {limit} jobs in the queue that the operator allows it \
                 (--max-jobs-per-namespace); the rest follows as they end"
            ))),
        }
    }

    /// The namespaces of which something waits for room.
    pub fn full(&self, limits: Limits) -> HashMap<String, Obstacle> {
        if limits.jobs.is_none() && limits.output_mb.is_none() {
            return HashMap::new();
        }
        let waiting = self.of.iter().filter(|(_, used)| used.waits).map(|(namespace, _)| *namespace);
        let why = |namespace: &str| Some((namespace.to_owned(), self.room(namespace, limits).err()?));
        waiting.filter_map(why).collect()
    }
}

/// Notes which namespaces have no room. Gives the workloads that are to learn it now: one that is full for a
/// moment, as its jobs come and go, is no news.
pub fn note_full(board: &mut Board, full: HashMap<String, Obstacle>) -> Vec<Uid> {
    board.full.retain(|namespace, _| full.contains_key(namespace));
    let mut news = Vec::new();
    for (namespace, why) in full {
        let known = board.full.entry(namespace.clone()).or_insert(Full { since: Instant::now(), told: None });
        let is_news = known.told.as_ref().is_none_or(|told| *told != why);
        if is_news && known.since.elapsed() >= FULL_TOLD {
            known.told = Some(why);
            news.push(namespace);
        }
    }
    if news.is_empty() {
        return Vec::new();
    }
    let waits = board.entries.live().filter(|(_, e)| !e.waiting().is_empty() && news.contains(&e.namespace));
    waits.map(|(uid, _)| uid.clone()).collect()
}

#[cfg(test)]
mod tests {
    use htc_core::workload::names::JobKey;
    use htc_core::workload::progress::Progress;

    use super::*;
    use crate::engine::board::{Entry, Job};
    use crate::store::wishes::Waiting;

    /// A workload of this namespace with so many live jobs, whose outputs take so many bytes each.
    fn add(board: &mut Board, namespace: &str, uid: &str, jobs: u32, bytes: u64) {
        let uid: Uid = uid.parse().unwrap();
        let waiting = [Waiting { first: 100, last: 100, attempt: 0, submission: 0 }];
        let mut entry = Entry { namespace: namespace.into(), ..Entry::bare(&waiting) };
        for index in 0..jobs {
            let key = JobKey { uid: uid.clone(), index, attempt: 0, submission: 0 };
            let job = Job::new(key, String::new(), Progress::Submitting { job: None }, None);
            entry.jobs.insert(index, Box::new(Job { bytes, ..job }));
        }
        board.entries.insert(uid, entry);
    }

    fn limits(jobs: Option<usize>, megabytes: Option<u64>) -> Limits {
        Limits { jobs, output_mb: megabytes }
    }

    #[test]
    fn a_namespace_has_the_room_that_its_own_jobs_leave() {
        let mut board = Board::default();
        add(&mut board, "a", "a1", 2, 0);
        add(&mut board, "a", "a2", 1, 0);
        add(&mut board, "b", "b1", 1, 0);
        board.entries.get_mut(&"a2".parse::<Uid>().unwrap()).unwrap().jobs.get_mut(&0).unwrap().in_queue =
            InQueue::Left;
        let usage = Usage::of(&board);
        assert_eq!(usage.live, 3);
        let room =
            |namespace, jobs| usage.room(namespace, limits(Some(jobs), None)).map_err(|why| why.reason);
        assert_eq!(room("a", 5), Ok(3));
        assert_eq!((room("a", 2), room("b", 2), room("new", 2)), (Err("NamespaceLimit"), Ok(1), Ok(2)));
        assert_eq!(usage.room("a", limits(None, None)), Ok(usize::MAX));
        let full = usage.full(limits(Some(2), None));
        assert_eq!(full.keys().collect::<Vec<_>>(), ["a"]);
        assert!(usage.full(limits(None, None)).is_empty());
    }

    #[test]
    fn outputs_that_were_removed_take_no_room() {
        let mut board = Board::default();
        add(&mut board, "a", "a1", 3, 1_000_000);
        let room =
            |board: &Board, megabytes| Usage::of(board).room("a", limits(None, Some(megabytes))).is_ok();
        assert!(room(&board, 4) && !room(&board, 3));
        let collect = |_: &Uid, entry: &mut Entry| entry.collected = Some(jiff::Timestamp::UNIX_EPOCH);
        board.entries.each_live(collect);
        assert!(room(&board, 3));
    }

    #[test]
    fn a_namespace_that_is_full_for_a_moment_is_no_news_and_one_that_stays_full_is_told_once() {
        let mut board = Board::default();
        add(&mut board, "a", "a1", 1, 0);
        let full = || HashMap::from([("a".to_owned(), Obstacle::namespace("why".to_owned()))]);
        assert!(note_full(&mut board, full()).is_empty());
        board.full.get_mut("a").unwrap().since = Instant::now().checked_sub(FULL_TOLD).unwrap();
        assert_eq!(note_full(&mut board, full()).len(), 1);
        assert!(note_full(&mut board, full()).is_empty());
        assert!(note_full(&mut board, HashMap::new()).is_empty() && board.full.is_empty());
    }
}
