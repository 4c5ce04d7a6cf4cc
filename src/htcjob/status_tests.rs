//! Tests of what people see of an HTCJob.

use std::collections::BTreeMap;

use htc_core::workload::progress::Outcome;

use super::*;
use crate::engine::{JobView, Tracking, Want, WorkerFaults};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(proc: u32) -> JobId {
    JobId { cluster: 7, proc }
}

fn ended(proc: u32, outcome: Outcome) -> Progress {
    let end = End { outcome, message: "exit code 1".into(), at: at(50) };
    Progress::Ended { job: Some(id(proc)), end }
}

#[test]
fn the_status_says_where_the_outputs_are_and_when_they_were_removed() {
    let told = |outputs| {
        let view = View { outputs, ..view(vec![ended(0, Outcome::Succeeded)], 0) };
        let status = of(&view, 1);
        (status.outputs, status.outputs_collected)
    };
    assert_eq!(told(Outputs::Nowhere), (None, None));
    assert_eq!(
        told(Outputs::Home("/data/jobs/u/0.0.0/work".into())),
        (Some("/data/jobs/u/0.0.0/work".into()), None)
    );
    assert_eq!(told(Outputs::Collected(at(9))), (None, Some(Time(at(9)))));
}

fn view(progress: Vec<Progress>, waiting: u64) -> View {
    let jobs = progress.into_iter().enumerate();
    let job = |(n, progress): (usize, Progress)| JobView {
        index: n as u32,
        progress,
        starts: 0,
        report: None,
        published: false,
        outputs_lost: false,
        tracking: Tracking::Good,
        outputs_late: None,
    };
    let jobs = jobs.map(job).collect();
    View {
        worker_faults: BTreeMap::new(),
        door: "htcjob".to_owned(),
        workload: None,
        is_whole: true,
        want: Want::Run,
        indices: 0,
        waiting,
        jobs,
        inherited: false,
        trouble: None,
        vanished: None,
        pool_away: None,
        outputs: Outputs::Nowhere,
        owner: None,
    }
}

fn of(view: &View, indices: u32) -> HTCJobStatus {
    let subject = Subject { uid: "u", generation: Some(1), indices, deleting: false, now: at(100) };
    status(subject, view, &HTCJobStatus::default())
}

#[test]
fn a_copy_that_is_being_handed_over_changes_nothing_yet() {
    let waits = of(&view(vec![], 1), 1);
    for job in [None, Some(id(0))] {
        assert_eq!(of(&view(vec![Progress::Submitting { job }], 0), 1), waits);
    }
}

#[test]
fn outputs_that_are_lost_are_told_once() {
    let mut view = view(vec![ended(0, Outcome::Succeeded), ended(1, Outcome::ExitCode(1))], 0);
    view.jobs.iter_mut().for_each(|job| job.outputs_lost = true);
    let told = of(&view, 2);
    let message =
        "index 1: exit code 1; the outputs of index 0-1 could not be fetched from the pool and are lost";
    assert_eq!(told.message.as_deref(), Some(message));
    let subject = Subject { uid: "u", generation: Some(1), indices: 2, deleting: false, now: at(100) };
    assert_eq!(status(subject, &view, &told).message, told.message);
}

#[test]
fn an_end_that_was_told_keeps_its_time_and_its_ids_where_the_store_has_lost_them() {
    let (subject, good) = (
        Subject { uid: "u", generation: Some(1), indices: 2, deleting: false, now: at(100) },
        [ended(0, Outcome::Succeeded), ended(1, Outcome::Succeeded)],
    );
    let told = of(&view(good.to_vec(), 0), 2);
    assert_eq!((told.jobid.len(), told.clusterid.is_some()), (2, true));
    let without_id = |progress: &Progress| match progress {
        Progress::Ended { end, .. } => Progress::Ended { job: None, end: End { at: at(99), ..end.clone() } },
        other => other.clone(),
    };
    let lost = view(good.iter().map(without_id).collect(), 0);
    assert_eq!(status(subject, &lost, &told), told);
    // Nor are outputs lost whose time was over.
    let mut lost = lost;
    lost.jobs.iter_mut().for_each(|job| job.outputs_lost = true);
    let collected = HTCJobStatus { outputs_collected: Some(Time(at(60))), ..told.clone() };
    assert_eq!(status(subject, &lost, &collected), collected);
    // It is not of another object, nor of another end.
    let other = HTCJobStatus { uniqid: Some("v".into()), ..told.clone() };
    let new = status(subject, &lost, &other);
    assert_eq!((new.jobid.len(), new.completion_time), (0, Some(Time(at(99)))));
    let failed = HTCJobStatus { phase: Some(Phase::Failed), ..told };
    assert_eq!(status(subject, &lost, &failed).completion_time, Some(Time(at(99))));
}

