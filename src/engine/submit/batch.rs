//! Chooses what goes into one submission: fair between workloads, of one shape.

use std::sync::Arc;

use htc_core::workload::Workload;
use htc_core::workload::names::{JobKey, Uid};

use crate::condor::submit::Terms;
use crate::engine::board::{Board, Entry};
use crate::store::wishes::Want;

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
/// a large one does not hold back the small. One of which a submission was refused goes only with
/// others of that kind, and no more of them than its doubt allows.
pub fn choose(board: &Board, now: i64, limit: usize) -> Vec<Picked> {
    let mut waiting: Vec<(&Uid, &Entry, &Arc<Workload>)> = board
        .entries
        .live()
        .filter(|(_, e)| may_be_submitted(e, now))
        .filter_map(|(uid, e)| Some((uid, e, e.workload.as_ref()?)))
        .collect();
    waiting.sort_by_key(|(uid, entry, _)| (entry.served, entry.not_before, *uid));
    let kind = |(_, entry, workload): &(&Uid, &Entry, &Arc<Workload>)| {
        (entry.at_most, Terms::from(&***workload).shape())
    };
    let Some(first) = waiting.first().map(kind) else { return Vec::new() };
    let limit = first.0.map_or(limit, |at_most| at_most.min(limit));
    // Each gives one at least, so that no more of them are needed: a shape costs more than a look.
    let alike = waiting.iter().filter(|candidate| kind(candidate) == first).take(limit);
    let mut sources: Vec<_> = alike.map(keys).collect();
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

fn may_be_submitted(entry: &Entry, now: i64) -> bool {
    let due = entry.not_before <= now && entry.unproven_since.is_none();
    entry.want == Want::Run && !entry.waiting.is_empty() && due && entry.unreadable.is_none()
}

fn keys<'a>(source: &(&'a Uid, &'a Entry, &'a Arc<Workload>)) -> impl Iterator<Item = Picked> + use<'a> {
    let (uid, entry, workload) = *source;
    let indices = entry.waiting.iter().flat_map(|w| (w.first..=w.last).map(move |index| (index, w)));
    // An index that has a job is about to leave the ranges.
    let free = indices.filter(|(index, _)| !entry.jobs.contains_key(index));
    free.map(move |(index, w)| Picked {
        key: JobKey { uid: uid.clone(), index, attempt: w.attempt, submission: w.submission },
        namespace: entry.namespace.clone(),
        name: entry.name.clone(),
        workload: workload.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::wishes::{StoredWish, Waiting};

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
        let picked = choose(&board(&[("big", 1000, &[]), ("small", 2, &[])]), 1, 10);
        assert_eq!(counts(&picked), [("big".into(), 8), ("small".into(), 2)]);
    }

    #[test]
    fn workloads_of_different_shapes_do_not_share_a_submission() {
        let picked = choose(&board(&[("a", 3, &[]), ("b", 3, &["rank"]), ("c", 3, &[])]), 1, 10);
        assert_eq!(counts(&picked), [("a".into(), 3), ("c".into(), 3)]);
    }

    #[test]
    fn those_in_doubt_go_by_themselves_and_no_more_than_their_doubt_allows() {
        let mut board = board(&[("clean", 3, &[]), ("doubted", 9, &[]), ("worse", 9, &[])]);
        let mut doubt = |uid: &str, at_most, served| {
            let entry = board.entries.get_mut(&uid.parse::<Uid>().unwrap()).unwrap();
            (entry.at_most, entry.served) = (at_most, served);
        };
        let now = std::time::Instant::now();
        doubt("clean", None, Some(now));
        doubt("worse", Some(1), Some(now));
        doubt("doubted", Some(4), None);
        assert_eq!(counts(&choose(&board, 1, 10)), [("doubted".into(), 4)]);
        board.entries.remove(&"doubted".parse::<Uid>().unwrap());
        assert_eq!(counts(&choose(&board, 1, 10)), [("clean".into(), 3)]);
    }

    #[test]
    fn where_there_is_not_room_for_all_some_come_whole_and_the_others_the_next_time() {
        let mut board = board(&[]);
        for n in 0..30 {
            let name = format!("w{n:02}");
            let mut one = self::board(&[(&name, 5, &[])]);
            let uid: Uid = name.parse().unwrap();
            board.entries.insert(uid.clone(), one.entries.remove(&uid).unwrap());
        }
        let first = counts(&choose(&board, 1, 60));
        assert_eq!((first.len(), first.iter().all(|(_, n)| *n == 3)), (20, true));
        for (uid, _) in &first {
            let entry = board.entries.get_mut(&uid.parse::<Uid>().unwrap()).unwrap();
            entry.served = Some(std::time::Instant::now());
        }
        let next = choose(&board, 1, 60);
        assert!(next[..30].iter().all(|picked| picked.key.uid.as_str() >= "w20"));
    }

    #[test]
    fn nothing_is_picked_of_a_workload_whose_record_cannot_be_read() {
        let mut board = board(&[("a", 2, &[]), ("b", 2, &[])]);
        let entry = board.entries.get_mut(&"a".parse().unwrap()).unwrap();
        entry.unreadable = Some("its job 7 cannot be read".to_owned());
        assert_eq!(counts(&choose(&board, 1, 10)), [("b".into(), 2)]);
    }

    #[test]
    fn no_index_is_picked_twice_and_none_that_has_a_job() {
        let picked = choose(&board(&[("a", 5, &[])]), 1, 100);
        let indices: BTreeSet<u32> = picked.iter().map(|p| p.key.index).collect();
        assert_eq!((picked.len(), indices.len()), (5, 5));
        assert!(choose(&board(&[("a", 5, &[])]), -1, 100).is_empty(), "its time has not come");
    }
}
