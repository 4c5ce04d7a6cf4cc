//! What follows from what: each case is a job, an answer, and a verdict.

use std::time::Duration;

use htc_core::workload::names::JobKey;
use htc_core::workload::report::Cut;
use rstest::rstest;

use super::*;
use crate::engine::board::{InQueue, Witness};

fn key() -> JobKey {
    "u/0/0/0".parse().unwrap()
}

pub(super) fn id() -> JobId {
    JobId { cluster: 7, proc: 0 }
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn ad(state: State) -> Ad {
    let folder = String::new();
    Ad {
        key: key(),
        job: id(),
        state,
        since: at(5),
        staged: true,
        starts: 1,
        ran: true,
        vacated: String::new(),
        machine: None,
        acknowledged: false,
        removed: false,
        folder,
        chirp: None,
        unread: vec![],
    }
}

fn unstaged_ad() -> Ad {
    let state = State::Held { code: 16, subcode: 0, reason: String::new() };
    Ad { staged: false, starts: 0, ran: false, ..ad(state) }
}

fn job(progress: Progress, intent: Option<i64>) -> Job {
    Job { starts: 1, ..Job::new(key(), "/f".into(), progress, intent) }
}

fn submitting() -> Job {
    Job { starts: 0, ..job(Progress::Submitting { job: None }, Some(1)) }
}

fn missing(since: Instant) -> InQueue {
    InQueue::MissingSince { since, sought: None }
}

fn queued() -> Job {
    job(Progress::Queued { job: id() }, None)
}

fn intent(dead: Option<(Instant, ToolEnd)>) -> Intent {
    Intent { created: 1_000, deadline: 1_180, rows: 1, witness: Witness::Submitter, dead }
}

fn of(intent: &Intent) -> Context<'_> {
    Context { intent: Some(intent), ..Context::default() }
}

const HOUR: Duration = Duration::from_secs(3_600);

fn outage() -> ToolEnd {
    ToolEnd::Failed(Failure::Pool, String::new())
}

/// A look that started a minute after the tools of these tests died.
fn look() -> (Instant, Look) {
    let died = Instant::now();
    (
        died,
        Look {
            started: died + Duration::from_secs(60),
            epoch: 1_060,
            lost_after: Duration::from_secs(60),
            refused_after: HOUR,
        },
    )
}

pub(super) fn report(start: u32, phase: Phase, retcode: Option<i32>) -> Report {
    Report {
        name: "x".into(),
        namespace: "n".into(),
        jobid: None,
        retcode,
        key: key(),
        start,
        seq: 1,
        now: at(9),
        phase,
        cut: None,
        worker_fault: None,
        left_out: None,
        init_containers: vec![],
        containers: vec![],
    }
}

#[rstest]
#[case::after_success(ToolEnd::Well)]
#[case::after_an_outage(outage())]
#[case::after_a_restart(ToolEnd::Unknown)]
fn absence_proves_nothing_until_it_was_asked_for_after_the_tool_was_dead(#[case] end: ToolEnd) {
    let (died, look) = look();
    let early = Look { started: died, ..look };
    let judge_at = |intent: &Intent, look| judge(&submitting(), of(intent), None, look);
    assert_eq!(judge_at(&intent(None), look), Verdict::Nothing);
    assert_eq!(judge_at(&intent(Some((died, end.clone()))), early), Verdict::Nothing);
    assert_eq!(judge_at(&intent(Some((died, end))), look), Verdict::NeverRan);
}

#[test]
fn a_printed_id_proves_the_commit_so_absence_is_no_leave_to_submit_again() {
    let (died, look) = look();
    let printed = Job { progress: Progress::Submitting { job: Some(id()) }, ..submitting() };
    let dead = intent(Some((died, ToolEnd::Unknown)));
    assert_eq!(judge(&printed, of(&dead), None, look), Verdict::Missing);
    let long = Job { in_queue: missing(look.started - Duration::from_secs(60)), ..printed };
    let Verdict::Ended(end) = judge(&long, of(&dead), None, look) else { panic!() };
    assert_eq!(end.outcome, Outcome::LostTrack);
}

