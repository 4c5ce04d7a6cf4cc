//! Judges every job of the board by one complete answer. What has changed and what must be done in the
//! pool come out as values.

use std::path::Path;
use std::time::Instant;

use htc_core::workload::names::Uid;
use htc_core::workload::progress::{End, Outcome, Progress};

use super::absence;
use super::actions::Actions;
use super::change::Change;
use super::judge::{self, Context, Look, Verdict, judge};
use super::shown::{OfWorkload, Shown};
use crate::condor::ad::{Ad, State};
use crate::condor::query::Answer;
use crate::engine::board::{Board, Entry, Files, Finished, InQueue, Job, ask_if_due};
use crate::engine::files::job_folder;
use crate::engine::stage::Stage;
use crate::engine::workers::{self, WorkerFaults};
use crate::engine::{Inner, Tracking};
use crate::limits::{MERGED_AT_ONCE, RESULT_PATIENCE};
use crate::store::clock::now;
use crate::store::wishes::Want;

impl Inner {
    /// Judges every job of the board by the answer.
    pub(super) async fn merge(&self, answer: &Answer, look: Look) -> (Vec<Change>, Actions) {
        let mut actions = Actions::default();
        // Doors wait for the lock: what can be is done before, and the rest not in one go.
        let mut shown = Shown::of(answer);
        let known: Vec<Uid> = {
            let mut board = self.board();
            shown.claim(&board);
            let orphans: Vec<&Ad> =
                shown.ads().filter(|ad| board.entries.get(&ad.key.uid).is_none()).collect();
            self.metrics.orphans.set(orphans.len() as i64);
            actions.orphans(&mut board, &orphans);
            actions.buried(&mut board, &shown);
            for uid in shown.workloads() {
                let indices = board.entries.get(uid).map(|entry| shown.indices(uid, entry));
                board.entries.wake(uid, indices.into_iter().flatten(), |key| self.folder(key));
            }
            let quiet: Vec<Uid> =
                shown.workloads().filter(|uid| !board.entries.is_live(uid)).cloned().collect();
            board.entries.live().map(|(uid, _)| uid.clone()).chain(quiet).collect()
        };
        let mut changes = Vec::new();
        for some in known.chunks(MERGED_AT_ONCE) {
            changes.extend(decide(&mut self.board(), some, &shown, &self.options.data, look, &mut actions));
            tokio::task::yield_now().await;
        }
        actions.look_again |= !changes.is_empty();
        (changes, actions)
    }
}

/// Judges the jobs of these workloads.
fn decide(
    board: &mut Board,
    uids: &[Uid],
    shown: &Shown<'_>,
    data: &Path,
    look: Look,
    actions: &mut Actions,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let Board { entries, intents, .. } = board;
    for uid in uids {
        let Some(entry) = entries.get_mut(uid) else { continue };
        let once = entry.workload.as_ref().is_some_and(|workload| !workload.restart_after_eviction);
        let (want, shown) = (entry.want(), shown.of_workload(uid, entry));
        let doubts = entry.stage.run().and_then(|run| run.doubts.as_deref());
        let (mut news, mut unstaged) = (false, false);
        for job in entry.jobs.values_mut() {
            if let Some(known) = recognise(job, shown.of_index(job.key.index), data, actions) {
                changes.push(Change::Adopt {
                    name: entry.name.clone(),
                    job: known,
                    instead_of: Some(job.key.clone()),
                });
                continue;
            }
            let own = shown.own(job);
            shown.copies(job).for_each(|ad| actions.stray(ad, job.files));
            let intent = job.intent.and_then(|id| intents.get(&id));
            let refused_since = doubts.and_then(|doubts| doubts.refused_since(job.key.index));
            let faults = entry.worker_faults.get(&job.key.index);
            let context = Context { intent, refused_since, once, hidden: shown.may_hide(job), faults };
            let before = Tracking::of(job);
            shown.note(job, want);
            let verdict = look_at(job, context, own, look, actions);
            unstaged |= verdict == Verdict::NeverRan && own.is_some();
            changes.extend(follow(job, verdict, own, context, want, look, actions));
            news |= before != Tracking::of(job);
        }
        if let Some(run) = entry.run_mut().filter(|_| unstaged) {
            run.doubts.get_or_insert_default().unstaged(Instant::now());
        }
        actions.news.extend(news.then(|| uid.clone()));
        leave(uid, entry, &shown, look, actions);
        // An index that waits may be in the queue already, as a job that does not say which it is.
        let is_unproven = !entry.waiting().is_empty() && shown.has_unknown(entry);
        if let Some(run) = entry.run_mut() {
            if is_unproven {
                run.unproven_since = Some(Instant::now());
            }
            let news = std::mem::replace(&mut run.obscured, is_unproven) != is_unproven;
            actions.news.extend(news.then(|| uid.clone()));
        }
        changes.extend(shown.without_job(entry).filter_map(|ads| adopt(entry, ads, data, actions)));
    }
    changes
}

