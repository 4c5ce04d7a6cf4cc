//! Who goes into a submission, and how much of each.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::engine::submit::doubt::Failed;
use crate::store::wishes::{StoredWish, Want};

const SECOND: Duration = Duration::from_secs(1);

fn choose(board: &Board, now: i64, limit: usize) -> Vec<Picked> {
    super::choose(board, now, &Room { jobs: limit, of: &|_| usize::MAX }, false)
}

fn doubtful(board: &Board, limit: usize) -> Vec<Picked> {
    super::choose(board, 1, &Room { jobs: limit, of: &|_| usize::MAX }, true)
}

/// `namespace/uid`, or a UID in the namespace `n`; copies; options.
fn board(workloads: &[(&str, u32, &[&str])]) -> Board {
    let mut board = Board::default();
    for (name, indices, options) in workloads {
        let (namespace, uid) = name.split_once('/').unwrap_or(("n", *name));
        let workload = Workload {
            name: uid.into(),
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
            image_paths: vec![],
            submit: options.iter().map(|name| ((*name).into(), "1".into())).collect(),
        };
        let wish = StoredWish {
            uid: uid.parse().unwrap(),
            door: "test".into(),
            namespace: namespace.into(),
            name: uid.into(),
            workload: Some(Arc::new(workload)),
            want: Want::Run,
            not_before: 0,
            inherited: false,
            collected: None,
            owner: None,
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

fn add(board: &mut Board, name: &str, indices: u32, waits_since: Instant) {
    let mut one = self::board(&[(name, indices, &[])]);
    let uid: Uid = name.parse().unwrap();
    let mut entry = one.entries.remove(&uid).unwrap();
    entry.run_mut().unwrap().waits_since = waits_since;
    board.entries.insert(uid, entry);
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
        let run = board.entries.get_mut(&uid.parse::<Uid>().unwrap()).unwrap().run_mut().unwrap();
        run.doubts.get_or_insert_default().at_most = Some(at_most);
        run.waits_since = served;
    };
    let now = Instant::now();
    doubt("worse", 1, now + SECOND);
    doubt("doubted", 4, now);
    assert_eq!(counts(&doubtful(&board, 10)), [("doubted".into(), 4)]);
    assert_eq!(counts(&choose(&board, 1, 10)), [("clean".into(), 3)]);
    board.entries.remove(&"doubted".parse::<Uid>().unwrap());
    assert_eq!(counts(&doubtful(&board, 10)), [("worse".into(), 1)]);
}

#[test]
fn an_index_that_failed_alone_waits_alone_and_the_other_copies_go() {
    let mut board = board(&[("a", 3, &[]), ("failed-often", 1, &[])]);
    let mut fail = |uid: &str, index, times| {
        let run = board.entries.get_mut(&uid.parse::<Uid>().unwrap()).unwrap().run_mut().unwrap();
        let refused_after = Duration::ZERO;
        let failed = Failed { indices: &[index], rows: 1, refused: true, why: "", refused_after };
        (0..times).for_each(|_| run.doubts.get_or_insert_default().failed(&failed, Instant::now(), 0));
    };
    fail("a", 1, 1);
    fail("failed-often", 0, 9);
    let picked = doubtful(&board, 10);
    assert_eq!(picked.iter().map(|p| p.key.to_string()).collect::<Vec<_>>(), ["a/0/0/0"]);
    board.entries.remove(&"a".parse::<Uid>().unwrap());
    assert!(doubtful(&board, 10).is_empty(), "its time has not come");
}

#[test]
fn where_there_is_not_room_for_all_some_come_whole_and_the_others_the_next_time() {
    let mut board = board(&[]);
    for n in 0..30 {
        add(&mut board, &format!("w{n:02}"), 5, Instant::now());
    }
    let first = counts(&choose(&board, 1, 60));
    assert_eq!((first.len(), first.iter().all(|(_, n)| *n == 3)), (20, true));
    for (uid, _) in &first {
        let entry = board.entries.get_mut(&uid.parse::<Uid>().unwrap()).unwrap();
        entry.run_mut().unwrap().waits_since = Instant::now() + SECOND;
    }
    let next = choose(&board, 1, 60);
    assert!(next[..30].iter().all(|picked| picked.key.uid.as_str() >= "w20"));
}

#[test]
fn no_index_is_picked_twice_and_none_that_has_a_job() {
    let picked = choose(&board(&[("a", 5, &[])]), 1, 100);
    let indices: BTreeSet<u32> = picked.iter().map(|p| p.key.index).collect();
    assert_eq!((picked.len(), indices.len()), (5, 5));
    assert!(choose(&board(&[("a", 5, &[])]), -1, 100).is_empty(), "its time has not come");
}

/// Serves what is picked, as a submission does.
fn serve(board: &mut Board, picked: &[Picked], at: Instant) {
    for one in picked {
        board.served.insert(one.namespace.clone(), at);
        let entry = board.entries.get_mut(&one.key.uid).unwrap();
        entry.take(one.key.index).unwrap();
        entry.run_mut().unwrap().waits_since = at;
    }
}

#[test]
fn a_namespace_with_many_workloads_does_not_hold_back_one_with_few() {
    let mut all = vec![("b/only".to_owned(), 100)];
    all.extend((0..99).map(|n| (format!("a/w{n:02}"), 100)));
    let all: Vec<(&str, u32, &[&str])> = all.iter().map(|(name, n)| (name.as_str(), *n, &[][..])).collect();
    let picked = choose(&board(&all), 1, 20);
    assert_eq!(picked.iter().filter(|p| p.namespace == "b").count(), 10);
    assert_eq!(picked.len(), 20);
}

#[test]
fn a_stream_of_new_workloads_does_not_hold_back_one_that_was_served() {
    let mut board = board(&[("old", 100, &["rank"])]);
    let begin = Instant::now();
    let mut turns = Vec::new();
    for n in 0..10 {
        let at = begin + SECOND * (n + 1);
        add(&mut board, &format!("new-{n}"), 1, at);
        let picked = choose(&board, 1, 1);
        serve(&mut board, &picked, at);
        turns.push(picked[0].key.uid.as_str() == "old");
    }
    assert!(turns.iter().filter(|old| **old).count() >= 3, "{turns:?}");
}

#[test]
fn the_namespace_that_was_served_longest_ago_chooses_the_shape() {
    let mut board = board(&[("a/x", 9, &["rank"]), ("b/y", 9, &[]), ("c/z", 9, &["rank"])]);
    let begin = Instant::now();
    for (namespace, seconds) in [("a", 3), ("b", 1), ("c", 2)] {
        board.served.insert(namespace.to_owned(), begin + SECOND * seconds);
    }
    let first = choose(&board, 1, 4);
    assert_eq!(counts(&first), [("y".into(), 4)]);
    serve(&mut board, &first, begin + SECOND * 4);
    assert_eq!(counts(&choose(&board, 1, 4)), [("x".into(), 2), ("z".into(), 2)]);
}

#[test]
fn a_namespace_gets_no_more_than_it_has_room_for_and_others_take_the_rest() {
    let board = board(&[("a/x", 9, &[]), ("b/y", 9, &["rank"]), ("c/z", 9, &[])]);
    let room = |namespace: &str| match namespace {
        "a" => 2,
        "b" => 0,
        _ => usize::MAX,
    };
    let picked = super::choose(&board, 1, &Room { jobs: 10, of: &room }, false);
    assert_eq!(counts(&picked), [("x".into(), 2), ("z".into(), 8)], "b would have chosen another shape");
}

#[test]
fn nothing_is_picked_of_a_workload_whose_record_cannot_be_read() {
    let mut board = board(&[("a", 2, &[]), ("b", 2, &[])]);
    let entry = board.entries.get_mut(&"a".parse().unwrap()).unwrap();
    entry.unreadable = Some("its job 7 cannot be read".to_owned());
    assert_eq!(counts(&choose(&board, 1, 10)), [("b".into(), 2)]);
}

#[test]
fn shares_are_equal_and_few() {
    assert_eq!(deal(&[1_000, 2], 10, 1), [8, 2]);
    assert_eq!(deal(&[5; 30], 60, 3)[..20], [3; 20]);
    assert_eq!(deal(&[5; 30], 60, 3)[20..], [0; 10]);
    assert_eq!(deal(&[], 10, 1), [0; 0]);
    assert_eq!(deal(&[0, 3], 10, 1), [0, 3]);
    let board =
        board(&[("a/1", 99, &[]), ("a/2", 99, &[]), ("a/3", 99, &[]), ("b/1b", 99, &[]), ("c/1c", 1, &[])]);
    let parts: BTreeSet<String> = choose(&board, 1, 200).iter().map(|p| p.key.uid.to_string()).collect();
    assert_eq!(parts.len(), 5);
}

#[test]
fn an_index_that_waits_though_its_job_rests_is_not_submitted_again() {
    use crate::engine::board::{Files, InQueue, Job};
    use htc_core::workload::progress::{End, Outcome, Progress};

    let mut board = board(&[("a", 3, &[])]);
    let entry = board.entries.get_mut(&"a".parse().unwrap()).unwrap();
    let end = End { outcome: Outcome::Succeeded, message: String::new(), at: jiff::Timestamp::UNIX_EPOCH };
    let progress = Progress::Ended { job: None, end };
    let job = Job::new("a/1/0/0".parse().unwrap(), String::new(), progress, None);
    let job = Job { files: Files::Home, published: true, in_queue: InQueue::Left, ..job };
    assert!(entry.rested.take_in_all(vec![job], false).is_empty());
    let indices: Vec<u32> = choose(&board, 1, 9).iter().map(|p| p.key.index).collect();
    assert_eq!(indices, [0, 2]);
}