#[test]
fn where_an_ad_cannot_be_read_absence_proves_nothing() {
    let (died, look) = look();
    let dead = intent(Some((died, ToolEnd::Unknown)));
    let hidden = Context { hidden: true, ..of(&dead) };
    assert_eq!(judge(&submitting(), hidden, None, look), Verdict::Nothing);
    let long = Job { in_queue: missing(look.started - Duration::from_secs(600)), ..queued() };
    assert_eq!(judge(&long, Context { intent: None, ..hidden }, None, look), Verdict::Nothing);
}

#[test]
fn a_job_that_we_let_go_is_not_missing() {
    let (_, look) = look();
    let released = Job { in_queue: InQueue::Released, ..queued() };
    assert_eq!(judge(&released, Context::default(), None, look), Verdict::Nothing);
    let printed = Progress::Submitting { job: Some(id()) };
    let unsettled = Job { progress: printed, intent: Some(1), ..released };
    let (died, look) = self::look();
    let dead = intent(Some((died, ToolEnd::Well)));
    let Verdict::Ended(end) = judge(&unsettled, of(&dead), None, look) else { panic!() };
    assert_eq!(end.outcome, Outcome::Removed);
}

#[test]
fn a_refusal_ends_a_job_only_when_it_stood_alone_for_an_hour() {
    let (died, look) = look();
    let alone = intent(Some((died, ToolEnd::Failed(Failure::Refused, "no memory".into()))));
    let judge_of = |intent: &Intent, refused_since| {
        judge(&submitting(), Context { refused_since, ..of(intent) }, None, look)
    };
    assert_eq!(judge_of(&alone, None), Verdict::NeverRan);
    assert_eq!(judge_of(&alone, Some(look.epoch - 3_599)), Verdict::NeverRan);
    let Verdict::Ended(end) = judge_of(&alone, Some(look.epoch - 3_600)) else { panic!() };
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::SubmitRefused, "no memory"));
    let batch = Intent { rows: 2, ..alone };
    assert_eq!(judge_of(&batch, Some(0)), Verdict::NeverRan);
}

#[rstest]
#[case(Failure::Pool)]
#[case(Failure::Ours)]
#[case(Failure::Spool)]
#[case(Failure::Batch)]
#[case(Failure::Queue)]
#[case(Failure::Unknown)]
fn no_other_failure_ends_a_job_however_long_it_lasts(#[case] about: Failure) {
    let (died, look) = look();
    let alone = intent(Some((died, ToolEnd::Failed(about, "what?".into()))));
    let context = Context { refused_since: Some(0), ..of(&alone) };
    assert_eq!(judge(&submitting(), context, None, look), Verdict::NeverRan);
}

#[test]
fn absence_of_an_old_intent_is_not_trusted() {
    let (died, look) = look();
    let old = Intent { created: look.epoch - 10 * 86_400, ..intent(Some((died, ToolEnd::Unknown))) };
    assert_eq!(judge(&submitting(), of(&old), None, look), Verdict::Missing);
}

#[test]
fn an_ad_with_all_its_files_counts_even_while_the_tool_lives() {
    let (_, look) = look();
    let verdict = judge(&submitting(), of(&intent(None)), Some(&ad(State::Idle)), look);
    assert_eq!(verdict, Verdict::Living(Progress::Queued { job: id() }));
}

#[test]
fn a_job_without_its_files_is_removed_only_when_nobody_sends_them_any_more() {
    let (died, look) = look();
    let judge_of = |dead, look| judge(&submitting(), of(&intent(dead)), Some(&unstaged_ad()), look);
    assert_eq!(judge_of(None, look), Verdict::Nothing);
    // However the tool ended, the schedd is given a moment to say that the last file has arrived.
    let soon = Look { started: died + Duration::from_secs(1), ..look };
    for end in [ToolEnd::Well, outage(), ToolEnd::Unknown] {
        assert_eq!(judge_of(Some((died, end.clone())), soon), Verdict::Nothing, "{end:?}");
        assert_eq!(judge_of(Some((died, end.clone())), look), Verdict::Unstaged, "{end:?}");
    }
}

#[test]
fn a_job_that_was_removed_before_it_had_its_files_never_ran() {
    let (died, look) = look();
    let removed = Ad { state: State::Removed { reason: String::new() }, ..unstaged_ad() };
    let dead = intent(Some((died, outage())));
    assert_eq!(judge(&submitting(), of(&dead), Some(&removed), look), Verdict::NeverRan);
}