/// What a look says of a job, in whichever part of its life it is.
fn look_at(
    job: &mut Job,
    context: Context<'_>,
    ad: Option<&Ad>,
    look: Look,
    actions: &mut Actions,
) -> Verdict {
    if job.end().is_some() {
        let Some(ad) = ad else {
            if !context.hidden {
                // One wrong answer takes no files from a job.
                let awaited = job.wants_files();
                actions.missing |= awaited && job.miss(look.started);
                if !awaited || absence::is_lost(job, look) {
                    job.in_queue = InQueue::Left;
                }
            }
            return Verdict::Nothing;
        };
        ended(job, context, ad, actions);
        return Verdict::Nothing;
    }
    if job.goes_elsewhere {
        return elsewhere(context, ad, actions);
    }
    if let Some(finished) = &job.finished {
        let is_known = job.final_report().is_some() || finished.seen.elapsed() > RESULT_PATIENCE;
        return if is_known { Verdict::Concluded } else { Verdict::Nothing };
    }
    let verdict = judge(job, context, ad, look);
    if let Some(ad) = ad {
        job.starts = job.starts.max(ad.starts);
    }
    verdict
}

/// A job of which its worker could start nothing leaves the queue before its index is submitted anew: of two ads
/// nobody could tell which is the one, should our store be lost.
fn elsewhere(context: Context<'_>, ad: Option<&Ad>, actions: &mut Actions) -> Verdict {
    match ad {
        None if !context.hidden => return Verdict::NeverRan,
        // It has brought nothing.
        Some(ad) if !ad.is_leaving() => actions.acknowledge(ad, Files::GivenUp),
        _ => {}
    }
    Verdict::Nothing
}

/// A job whose end is known is in the queue still.
fn ended(job: &mut Job, context: Context<'_>, ad: &Ad, actions: &mut Actions) {
    // Whoever fetches has not waited for one that was away.
    if job.in_queue == InQueue::Left {
        job.in_queue = InQueue::Yes;
        actions.fetch |= job.wants_files();
    }
    // It was given up as lost and is back. What may start only once has been replaced by its controller;
    // anything else may go on.
    let was_lost =
        job.files == Files::Unseen || job.end().is_some_and(|end| end.outcome == Outcome::LostTrack);
    let is_back = was_lost && !context.once;
    // However its end became known, outputs that are there come home.
    if let (true, State::Completed(exit)) = (ad.staged && job.files.may_come(), &ad.state)
        && job.finished.is_none()
    {
        let machine = ad.machine.clone();
        job.finished =
            Some(Finished { job: ad.job, exit: *exit, at: ad.since, seen: Instant::now(), machine });
        job.files = Files::Expected;
        actions.fetch = true;
    }
    let leaves = job.published && !job.wants_files();
    if context.once && judge::is_spent(ad) {
        // Idle or on hold it holds nobody back, and tells the same again should our store be lost.
        if leaves {
            actions.spent(ad);
        }
    } else if !ad.is_over() {
        if !is_back {
            actions.late(ad);
        }
    } else if leaves && !ad.is_leaving() {
        actions.acknowledge(ad, job.files);
    }
}

