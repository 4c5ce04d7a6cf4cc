//! Tests of what people see of an HTCJob.

use htc_core::workload::progress::Outcome;

use super::*;
use crate::engine::{JobView, Want};

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

fn view(progress: Vec<Progress>, waiting: u64) -> View {
    let jobs = progress.into_iter().enumerate();
    let jobs = jobs.map(|(n, progress)| JobView { index: n as u32, progress, report: None }).collect();
    View { want: Want::Run, indices: 0, waiting, jobs, trouble: None }
}

fn of(view: &View, indices: u32) -> HTCJobStatus {
    let subject = Subject { uid: "u", generation: Some(1), indices, deleting: false, now: at(100) };
    status(subject, view, &HTCJobStatus::default())
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
fn a_failure_among_running_copies_is_not_the_end() {
    let running = Progress::Running { job: id(0), start: 1, since: at(1) };
    let status = of(&view(vec![running, ended(1, Outcome::ExitCode(1))], 0), 2);
    assert_eq!((status.active, status.failed, status.phase), (Some(1), Some(1), Some(Phase::Running)));
    assert_eq!(holds(&status, "Failed"), None);
}

#[test]
fn a_held_copy_says_why() {
    let held = Progress::Held { job: id(0), code: 12, subcode: 2, reason: "no output".into(), since: at(1) };
    let status = of(&view(vec![held], 0), 1);
    assert_eq!((status.phase, status.held, status.active), (Some(Phase::Held), Some(1), Some(1)));
    assert_eq!(status.reason.as_deref(), Some("JobHeld"));
    assert!(status.message.unwrap().contains("no output (hold code 12"));
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
