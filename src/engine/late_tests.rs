//! What is fetched next, with whom, and for how long it may take.

use std::collections::BTreeSet;

use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use jiff::Timestamp;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn job(index: u32, late: Option<Late>) -> Job {
    let end = End { outcome: Outcome::Succeeded, message: String::new(), at: Timestamp::UNIX_EPOCH };
    let progress = Progress::Ended { job: Some(JobId { cluster: 1, proc: index }), end };
    let mut job = Job::new(format!("u/{index}/0/0").parse().unwrap(), "/data".to_owned(), progress, None);
    job.late = late.map(Box::new);
    job
}

/// All of one namespace.
fn in_one(jobs: &[Job]) -> impl Iterator<Item = (&str, &Job)> {
    jobs.iter().map(|job| ("a", job))
}

fn failed(cause: Cause, jobs: usize, now: Instant) -> Late {
    Late::after(None, cause, "no", jobs, now)
}

fn fetched(next: Next) -> (Batch, Vec<u32>) {
    let Next::Fetch(batch) = next else { panic!("{next:?}") };
    let indices = batch.jobs.iter().map(|job| job.key.index).collect();
    (batch, indices)
}

fn waits(next: Next) -> Duration {
    let Next::Wait(time) = next else { panic!("{next:?}") };
    time
}

#[test]
fn outputs_are_given_up_only_after_the_time_of_the_setting_and_never_for_how_often_it_was_tried() {
    let start = Instant::now();
    let mut late = failed(Cause::Refused, 1, start);
    for n in 0..10_000 {
        late = Late::after(Some(&late), Cause::Refused, "no", 1, start + MINUTE * n);
    }
    let now = start + MINUTE * 10_000;
    assert!(!late.is_given_up(None, now) && !late.is_given_up(Some(MINUTE * 10_001), now));
    assert!(late.is_given_up(Some(MINUTE * 10_000), now));
    for cause in [Cause::Away, Cause::DiskFull, Cause::Slow] {
        // HTCondor has not said no: the time begins anew when it does.
        let other = Late::after(Some(&late), cause, "x", 1, now);
        assert!(!other.is_given_up(Some(MINUTE), now + MINUTE * 10_000), "{cause:?}");
        let again = Late::after(Some(&other), Cause::Refused, "no", 1, now);
        assert!(!again.is_given_up(Some(MINUTE), now) && again.is_given_up(Some(MINUTE), now + MINUTE));
    }
}

#[test]
fn what_has_not_failed_goes_first_and_what_fails_is_halved_until_one_is_alone() {
    let (start, calls) = (Instant::now(), Calls::default());
    let mut late = failed(Cause::Refused, 8, start);
    let later = start + MINUTE;
    let jobs = |late: &Late| (0..8).map(|n| job(n, Some(late.clone()))).collect::<Vec<_>>();
    let with_fresh = [jobs(&late), vec![job(9, None)]].concat();
    assert_eq!(fetched(calls.next(in_one(&with_fresh), later)).1, [9]);
    for expected in [4, 2, 1, 1] {
        let (batch, indices) = fetched(calls.next(in_one(&jobs(&late)), later));
        assert_eq!(indices.len(), expected);
        assert_eq!(batch.deadline(Some(1 << 40)), TRANSFER_DEADLINE);
        late = Late::after(Some(&late), Cause::Refused, "no", expected, start);
    }
    assert!(waits(calls.next(in_one(&jobs(&late)), start)) > Duration::ZERO);
}

#[test]
fn while_nothing_comes_home_one_call_shows_whether_that_has_changed() {
    let start = Instant::now();
    let later = start + MINUTE;
    let jobs: Vec<Job> = (0..8).map(|n| job(n, Some(failed(Cause::Refused, 1, start)))).collect();
    let mut calls = Calls::default();
    let (first, _) = fetched(calls.next(in_one(&jobs), later));
    calls.begin(&first);
    let (second, _) = fetched(calls.next(in_one(&jobs), later));
    calls.begin(&second);
    calls.end(&first, false, later);
    assert_eq!(waits(calls.next(in_one(&jobs), later + MINUTE)), IDLE_LOOK, "the second is under way");
    calls.end(&second, false, later);
    assert!(waits(calls.next(in_one(&jobs), later)) > Duration::ZERO);
    let (third, _) = fetched(calls.next(in_one(&jobs), later + MINUTE));
    // One that has not failed waits for none of this.
    let fresh = [jobs.clone(), vec![job(9, None)]].concat();
    assert_eq!(fetched(calls.next(in_one(&fresh), later)).1, [9]);
    calls.begin(&third);
    calls.end(&third, true, later + MINUTE);
    fetched(calls.next(in_one(&jobs), later + MINUTE));
}