/// The change that a verdict asks for.
fn follow(
    job: &mut Job,
    verdict: Verdict,
    ad: Option<&Ad>,
    context: Context<'_>,
    want: Want,
    look: Look,
    actions: &mut Actions,
) -> Option<Change> {
    let key = || job.key.clone();
    match verdict {
        Verdict::Nothing => None,
        Verdict::Missing => {
            actions.missing |= job.miss(look.started);
            None
        }
        Verdict::Living(progress) => {
            let news = job.intent.is_some() || job.progress.job() != progress.job();
            Some(if news { Change::Settle(key(), progress) } else { Change::Move(key(), progress) })
        }
        Verdict::Finished(id, exit, at) => {
            let machine = ad.and_then(|ad| ad.machine.clone());
            let finished = Finished { job: id, exit, at, seen: Instant::now(), machine };
            // Without a report its result is waited for, where one can come.
            let known = job.final_report().is_some() || job.files == Files::GivenUp;
            match known.then(|| concluded(job, &finished, context, want)) {
                None => Some(Change::Finish(key(), finished, None)),
                Some(Conclusion::Ended(end)) => Some(Change::Finish(key(), finished, Some(end))),
                Some(Conclusion::Elsewhere(faults)) => Some(Change::Elsewhere(key(), finished, faults)),
            }
        }
        Verdict::Concluded => {
            let finished = job.finished.clone()?;
            Some(match concluded(job, &finished, context, want) {
                Conclusion::Ended(end) => Change::End(key(), end, job.files),
                Conclusion::Elsewhere(faults) => Change::Elsewhere(key(), finished, faults),
            })
        }
        Verdict::Ended(end) => {
            let files = files_after(job, ad, &end);
            Some(Change::End(key(), end, files))
        }
        Verdict::NeverRan => {
            ad.into_iter().for_each(|ad| actions.acknowledge(ad, job.files));
            let refused_since = context.refused_since;
            Some(Change::Void { key: key(), again: want == Want::Run, refused_since })
        }
        Verdict::Unstaged => {
            ad.into_iter().for_each(|ad| actions.unstaged(ad));
            None
        }
    }
}

/// Where the files of a job are that has ended so.
fn files_after(job: &Job, ad: Option<&Ad>, end: &End) -> Files {
    match (ad, end.outcome) {
        _ if job.finished.is_some() || job.files != Files::Expected => job.files,
        // Files come only from a job that was in state 4.
        (Some(_), _) => Files::GivenUp,
        // It never had any, as far as is known.
        (None, Outcome::Removed | Outcome::SubmitRefused) => Files::Expected,
        (None, _) => Files::Unseen,
    }
}

/// What follows from the end of a job by its ad.
enum Conclusion {
    /// It is the end of its index.
    Ended(End),
    /// Its worker could start nothing of it: another one may.
    Elsewhere(WorkerFaults),
}

fn concluded(job: &Job, finished: &Finished, context: Context<'_>, want: Want) -> Conclusion {
    let report = job.final_report().map(|report| &**report);
    let why = workers::fault(finished.exit, report).filter(|_| want == Want::Run);
    let machine = finished.machine.as_deref();
    match why.and_then(|why| workers::after(context.faults, &job.key, machine, why, now())) {
        Some(faults) => Conclusion::Elsewhere(faults),
        None => {
            let end = judge::end(finished, job.starts, report);
            Conclusion::Ended(workers::named(end, context.faults, finished, report))
        }
    }
}

