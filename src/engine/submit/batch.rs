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

/// Up to `limit` jobs whose descriptions have the same set of commands. Each workload that waits
/// gets the same share, and the shape of the one that was served longest ago comes first, so that
/// a large one does not hold back the small.
pub fn choose(board: &Board, now: i64, limit: usize) -> Vec<Picked> {
    let mut waiting: Vec<(&Uid, &Entry, &Arc<Workload>)> = board
        .entries
        .iter()
        .filter(|(_, e)| may_be_submitted(e, now))
        .filter_map(|(uid, e)| Some((uid, e, e.workload.as_ref()?)))
        .collect();
    waiting.sort_by_key(|(uid, entry, _)| (entry.served, entry.not_before, *uid));
    let shape = |workload: &Workload| Terms::from(workload).shape();
    let Some(first) = waiting.first().map(|(_, _, workload)| shape(workload)) else { return Vec::new() };
    waiting.retain(|(_, _, workload)| shape(workload) == first);

    let mut picked = Vec::new();
    let mut sources: Vec<_> = waiting.iter().map(keys).collect();
    while picked.len() < limit && !sources.is_empty() {
        let share = ((limit - picked.len()) / sources.len()).max(1);
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
    entry.want == Want::Run && !entry.waiting.is_empty() && due
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
                submit: options.iter().map(|name| ((*name).into(), "1".into())).collect(),
            };
            let wish = StoredWish {
                uid: uid.parse().unwrap(),
                door: "test".into(),
                namespace: "n".into(),
                name: (*uid).into(),
                workload: Some(workload),
                want: Want::Run,
                not_before: 0,
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
    fn no_index_is_picked_twice_and_none_that_has_a_job() {
        let picked = choose(&board(&[("a", 5, &[])]), 1, 100);
        let indices: BTreeSet<u32> = picked.iter().map(|p| p.key.index).collect();
        assert_eq!((picked.len(), indices.len()), (5, 5));
        assert!(choose(&board(&[("a", 5, &[])]), -1, 100).is_empty(), "its time has not come");
    }
}
