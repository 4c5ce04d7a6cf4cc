//! Chooses what goes into one submission: fair between workloads, of one shape.

use std::sync::Arc;
use std::time::Instant;

use htc_core::workload::Workload;
use htc_core::workload::names::{JobKey, Uid};

use crate::condor::submit::ShapeId;
use crate::engine::board::{Board, Entry};
use crate::store::wishes::{Waiting, Want};

/// A job that is to be submitted.
#[derive(Clone, Debug)]
pub struct Picked {
    /// Its key.
    pub key: JobKey,
    /// The outside object's namespace.
    pub namespace: String,
    /// The outside object's name.
    pub name: String,
    /// What it is a copy of.
    pub workload: Arc<Workload>,
}

/// A submission is not cut into more shares than these: a workload that is left out comes first the
/// next time, while one that went in single copies would have its status written for each of them.
const SHARES_MOST: usize = 20;

/// Up to `limit` jobs whose descriptions have the same set of commands. Each workload that waits
/// gets the same share, and the shape of the one that was served longest ago comes first, so that
/// a large one does not hold back the small. One of which a submission failed goes only with others of that
/// kind, where `doubtful` asks for them, and no more of them than its doubt allows; those that failed least
/// come first.
pub fn choose(board: &Board, now: i64, limit: usize, doubtful: bool) -> Vec<Picked> {
    let moment = Instant::now();
    let due = board.entries.iter().filter(|(_, entry)| may_be_submitted(entry, now, moment));
    let sources = due.filter_map(|(uid, entry)| Source::of(uid, entry, moment));
    let mut waiting: Vec<Source<'_>> =
        sources.filter(|source| source.at_most.is_some() == doubtful).collect();
    waiting.sort_by_key(|s| (s.failures(), s.entry.served, s.entry.not_before, s.uid));
    let Some(first) = waiting.first().map(Source::kind) else { return Vec::new() };
    let limit = first.0.map_or(limit, |at_most| at_most.min(limit));
    // Each gives one at least, so that no more of them are needed.
    let alike = waiting.iter().filter(|candidate| candidate.kind() == first).take(limit);
    let mut sources: Vec<_> = alike.map(Source::keys).collect();
    let least = (limit / SHARES_MOST).max(1);
    let mut picked = Vec::new();
    while picked.len() < limit && !sources.is_empty() {
        let share = ((limit - picked.len()) / sources.len()).max(least);
        sources.retain_mut(|source| {
            let room = limit - picked.len();
            let before = picked.len();
            picked.extend(source.by_ref().take(share.min(room)));
            picked.len() - before == share
        });
    }
    picked
}

fn may_be_submitted(entry: &Entry, now: i64, moment: Instant) -> bool {
    let due = entry.not_before <= now && entry.unproven_since.is_none();
    let rests = entry.doubts.as_ref().is_some_and(|doubts| doubts.rests(moment));
    entry.want == Want::Run && !entry.waiting.is_empty() && due && !rests
}

/// What a workload has to give.
struct Source<'a> {
    uid: &'a Uid,
    entry: &'a Entry,
    workload: &'a Arc<Workload>,
    /// So many of it go together, and with none that is beyond doubt.
    at_most: Option<usize>,
    /// The only index that may go, since it failed alone.
    lone: Option<u32>,
}