#[test]
fn outputs_that_wait_in_the_pool_are_a_condition_until_they_are_home() {
    let mut view = view(vec![ended(0, Outcome::Succeeded), ended(1, Outcome::Succeeded)], 0);
    let late = |status: &HTCJobStatus| status.conditions.iter().find(|c| c.type_ == outputs::LATE).cloned();
    assert_eq!(late(&of(&view, 2)), None);
    view.jobs[1].outputs_late = Some(Obstacle { reason: "TransferFailed", why: "no READ".to_owned() });
    let waits = of(&view, 2);
    let told = late(&waits).unwrap();
    assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "TransferFailed"));
    assert!(told.message.contains("index 1 ") && told.message.ends_with("no READ"), "{}", told.message);
    assert_eq!(waits.phase, Some(Phase::Succeeded));
    view.jobs[1].outputs_late = None;
    let subject = Subject { uid: "u", generation: Some(1), indices: 2, deleting: false, now: at(100) };
    assert_eq!(late(&status(subject, &view, &waits)).unwrap().status, "False");
}

#[test]
fn what_is_in_the_way_is_told_to_those_who_wait() {
    let trouble = Some(Obstacle::full("the schedd takes no more".to_owned()));
    let told = of(&View { trouble, ..view(vec![], 1) }, 1);
    let reason_and_message = (told.reason.as_deref(), told.message.as_deref());
    assert_eq!(reason_and_message, (Some("QueueFull"), Some("the schedd takes no more")));
}

fn holds(status: &HTCJobStatus, kind: &str) -> Option<bool> {
    status.conditions.iter().find(|c| c.type_ == kind).map(|c| c.status == "True")
}

#[test]
fn active_is_what_has_not_ended_even_before_it_is_submitted() {
    let status = of(&view(vec![], 10), 10);
    assert_eq!((status.active, status.phase), (Some(10), Some(Phase::Pending)));
    assert_eq!(holds(&status, "Submitted"), Some(false));
    assert_eq!(status.completions.as_deref(), Some("0/10"));
}

#[test]
fn complete_needs_every_index_to_succeed() {
    let good = of(&view(vec![ended(0, Outcome::Succeeded), ended(1, Outcome::Succeeded)], 0), 2);
    assert_eq!((good.phase, holds(&good, "Complete")), (Some(Phase::Succeeded), Some(true)));
    assert_eq!(good.completion_time, Some(Time(at(50))));
    let bad = of(&view(vec![ended(0, Outcome::Succeeded), ended(1, Outcome::ExitCode(1))], 0), 2);
    assert_eq!((bad.phase, holds(&bad, "Failed")), (Some(Phase::Failed), Some(true)));
    assert_eq!((bad.completed_indexes.as_deref(), bad.failed_indexes.as_deref()), (Some("0"), Some("1")));
    assert_eq!(bad.message.as_deref(), Some("index 1: exit code 1"));
}

#[test]
fn a_failure_that_was_told_keeps_its_words() {
    let told = of(&view(vec![ended(0, Outcome::ExitCode(1))], 0), 1);
    let forgotten = view(vec![ended(0, Outcome::LostTrack)], 0);
    let subject = Subject { uid: "u", generation: Some(1), indices: 1, deleting: false, now: at(900) };
    assert_eq!(status(subject, &forgotten, &told), told);
    let of_another = Subject { uid: "v", ..subject };
    assert_eq!(status(of_another, &forgotten, &told).reason.as_deref(), Some("LostTrack"));
}

#[test]
fn a_failure_among_running_copies_is_not_the_end() {
    let running = Progress::Running { job: id(0), start: 1, since: at(1) };
    let status = of(&view(vec![running, ended(1, Outcome::ExitCode(1))], 0), 2);
    assert_eq!((status.active, status.failed, status.phase), (Some(1), Some(1), Some(Phase::Running)));
    assert_eq!(holds(&status, "Failed"), None);
}

fn held(proc: u32, code: i64, subcode: i64) -> Progress {
    Progress::Held { job: id(proc), code, subcode, reason: "It is so.".into(), since: at(1) }
}

fn condition_of<'a>(status: &'a HTCJobStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|c| c.type_ == kind).unwrap()
}

#[test]
fn a_held_copy_says_why_and_who_can_do_what() {
    let status = of(&view(vec![held(0, 34, 102)], 0), 1);
    assert_eq!((status.phase, status.held, status.active), (Some(Phase::Held), Some(1), Some(1)));
    assert_eq!(status.reason.as_deref(), Some("JobOutOfResources"));
    let message = status.message.clone().unwrap();
    assert!(message.starts_with("index 0: It is so (hold code 34, subcode 102). The job used more memory"));
    let condition = condition_of(&status, "Held");
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "JobOutOfResources"));
    assert_eq!(condition.message, format!("1 of 1 on hold; {message}"));
}

