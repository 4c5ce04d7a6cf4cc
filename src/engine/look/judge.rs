//! Judges one job by evidence: what we believe, what HTCondor's answer says, what the job said.
//! Pure functions of values.

use std::time::{Duration, Instant};

use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use htc_core::workload::report::{ContainerState, ContainerStatus, Phase, Report};
use jiff::Timestamp;

use super::absence;
use crate::condor::ad::{Ad, Exit, SPOOLING_INPUT, State};
use crate::condor::failure::Failure;
use crate::condor::holds;
use crate::engine::board::{Finished, Intent, Job, ToolEnd};
use crate::engine::submit::doubt::is_over;
use crate::engine::words;
use crate::engine::workers::WorkerFaults;
use crate::limits::{HOLD_REASON_MAX, INTENT_TRUSTED, MESSAGE_MAX, STAGE_PATIENCE};

/// What follows from a look at one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Nothing,
    /// It is in the queue with all its files, in this state.
    Living(Progress),
    /// It is over by its ad, in state 4; its result tells more.
    Finished(JobId, Exit, Timestamp),
    /// It is known to be over by its ad, and all is known of that, or nothing more is waited for.
    Concluded,
    /// It is over.
    Ended(End),
    /// Proven: this submission was never committed, or never ran. The attempt goes on.
    NeverRan,
    /// It was committed but its files did not all arrive, and nobody sends them any more.
    Unstaged,
    /// It should be in the queue and is not, which alone ends nothing.
    Missing,
}

/// When the answer was asked for, by our clock and as the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// When the query started: what happened later it need not show.
    pub started: Instant,
    /// The same, epoch seconds.
    pub epoch: i64,
    /// How long a job may be missing before it is lost.
    pub lost_after: Duration,
    /// How long a job that is refused is tried again before that is its end.
    pub refused_after: Duration,
}

/// What counts beside the job itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The submission it belongs to, as long as that is not settled.
    pub intent: Option<&'a Intent>,
    /// Since when its index is refused, epoch seconds.
    pub refused_since: Option<i64>,
    /// Whether the pool may start it only once.
    pub once: bool,
    /// Whether its ad may be there though the answer does not show it.
    pub hidden: bool,
    /// The workers that have failed its index.
    pub faults: Option<&'a WorkerFaults>,
}

/// Judges a job whose end is not known by a complete answer.
pub fn judge(job: &Job, context: Context<'_>, ad: Option<&Ad>, look: Look) -> Verdict {
    match (ad, job.intent) {
        // An ad that cannot be read may be its ad.
        (None, _) if context.hidden => Verdict::Nothing,
        (Some(ad), None) if context.once && is_spent(ad) => Verdict::Ended(spent(job, ad)),
        (Some(ad), _) if ad.staged => staged(job, ad),
        (Some(ad), Some(_)) => unstaged(context, ad, look),
        (None, Some(_)) => absent(job, context, look),
        // Settled, so it was seen with all its files: an ad without them is not this job's.
        (Some(_), None) => Verdict::Nothing,
        (None, None) => absence::missing(job, look),
    }
}

/// An ad with all its files: it counts, whatever became of the tool that brought it.
fn staged(job: &Job, ad: &Ad) -> Verdict {
    let id = ad.job;
    let progress = match &ad.state {
        State::Completed(exit) => return Verdict::Finished(id, *exit, ad.since),
        State::Removed { reason } => return Verdict::Ended(removed(reason, ad.since)),
        // The job itself has told us of a later start than this answer knows.
        _ if ad.starts < job.starts && job.intent.is_none() => return Verdict::Nothing,
        // All files are here, and the schedd is about to let it go.
        State::Idle | State::Held { code: SPOOLING_INPUT, .. } => Progress::Queued { job: id },
        State::Running => Progress::Running { job: id, start: ad.starts.max(1), since: ad.since },
        State::Suspended => Progress::Suspended { job: id, since: ad.since },
        State::Held { code, subcode, reason } => Progress::Held {
            job: id,
            code: *code,
            subcode: *subcode,
            reason: words::shortened(reason.clone(), HOLD_REASON_MAX),
            since: ad.since,
        },
    };
    if progress == job.progress && job.intent.is_none() {
        Verdict::Nothing
    } else {
        Verdict::Living(progress)
    }
}