impl<'a> Source<'a> {
    fn of(uid: &'a Uid, entry: &'a Entry, moment: Instant) -> Option<Source<'a>> {
        let workload = entry.workload.as_ref()?;
        let Some(doubts) = &entry.doubts else {
            return Some(Source { uid, entry, workload, at_most: None, lone: None });
        };
        let waits = |index| entry.waiting.iter().any(|w| (w.first..=w.last).contains(&index));
        let lone = doubts.lone(moment, waits);
        let at_most = if lone.is_some() { Some(1) } else { doubts.at_most };
        let source = Source { uid, entry, workload, at_most, lone };
        let has_some = source.keys().next().is_some();
        has_some.then_some(source)
    }

    fn failures(&self) -> u32 {
        self.entry.doubts.as_ref().map_or(0, |doubts| doubts.failures)
    }

    fn kind(&self) -> (Option<usize>, Option<ShapeId>) {
        (self.at_most, self.entry.shape)
    }

    fn keys(&self) -> impl Iterator<Item = Picked> + use<'a> {
        let Source { uid, entry, workload, lone, .. } = *self;
        let all = |w: &'a Waiting| (w.first..=w.last).map(move |index| (index, w));
        let indices = entry.waiting.iter().flat_map(all);
        // An index that has a job is about to leave the ranges.
        let free = indices.filter(|(index, _)| !entry.jobs.contains_key(index));
        let failed_alone =
            |index| entry.doubts.as_ref().is_some_and(|doubts| doubts.alone.contains_key(&index));
        let may_go = move |index| lone.map_or_else(|| !failed_alone(index), |lone| lone == index);
        free.filter(move |(index, _)| may_go(*index)).map(move |(index, w)| Picked {
            key: JobKey { uid: uid.clone(), index, attempt: w.attempt, submission: w.submission },
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            workload: workload.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::engine::submit::doubt::Failed;
    use crate::store::wishes::StoredWish;

    fn board(workloads: &[(&str, u32, &[&str])]) -> Board {
        let mut board = Board::default();
        for (uid, indices, options) in workloads {
            let workload = Workload {
                name: (*uid).into(),
                indices: *indices,
                init_containers: vec![],
                containers: vec![],
                volumes: vec![],
                grace_seconds: 30,
                folder_variable: None,
                restart_after_eviction: true,
                deadline_seconds: None,
                hostname: None,
                registries: vec![],
                submit: options.iter().map(|name| ((*name).into(), "1".into())).collect(),
            };
            let wish = StoredWish {
                uid: uid.parse().unwrap(),
                door: "test".into(),
                namespace: "n".into(),
                name: (*uid).into(),
                workload: Some(Arc::new(workload)),
                want: Want::Run,
                not_before: 0,
                inherited: false,
                collected: None,
            };
            let all = Waiting { first: 0, last: indices - 1, attempt: 0, submission: 0 };
            board.entries.insert(wish.uid.clone(), Entry::of(&wish, vec![all]));
        }
        board
    }

    fn counts(picked: &[Picked]) -> Vec<(String, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        picked.iter().for_each(|p| *counts.entry(p.key.uid.to_string()).or_insert(0) += 1);
        counts.into_iter().collect()
    }

    #[test]
    fn a_large_workload_does_not_hold_back_a_small_one() {
        let picked = choose(&board(&[("big", 1000, &[]), ("small", 2, &[])]), 1, 10, false);
        assert_eq!(counts(&picked), [("big".into(), 8), ("small".into(), 2)]);
    }

    #[test]
    fn workloads_of_different_shapes_do_not_share_a_submission() {
        let picked = choose(&board(&[("a", 3, &[]), ("b", 3, &["rank"]), ("c", 3, &[])]), 1, 10, false);
        assert_eq!(counts(&picked), [("a".into(), 3), ("c".into(), 3)]);
    }

    #[test]
    fn those_in_doubt_go_by_themselves_and_no_more_than_their_doubt_allows() {
        let mut board = board(&[("clean", 3, &[]), ("doubted", 9, &[]), ("worse", 9, &[])]);
        let mut doubt = |uid: &str, at_most| {
            let entry = board.entries.get_mut(&uid.parse::<Uid>().unwrap()).unwrap();
            entry.doubts.get_or_insert_default().at_most = Some(at_most);
        };
        doubt("doubted", 4);
        doubt("worse", 1);
        assert_eq!(counts(&choose(&board, 1, 10, true)), [("doubted".into(), 4)]);
        assert_eq!(counts(&choose(&board, 1, 10, false)), [("clean".into(), 3)]);
        board.entries.remove(&"doubted".parse::<Uid>().unwrap());
        assert_eq!(counts(&choose(&board, 1, 10, true)), [("worse".into(), 1)]);
    }

    #[test]
    fn an_index_that_failed_alone_waits_alone_and_the_other_copies_go() {
        let mut board = board(&[("a", 3, &[]), ("failed-often", 1, &[])]);
        let mut fail = |uid: &str, index, times| {
            let doubts = &mut board.entries.get_mut(&uid.parse::<Uid>().unwrap()).unwrap().doubts;
            let refused_after = Duration::ZERO;
            let failed = Failed { indices: &[index], rows: 1, refused: true, why: "", refused_after };
            (0..times).for_each(|_| doubts.get_or_insert_default().failed(&failed, Instant::now(), 0));
        };
        fail("a", 1, 1);
        fail("failed-often", 0, 9);
        let picked = choose(&board, 1, 10, true);
        assert_eq!(picked.iter().map(|p| p.key.to_string()).collect::<Vec<_>>(), ["a/0/0/0"]);
        board.entries.remove(&"a".parse::<Uid>().unwrap());
        assert!(choose(&board, 1, 10, true).is_empty(), "its time has not come");
    }

    #[test]
    fn where_there_is_not_room_for_all_some_come_whole_and_the_others_the_next_time() {
        let mut board = board(&[]);
        for n in 0..30 {
            let one = self::board(&[(&format!("w{n:02}"), 5, &[])]);
            board.entries.extend(one.entries);
        }
        let first = counts(&choose(&board, 1, 60, false));
        assert_eq!((first.len(), first.iter().all(|(_, n)| *n == 3)), (20, true));
        for (uid, _) in &first {
            let entry = board.entries.get_mut(&uid.parse::<Uid>().unwrap()).unwrap();
            entry.served = Some(std::time::Instant::now());
        }
        let next = choose(&board, 1, 60, false);
        assert!(next[..30].iter().all(|picked| picked.key.uid.as_str() >= "w20"));
    }

    #[test]
    fn no_index_is_picked_twice_and_none_that_has_a_job() {
        let picked = choose(&board(&[("a", 5, &[])]), 1, 100, false);
        let indices: BTreeSet<u32> = picked.iter().map(|p| p.key.index).collect();
        assert_eq!((picked.len(), indices.len()), (5, 5));
        assert!(choose(&board(&[("a", 5, &[])]), -1, 100, false).is_empty(), "its time has not come");
    }
}