#[test]
fn holds_are_grouped_by_code_and_remedy_and_most_copies_come_first() {
    let copies = [held(0, 1, 0), held(1, 34, 102), held(2, 34, 104), held(3, 34, 102), held(4, 34, 102)];
    let running = Progress::Running { job: id(5), start: 1, since: at(1) };
    let status = of(&view([&copies[..], &[running]].concat(), 4), 10);
    assert_eq!(
        (status.phase, status.held, status.reason.as_deref()),
        (Some(Phase::Running), Some(5), Some("Running"))
    );
    let groups: Vec<_> =
        status.holds.iter().map(|h| (h.reason.as_str(), h.subcode, h.indexes.as_str())).collect();
    let expected =
        [("JobOutOfResources", 102, "1,3-4"), ("UserRequest", 0, "0"), ("JobOutOfResources", 104, "2")];
    assert_eq!(groups, expected);
    let condition = condition_of(&status, "Held");
    assert_eq!(condition.reason, "JobOutOfResources");
    for words in ["5 of 10 on hold; index 1,3-4: ", "; index 0: ", "; index 2: "] {
        assert!(condition.message.contains(words), "{}", condition.message);
    }
}

#[test]
fn what_was_on_hold_is_released_and_what_never_was_says_nothing() {
    let subject = Subject { uid: "u", generation: Some(1), indices: 1, deleting: false, now: at(200) };
    let queued = view(vec![Progress::Queued { job: id(0) }], 0);
    assert_eq!(holds(&of(&queued, 1), "Held"), None);
    let before = of(&view(vec![held(0, 1, 0)], 0), 1);
    let released = status(subject, &queued, &before);
    let condition = condition_of(&released, "Held");
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "Released"));
    assert!(condition.last_transition_time.0 == at(200) && released.holds.is_empty());
    let done = status(subject, &view(vec![ended(0, Outcome::Succeeded)], 0), &released);
    assert_eq!(holds(&done, "Held"), Some(false));
}

#[test]
fn a_suspended_copy_is_on_its_machine_and_not_on_hold() {
    let suspended = Progress::Suspended { job: id(0), since: at(1) };
    let alone = of(&view(vec![suspended.clone()], 0), 1);
    assert_eq!((alone.phase, alone.held), (Some(Phase::Running), Some(0)));
    assert_eq!((alone.reason.as_deref(), holds(&alone, "Held")), (Some("Suspended"), None));
    assert!(alone.message.unwrap().starts_with("index 0: the pool has stopped it"));
    let running = Progress::Running { job: id(1), start: 1, since: at(1) };
    let status = of(&view(vec![suspended, running], 0), 2);
    assert_eq!((status.reason.as_deref(), status.message), (Some("Running"), None));
}

#[test]
fn a_copy_that_has_lost_its_machine_says_so() {
    let mut view = view(vec![Progress::Queued { job: id(0) }, Progress::Queued { job: id(1) }], 0);
    assert_eq!(of(&view, 2).message, None);
    view.jobs[1].starts = 1;
    let status = of(&view, 2);
    assert_eq!((status.phase, status.reason.as_deref()), (Some(Phase::Submitted), Some("InQueue")));
    assert_eq!(
        status.message.as_deref(),
        Some("index 1: has lost its machine and waits in the queue to start again")
    );
}

#[test]
fn ids_are_listed_twice_and_beyond_a_thousand_as_ranges() {
    let few = of(&view(vec![Progress::Queued { job: id(0) }], 0), 1);
    assert_eq!((few.jobid, few.job_ranges), (vec!["7.0".to_owned()], vec![]));
    let many = of(&view((0..1500).map(|n| Progress::Queued { job: id(n) }).collect(), 0), 1500);
    assert_eq!((many.jobids.len(), many.job_ranges), (1000, vec!["7.0-1499".to_owned()]));
}

#[test]
fn a_condition_keeps_its_time_until_it_changes_its_mind() {
    let view = view(vec![Progress::Queued { job: id(0) }], 0);
    let first = of(&view, 1);
    let subject = Subject { uid: "u", generation: Some(1), indices: 1, deleting: false, now: at(900) };
    assert_eq!(status(subject, &view, &first), first);
    assert_eq!(patch(&first, &first), None);
}

#[test]
fn a_patch_holds_only_what_changed_and_removes_what_went() {
    let old = HTCJobStatus { active: Some(1), message: Some("x".into()), ..HTCJobStatus::default() };
    let new = HTCJobStatus { active: Some(0), ..HTCJobStatus::default() };
    assert_eq!(patch(&old, &new).unwrap(), serde_json::json!({"status": {"active": 0, "message": null}}));
}