#[test]
fn a_settled_job_that_stays_missing_is_lost_and_never_submitted_again() {
    let (_, look) = look();
    assert_eq!(judge(&queued(), Context::default(), None, look), Verdict::Missing);
    let soon = Job { in_queue: missing(look.started - Duration::from_secs(59)), ..queued() };
    assert_eq!(judge(&soon, Context::default(), None, look), Verdict::Missing);
    let twice = Job { in_queue: missing(look.started - Duration::from_secs(60)), ..queued() };
    let Verdict::Ended(end) = judge(&twice, Context::default(), None, look) else { panic!() };
    assert_eq!(end.outcome, Outcome::LostTrack);
    let last = Some(report(1, Phase::Done, Some(0)).into());
    let Verdict::Ended(end) = judge(&Job { report: last, ..twice }, Context::default(), None, look) else {
        panic!()
    };
    assert_eq!(end.outcome, Outcome::Succeeded);
}

#[test]
fn a_suspended_job_is_not_on_hold() {
    let (_, look) = look();
    let verdict = judge(&queued(), Context::default(), Some(&ad(State::Suspended)), look);
    assert_eq!(verdict, Verdict::Living(Progress::Suspended { job: id(), since: at(5) }));
}

#[test]
fn an_answer_that_is_older_than_the_last_report_changes_nothing() {
    let (_, look) = look();
    let running = Progress::Running { job: id(), start: 2, since: at(1) };
    let ahead = Job { starts: 2, ..job(running, None) };
    assert_eq!(judge(&ahead, Context::default(), Some(&ad(State::Idle)), look), Verdict::Nothing);
}

/// May start only once.
const ONCE: Context<'_> =
    Context { intent: None, refused_since: None, once: true, hidden: false, faults: None };

fn running() -> Job {
    job(Progress::Running { job: id(), start: 1, since: at(1) }, None)
}

fn held(code: i64, subcode: i64) -> State {
    State::Held { code, subcode, reason: "why".into() }
}

#[rstest]
#[case::evicted(State::Idle, Outcome::Evicted, "job 7.0 lost its machine (gone)")]
#[case::on_hold(held(1, 0), Outcome::OnHold, "job 7.0 was put on hold (why)")]
#[case::memory(held(34, 102), Outcome::OutOfMemory, "job 7.0 used more memory than it asked for (why)")]
fn what_may_start_only_once_has_ended_when_it_is_off_its_machine(
    #[case] state: State,
    #[case] outcome: Outcome,
    #[case] what: &str,
) {
    let (_, look) = look();
    let ad = Ad { vacated: "gone".into(), ..ad(state) };
    let Verdict::Ended(end) = judge(&running(), ONCE, Some(&ad), look) else { panic!("it waits for ever") };
    assert_eq!((end.outcome, end.at), (outcome, at(5)));
    let rest = "; it had started, may start only once, and its files stay there";
    assert_eq!(end.message, format!("{what}{rest}"));
    // The same of a job that may start again is no end.
    let again = judge(&running(), Context::default(), Some(&ad), look);
    assert!(matches!(again, Verdict::Living(_)));
}

#[test]
fn what_may_start_only_once_waits_on_as_long_as_the_pool_may_start_it() {
    let (_, look) = look();
    // Its shadow ended before its first process began: its requirements are still met.
    let waits = Ad { ran: false, ..ad(State::Idle) };
    assert_eq!(judge(&running(), ONCE, Some(&waits), look), Verdict::Living(Progress::Queued { job: id() }));
    let on_hold = Ad { ran: false, ..ad(held(13, 0)) };
    assert!(matches!(judge(&running(), ONCE, Some(&on_hold), look), Verdict::Living(Progress::Held { .. })));
    for state in [State::Running, State::Suspended] {
        let verdict = judge(&running(), ONCE, Some(&ad(state.clone())), look);
        assert!(matches!(verdict, Verdict::Living(_) | Verdict::Nothing), "{state:?}: {verdict:?}");
    }
    // It was never seen settled: that comes first, so that its id is known.
    let intent = intent(None);
    let context = Context { intent: Some(&intent), ..ONCE };
    let verdict = judge(&submitting(), context, Some(&ad(State::Idle)), look);
    assert_eq!(verdict, Verdict::Living(Progress::Queued { job: id() }));
}