/// Whether a job that may start only once can never start again though it stays in the queue: it has
/// started, and it is on no machine. The pool judges by the same attribute, so no claim is reused and nobody's
/// `condor_release` helps; while a schedd that was started anew looks for its machine, it counts as running.
pub fn is_spent(ad: &Ad) -> bool {
    ad.staged && ad.ran && matches!(ad.state, State::Idle | State::Held { .. })
}

/// The end of a job that can never start again. Its files stay where it ran.
fn spent(job: &Job, ad: &Ad) -> End {
    // It had come to its own end, and only its files were still to travel.
    if let Some(report) = job.final_report().filter(|report| report.start >= ad.starts) {
        return by_report(report, ad.since);
    }
    let id = ad.job;
    let (outcome, what, why) = match &ad.state {
        State::Held { code, subcode, reason } if holds::is_out_of_memory(*code, *subcode) => {
            (Outcome::OutOfMemory, format!("job {id} used more memory than it asked for"), reason)
        }
        State::Held { reason, .. } => (Outcome::OnHold, format!("job {id} was put on hold"), reason),
        _ => (Outcome::Evicted, format!("job {id} lost its machine"), &ad.vacated),
    };
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let message = format!("{what}{why}; it had started, may start only once, and its files stay there");
    End { outcome, message: words::shortened(message, MESSAGE_MAX), at: ad.since }
}

/// An ad without all its files never ran: it is neither adopted nor an end. What never comes through is no
/// fault of the job's, so it is tried without end.
fn unstaged(context: Context<'_>, ad: &Ad, look: Look) -> Verdict {
    match (&ad.state, context.intent.and_then(|intent| intent.dead.as_ref())) {
        (State::Removed { .. } | State::Completed(_), Some(_)) => Verdict::NeverRan,
        (_, Some((since, _))) => {
            // The last file may have arrived though the tool never said so, after exit 0, a crash of
            // ours or a deadline alike: the schedd gets a moment to say it.
            if look.started.saturating_duration_since(*since) > STAGE_PATIENCE {
                Verdict::Unstaged
            } else {
                Verdict::Nothing
            }
        }
        (_, None) => Verdict::Nothing,
    }
}

/// No ad: proof only when the question was asked after the tool was dead.
fn absent(job: &Job, context: Context<'_>, look: Look) -> Verdict {
    let Some(intent) = context.intent else { return Verdict::Nothing };
    let Some((since, end)) = &intent.dead else { return Verdict::Nothing };
    if *since >= look.started {
        return Verdict::Nothing;
    }
    // The tool prints an id after the commit: the job was there.
    let committed = job.progress.job().is_some();
    if committed || look.epoch - intent.created > INTENT_TRUSTED.as_secs().cast_signed() {
        return absence::missing(job, look);
    }
    match end {
        // In a batch nobody knows which row was meant: they are tried again in halves. And a refusal may be
        // the site's mistake, which it mends within the hour.
        ToolEnd::Failed(Failure::Refused, why)
            if intent.rows == 1
                && context.refused_since.is_some_and(|s| is_over(s, look.epoch, look.refused_after)) =>
        {
            let message = words::shortened(why.clone(), MESSAGE_MAX);
            Verdict::Ended(End { outcome: Outcome::SubmitRefused, message, at: at(look) })
        }
        ToolEnd::Failed(..) | ToolEnd::Well | ToolEnd::Unknown => Verdict::NeverRan,
    }
}