#[test]
fn intervals_read_back() {
    for numbers in [vec![], vec![0], vec![0, 1, 2], vec![0, 2, 3, 9]] {
        let text = intervals(numbers.iter().copied()).unwrap_or_default();
        assert_eq!(parse_intervals(&text), numbers, "{text}");
    }
}

#[test]
fn the_largest_status_there_can_be_is_far_below_what_etcd_takes() {
    // Every other index fails, and every job is a cluster of its own: nothing joins into ranges.
    let indices = crate::limits::QUEUE_MAX;
    let outcome = |n: u32| if n.is_multiple_of(2) { Outcome::Succeeded } else { Outcome::ExitCode(1) };
    let of_own_cluster = |n: u32| {
        let end = End { outcome: outcome(n), message: "x".repeat(crate::limits::MESSAGE_MAX), at: at(50) };
        Progress::Ended { job: Some(JobId { cluster: 90_000_000 + n, proc: 0 }), end }
    };
    let status = of(&view((0..indices).map(of_own_cluster).collect(), 0), indices);
    assert_eq!((status.succeeded, status.failed), (Some(10_000), Some(10_000)));
    assert!(status.completed_indexes.as_ref().is_some_and(|text| text.ends_with(",19996,19998")));
    let bytes = serde_json::to_vec(&status).unwrap().len();
    assert!(bytes < 512 << 10, "{bytes} bytes; an object may have 1.5 MiB");
}

#[test]
fn a_pool_that_is_away_is_told_to_what_has_not_ended_and_so_is_its_return() {
    let running = || view(vec![Progress::Queued { job: id(0) }], 0);
    let away = || Some("the pool has not answered since noon: schedd down".to_owned());
    assert_eq!(holds(&of(&running(), 1), POOL_REACHABLE), None, "it was never away");
    let told = of(&View { pool_away: away(), ..running() }, 1);
    assert_eq!(holds(&told, POOL_REACHABLE), Some(false));
    let condition = told.conditions.iter().find(|c| c.type_ == POOL_REACHABLE).unwrap();
    assert_eq!(
        (condition.reason.as_str(), condition.message.contains("since noon")),
        (POOL_UNAVAILABLE, true)
    );
    let subject = Subject { uid: "u", generation: Some(1), indices: 1, deleting: false, now: at(200) };
    assert_eq!(holds(&status(subject, &running(), &told), POOL_REACHABLE), Some(true));
    let over = View { pool_away: away(), ..view(vec![ended(0, Outcome::Succeeded)], 0) };
    assert_eq!(holds(&of(&over, 1), POOL_REACHABLE), None, "an end does not change");
}

#[test]
fn a_sentence_about_a_very_long_text_fits_into_a_status() {
    let long = "x".repeat(1_400_000);
    let subject = Subject { uid: "u", generation: Some(1), indices: 1, deleting: false, now: at(1) };
    let refused = refused(subject, &long, &HTCJobStatus::default());
    let end = End { outcome: Outcome::SubmitRefused, message: long.clone(), at: at(1) };
    let failed = of(&view(vec![Progress::Ended { job: None, end }], 0), 1);
    let waits = of(&View { trouble: Some(Obstacle::ours(long)), ..view(vec![], 1) }, 1);
    for status in [refused, failed, waits] {
        assert!(serde_json::to_vec(&status).unwrap().len() < 32 << 10, "{:?}", status.phase);
    }
}

#[test]
fn a_worker_that_cannot_run_a_copy_is_told_until_another_one_does() {
    let faults = WorkerFaults {
        attempt: 0,
        submission: 0,
        times: 2,
        machines: vec!["w1".to_owned(), "w2".to_owned()],
        until: 3_600,
        why: "no apptainer".to_owned(),
    };
    let told = |progress: Progress, old: &HTCJobStatus| {
        let view = View { worker_faults: [(0, faults.clone())].into(), ..view(vec![progress], 0) };
        let subject = Subject { uid: "u", generation: Some(1), indices: 1, deleting: false, now: at(100) };
        let status = status(subject, &view, old);
        let it = status.conditions.iter().find(|c| c.type_ == "WorkerCannotRun").cloned();
        (it.map(|c| (c.status, c.message)), status)
    };
    let (waits, status) = told(Progress::Queued { job: id(0) }, &HTCJobStatus::default());
    let message = "index 0: could not be run on w1, w2 (no apptainer); it is tried on other machines, and from \
                   1970-01-01T01:00:00Z on also there (2 times so far)";
    assert_eq!(waits, Some(("True".to_owned(), message.to_owned())));
    let runs = || Progress::Running { job: id(0), start: 1, since: at(1) };
    assert_eq!(told(runs(), &status).0.map(|(status, _)| status).as_deref(), Some("False"));
    assert_eq!(told(runs(), &HTCJobStatus::default()).0, None);
}