#[test]
fn the_last_word_of_its_only_start_is_the_end_though_its_files_did_not_travel() {
    let (_, look) = look();
    let told = |start, phase| {
        let job = Job { report: Some(report(start, phase, Some(3)).into()), ..running() };
        match judge(&job, ONCE, Some(&Ad { starts: 2, ..ad(State::Idle) }), look) {
            Verdict::Ended(end) => end.outcome,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told(2, Phase::Done), Outcome::ExitCode(3));
    assert_eq!(told(2, Phase::Stopping), Outcome::Evicted, "asked to stop is no end of its own");
    assert_eq!(told(1, Phase::Done), Outcome::Evicted, "another start came after it");
}

#[test]
fn a_report_of_a_new_start_is_news_and_one_of_an_evicted_start_is_not() {
    let news = |job: &Job, start, phase| reported(job, &report(start, phase, None)).is_some();
    assert!(!news(&queued(), 1, Phase::Running), "that start was evicted");
    assert!(news(&queued(), 2, Phase::Running));
    assert!(!news(&queued(), 2, Phase::Stopping), "what stops is not news");
    assert!(!news(&submitting(), 1, Phase::Running), "only the ad settles a submission");
}

#[rstest]
#[case(Exit::Code(0), Outcome::Succeeded, "")]
#[case(
    Exit::Code(3),
    Outcome::ExitCode(3),
    "exit code 3, without a report of the job itself; sender.out in its folder may say why"
)]
#[case(Exit::Signal(9), Outcome::Signal(9), "signal 9 (SIGKILL) ended the job's first process on the worker")]
fn the_ad_alone_is_evidence(#[case] exit: Exit, #[case] outcome: Outcome, #[case] message: &str) {
    let finished = Finished { job: id(), exit, at: at(5), seen: Instant::now(), machine: None };
    let end = end(&finished, 1, None);
    assert_eq!((end.outcome, end.at), (outcome, at(5)));
    assert_eq!(end.message, message);
}

#[test]
fn the_report_says_what_the_exit_code_cannot_but_only_of_the_latest_start() {
    let state = ContainerState::Terminated {
        exit_code: 127,
        signal: None,
        reason: "ContainerCannotRun".into(),
        message: "no such command".into(),
        started_at: None,
        finished_at: at(4),
    };
    let containers = vec![ContainerStatus { name: "main".into(), state }];
    let told = Report { containers, ..report(1, Phase::Done, Some(127)) };
    let finished =
        Finished { job: id(), exit: Exit::Code(127), at: at(5), seen: Instant::now(), machine: None };
    let explained = end(&finished, 1, Some(&told));
    assert_eq!(explained.outcome, Outcome::CannotRun);
    assert_eq!(explained.message, "container main: no such command");
    assert_eq!(end(&finished, 2, Some(&told)).outcome, Outcome::ExitCode(127));
}

#[test]
fn a_job_that_was_cut_short_says_why_and_not_how_its_containers_took_it() {
    let cut = Some(Cut::Volume { name: "data".into(), bytes: 2, limit: 1 });
    let told = Report { cut, ..report(1, Phase::Done, Some(143)) };
    let finished =
        Finished { job: id(), exit: Exit::Code(143), at: at(5), seen: Instant::now(), machine: None };
    let end = end(&finished, 1, Some(&told));
    assert_eq!(end.outcome, Outcome::ExitCode(143));
    assert_eq!(end.message, "volume data holds 2 bytes, more than its limit of 1");
}

#[test]
fn when_a_lost_job_ended_is_not_told_by_the_clock_of_its_worker() {
    let (_, look) = look();
    let lost = Job {
        intent: None,
        progress: Progress::Queued { job: id() },
        in_queue: missing(look.started - look.lost_after),
        ..submitting()
    };
    for years in [-30, 30] {
        let now = at(look.epoch) + jiff::SignedDuration::from_hours(years * 365 * 24);
        let told = Report { now, ..report(1, Phase::Done, Some(0)) };
        let job = Job { report: Some(std::sync::Arc::new(told)), ..lost.clone() };
        let Verdict::Ended(end) = judge(&job, Context::default(), None, look) else { panic!("it is lost") };
        assert_eq!((end.outcome, end.at), (Outcome::Succeeded, at(look.epoch)));
    }
}