#[test]
fn what_is_too_slow_gets_time_by_its_size_and_never_all_the_places() {
    let (start, mut calls) = (Instant::now(), Calls::default());
    // In company nobody knows which was large.
    let innocent = failed(Cause::Slow, 200, start);
    let later = start + MINUTE;
    let one = [job(0, Some(innocent.clone()))];
    assert_eq!(fetched(calls.next(in_one(&one), later)).0.deadline(Some(1 << 30)), TRANSFER_DEADLINE);
    let slow = Late::after(Some(&innocent), Cause::Slow, "late", 1, start);
    let jobs: Vec<Job> = (0..9).map(|n| job(n, Some(slow.clone()))).collect();
    for _ in 0..SLOW_TRANSFERS {
        let (batch, indices) = fetched(calls.next(in_one(&jobs), later));
        assert_eq!(indices.len(), 1);
        // 1 GiB comes at 256 KiB a second.
        assert!(batch.deadline(Some(1 << 30)) >= Duration::from_secs(4096));
        assert!(batch.deadline(None) > TRANSFER_DEADLINE);
        calls.begin(&batch);
    }
    assert_eq!(waits(calls.next(in_one(&jobs), later)), IDLE_LOOK);
    let others = [jobs, vec![job(10, Some(failed(Cause::Refused, 1, start)))]].concat();
    assert_eq!(fetched(calls.next(in_one(&others), later)).1, [10]);
    let mut longest = slow;
    for _ in 0..100 {
        longest = Late::after(Some(&longest), Cause::Slow, "late", 1, start);
    }
    let (batch, _) = fetched(Calls::default().next(in_one(&[job(0, Some(longest))]), later));
    assert_eq!(batch.deadline(None), TRANSFER_DEADLINE_MAX);
}

#[test]
fn a_trouble_is_told_when_it_lasts_and_in_the_words_that_it_began_with() {
    let now = Instant::now();
    let mut late = failed(Cause::Refused, 1, now);
    assert_eq!(late.told(), None);
    for n in 0..LATE_TOLD {
        late = Late::after(Some(&late), Cause::Refused, &format!("other words {n}"), 1, now);
    }
    let told = Obstacle { reason: "TransferFailed", why: "no".to_owned() };
    assert_eq!(late.told(), Some(told));
    let late = Late::after(Some(&late), Cause::DiskFull, "full", 1, now);
    assert_eq!(late.told().map(|told| told.reason), Some("DataFolderFull"));
}

#[test]
fn what_fails_again_and_again_holds_up_nothing_of_another_namespace() {
    let start = Instant::now();
    let mut calls = Calls::default();
    // One call for all has failed.
    let mut jobs: Vec<(&str, Job)> = (0..40)
        .map(|n| (if n < 37 { "a" } else { "b" }, job(n, Some(failed(Cause::Refused, 40, start)))))
        .collect();
    let mut now = start;
    for _ in 0..4 {
        now += 10 * MINUTE;
        let batch = match calls.next(jobs.iter().map(|(namespace, job)| (*namespace, job)), now) {
            Next::Fetch(batch) => batch,
            other => panic!("{other:?}"),
        };
        calls.begin(&batch);
        let tried: BTreeSet<u32> = batch.jobs.iter().map(|job| job.key.index).collect();
        let is_b = tried.iter().any(|index| *index >= 37);
        assert!(!is_b || tried == BTreeSet::from([37, 38, 39]), "{tried:?}");
        calls.end(&batch, is_b, now);
        if is_b {
            return;
        }
        for (_, job) in jobs.iter_mut().filter(|(_, job)| tried.contains(&job.key.index)) {
            let late = Late::after(job.late.as_deref(), Cause::Refused, "no", tried.len(), now);
            job.late = Some(Box::new(late));
        }
    }
    panic!("those of b were never tried");
}