/// A workload that shall be gone: its jobs are removed; when a complete answer has none of them and
/// none can come any more, nothing is left of it. Jobs that have vanished without our leave may be running.
fn leave(uid: &Uid, entry: &mut Entry, shown: &OfWorkload<'_, '_>, look: Look, actions: &mut Actions) {
    let Stage::Gone(gone) = &mut entry.stage else { return };
    let unsettled = entry.intended > 0 || entry.jobs.values().any(|job| job.intent.is_some());
    let missing = entry.jobs.values().any(|job| job.is_expected() && job.is_missing());
    gone.in_queue = shown.count();
    if gone.in_queue > 0 {
        if ask_if_due(&mut gone.removal_asked) {
            let with_id = |job: &Job| Some((job.key.clone(), job.progress.job()?));
            match entry.inherited {
                true => actions.remove_inherited(entry.jobs.values().filter_map(|job| with_id(job))),
                false => {
                    let unjudged = entry.jobs.values().filter(|job| job.riddle.is_some());
                    actions.expect_to_leave(unjudged.filter_map(|job| with_id(job)));
                    actions.remove_workload(uid, shown.ads(), shown.riddles());
                }
            }
        }
    } else if !unsettled
        && !missing
        && gone.since < look.started
        && look.epoch >= entry.not_before
        && gone.kept_until <= Instant::now()
    {
        actions.bury(uid);
    }
}

/// Ads of an index that has no job: an earlier life whose store was lost submitted them. Of two
/// copies the one that has started stays, else the older. Keys of those that never ran are used up.
fn adopt(entry: &Entry, ads: &[&Ad], data: &Path, actions: &mut Actions) -> Option<Change> {
    entry.run()?;
    let Some(ad) = choose(ads) else {
        ads.iter().for_each(|ad| actions.stray(ad, Files::Expected));
        return used(entry, ads);
    };
    ads.iter().filter(|other| other.job != ad.job).for_each(|ad| actions.stray(ad, Files::Expected));
    tracing::info!(key = %ad.key, job = %ad.job, "adopted a job of an earlier life");
    let job = Box::new(job_of(ad, Progress::Queued { job: ad.job }, data));
    Some(Change::Adopt { name: entry.name.clone(), job, instead_of: None })
}

/// The job of an index of which only the outside object has said that it ended, as its ads show it: its files
/// come home before it leaves.
fn recognise(job: &Job, ads: &[&Ad], data: &Path, actions: &mut Actions) -> Option<Box<Job>> {
    let end = job.end().filter(|_| job.is_hearsay())?.clone();
    let ad = choose(ads)?;
    ads.iter().filter(|other| other.job != ad.job).for_each(|ad| actions.stray(ad, Files::Expected));
    tracing::info!(key = %ad.key, job = %ad.job, "found the job of an end that its object has told");
    let known = job_of(ad, Progress::Ended { job: Some(ad.job), end }, data);
    Some(Box::new(Job { published: job.published, ..known }))
}

/// Of several copies the one that has started, else the oldest; none without all its files.
fn choose<'a>(ads: &[&'a Ad]) -> Option<&'a Ad> {
    let staged = ads.iter().copied().filter(|ad| ad.staged);
    staged.min_by_key(|ad| (ad.starts == 0, ad.job))
}

/// A job of an earlier life, of which only its ad is known. An ad may name any folder: its outputs come to its own.
fn job_of(ad: &Ad, progress: Progress, data: &Path) -> Job {
    let mut job = Job::new(ad.key.clone(), job_folder(data, &ad.key), progress, None);
    job.note_folder(ad);
    job
}

/// Two jobs with one key could not be told apart: not in an answer, and not in a constraint.
fn used(entry: &Entry, ads: &[&Ad]) -> Option<Change> {
    let key = ads.iter().map(|ad| &ad.key).max()?;
    let next = entry.waiting().iter().find(|w| (w.first..=w.last).contains(&key.index))?;
    ((next.attempt, next.submission) <= (key.attempt, key.submission)).then(|| Change::Used(key.clone()))
}