/// The end of a job in state 4: its exit code is the fact, its own words say more.
pub fn end(finished: &Finished, starts: u32, report: Option<&Report>) -> End {
    let report = report.filter(|report| report.is_final() && report.start >= starts);
    let culprit = report.and_then(|report| failed_container(report));
    let cut = report.and_then(|report| report.cut.as_ref());
    let (outcome, mut message) = match finished.exit {
        Exit::Code(0) => (Outcome::Succeeded, String::new()),
        Exit::Code(code) => match (culprit, report) {
            _ if let Some(cut) = cut => (Outcome::ExitCode(code), cut.to_string()),
            (Some((reason, text)), _) if is_start_failure(reason) => (Outcome::CannotRun, text),
            (Some((_, text)), _) => (Outcome::ExitCode(code), text),
            (None, Some(_)) => (Outcome::ExitCode(code), words::exit_code(code)),
            (None, None) => {
                let text = format!(
                    "{}, without a report of the job itself; sender.out in its folder may say why",
                    words::exit_code(code)
                );
                (Outcome::ExitCode(code), text)
            }
        },
        Exit::Signal(number) => {
            let what = words::signal(number);
            (Outcome::Signal(number), format!("{what} ended the job's first process on the worker"))
        }
    };
    if let Some(left_out) = report.and_then(|report| report.left_out.as_ref()) {
        let between = if message.is_empty() { "" } else { "; " };
        message = format!("{message}{between}{left_out}");
    }
    End { outcome, message: words::shortened(message, MESSAGE_MAX), at: finished.at }
}

/// The end by the job's own last words, when HTCondor has forgotten the job.
pub(super) fn by_report(report: &Report, at: Timestamp) -> End {
    let exit = Exit::Code(report.retcode.unwrap_or(255));
    // Not by the clock of its worker, which nobody has looked after.
    let finished =
        Finished { job: JobId { cluster: 0, proc: 0 }, exit, at, seen: Instant::now(), machine: None };
    end(&finished, report.start, Some(report))
}

/// The progress that a report tells of, where it is news: the ad follows a little later.
pub fn reported(job: &Job, report: &Report) -> Option<Progress> {
    let id = match &job.progress {
        Progress::Queued { job } | Progress::Running { job, .. } => *job,
        _ => return None,
    };
    let news = match &job.progress {
        // After an eviction an old report may still come in; a new start has a higher number.
        Progress::Queued { .. } => report.start > job.starts,
        Progress::Running { start, .. } => report.start > *start,
        _ => false,
    };
    (news && report.phase != Phase::Stopping).then_some(Progress::Running {
        job: id,
        start: report.start,
        since: report.now,
    })
}

fn failed_container(report: &Report) -> Option<(&str, String)> {
    let failed = |status: &'_ ContainerStatus| match &status.state {
        ContainerState::Terminated { exit_code, .. } => *exit_code != 0,
        _ => false,
    };
    let status = report.init_containers.iter().chain(&report.containers).find(|status| failed(status))?;
    let ContainerState::Terminated { exit_code, signal, reason, message, .. } = &status.state else {
        return None;
    };
    let name = &status.name;
    let text = match (signal, message.is_empty()) {
        (_, false) => format!("container {name}: {message}"),
        (Some(number), true) => format!("container {name} was ended by {}", words::signal(*number)),
        (None, true) => format!("container {name}: {}", words::exit_code(*exit_code)),
    };
    Some((reason, text))
}

fn is_start_failure(reason: &str) -> bool {
    matches!(reason, "ContainerCannotRun" | "ErrImagePull")
}

pub(super) fn removed(reason: &str, at: Timestamp) -> End {
    let message = if reason.is_empty() { "removed from the queue".to_owned() } else { reason.to_owned() };
    End { outcome: Outcome::Removed, message: words::shortened(message, MESSAGE_MAX), at }
}

pub(super) fn at(look: Look) -> Timestamp {
    Timestamp::from_second(look.epoch).unwrap_or_else(|_| Timestamp::now())
}

#[cfg(test)]
#[path = "left_out_tests.rs"]
mod left_out_tests;
#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
