//! Judges every job of the board by one complete answer. What has changed and what must be done in the
//! pool come out as values.

use std::collections::HashMap;
use std::time::Instant;

use htc_core::workload::names::Uid;
use htc_core::workload::progress::Progress;

use super::actions::Actions;
use super::change::Change;
use super::judge::{self, Context, Look, Verdict, judge};
use crate::condor::ad::Ad;
use crate::engine::Inner;
use crate::engine::board::{Board, Entry, Finished, Job};
use crate::limits::{MERGED_AT_ONCE, RESULT_PATIENCE};
use crate::store::wishes::Want;

impl Inner {
    /// Judges every job of the board by the answer.
    pub(super) async fn merge(&self, ads: Vec<Ad>, look: Look) -> (Vec<Change>, Actions) {
        let mut actions = Actions::default();
        // Doors wait for the lock: what can be is done before, and the rest not in one go.
        let ads = by_workload(&ads);
        let known: Vec<Uid> = {
            let mut board = self.board();
            let is_wished = |uid: &Uid| board.entries.get(uid).is_some_and(|e| e.want != Want::Tombstone);
            let orphans = ads.iter().filter(|(uid, _)| !is_wished(uid));
            let orphans: Vec<&Ad> = orphans.flat_map(|(_, ads)| ads).copied().collect();
            self.metrics.orphans.set(orphans.len() as i64);
            actions.orphans(&mut board, &orphans);
            for (uid, ads) in &ads {
                board.entries.wake(uid, ads.iter().map(|ad| ad.key.index), |key| self.folder(key));
            }
            let quiet: Vec<Uid> =
                ads.keys().copied().filter(|uid| !board.entries.is_live(uid)).cloned().collect();
            board.entries.live().map(|(uid, _)| uid.clone()).chain(quiet).collect()
        };
        let mut changes = Vec::new();
        for some in known.chunks(MERGED_AT_ONCE) {
            changes.extend(decide(&mut self.board(), some, &ads, look, &mut actions));
            tokio::task::yield_now().await;
        }
        actions.look_again |= !changes.is_empty();
        (changes, actions)
    }
}

/// The ads of each workload, in order of their indices.
type ByWorkload<'a> = HashMap<&'a Uid, Vec<&'a Ad>>;

fn by_workload(ads: &[Ad]) -> ByWorkload<'_> {
    let mut by_uid = ByWorkload::new();
    for ad in ads {
        by_uid.entry(&ad.key.uid).or_default().push(ad);
    }
    by_uid.values_mut().for_each(|ads| ads.sort_by_key(|ad| ad.key.index));
    by_uid
}

/// The ads of one index.
fn of_index<'a, 'b>(ads: &'b [&'a Ad], index: u32) -> &'b [&'a Ad] {
    let first = ads.partition_point(|ad| ad.key.index < index);
    let count = ads[first..].partition_point(|ad| ad.key.index == index);
    &ads[first..first + count]
}

/// Judges the jobs of these workloads.
fn decide(
    board: &mut Board,
    uids: &[Uid],
    by_uid: &ByWorkload<'_>,
    look: Look,
    actions: &mut Actions,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let Board { entries, intents, .. } = board;
    for uid in uids {
        let Some(entry) = entries.get_mut(uid) else { continue };
        let once = entry.workload.as_ref().is_some_and(|workload| !workload.restart_after_eviction);
        // Ads of a tombstone are orphans.
        let known = by_uid.get(uid).filter(|_| entry.want != Want::Tombstone);
        let ads = known.map(Vec::as_slice).unwrap_or_default();
        for job in entry.jobs.values_mut() {
            let of_index = of_index(ads, job.key.index);
            let own = of_index.iter().copied().find(|ad| ad.key == job.key);
            of_index.iter().filter(|ad| ad.key != job.key).for_each(|ad| actions.stray(ad));
            let intent = job.intent.and_then(|id| intents.get(&id));
            let unstaged = entry.unstaged.get(&job.key.index).copied().unwrap_or_default();
            let verdict = look_at(job, Context { intent, unstaged, once }, own, look, actions);
            if verdict == Verdict::NeverRan && own.is_some() {
                entry.unstaged.insert(job.key.index, unstaged + 1);
            }
            changes.extend(follow(job, verdict, own, entry.want, actions));
        }
        if entry.want == Want::Gone {
            leave(uid, entry, ads.len(), look, actions);
        }
        let others = ads.chunk_by(|one, next| one.key.index == next.key.index);
        let others = others.filter(|ads| !entry.jobs.contains_key(&ads[0].key.index));
        changes.extend(others.filter_map(|ads| adopt(entry, ads.to_vec(), actions)));
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
            // One wrong answer takes no files from a job.
            job.left = !job.wants_files() || judge::is_lost(job, look);
            job.missing.get_or_insert(look.started);
            return Verdict::Nothing;
        };
        (job.left, job.missing) = (false, None);
        let leaves = job.published && !job.wants_files();
        if context.once && judge::is_spent(ad) {
            // Idle or on hold it holds nobody back, and tells the same again should our store be lost.
            if leaves {
                actions.spent(ad);
            }
        } else if !ad.is_over() {
            actions.late(ad);
        } else if leaves && !ad.is_leaving() {
            actions.acknowledge(ad);
        }
        return Verdict::Nothing;
    }
    if let Some(finished) = &job.finished {
        let report = job.final_report();
        return if report.is_some() || finished.seen.elapsed() > RESULT_PATIENCE {
            Verdict::Ended(judge::end(finished, job.starts, report.map(|r| &**r)))
        } else {
            Verdict::Nothing
        };
    }
    let verdict = judge(job, context, ad, look);
    if let Some(ad) = ad {
        job.starts = job.starts.max(ad.starts);
        job.missing = None;
    }
    verdict
}

/// The change that a verdict asks for.
fn follow(
    job: &mut Job,
    verdict: Verdict,
    ad: Option<&Ad>,
    want: Want,
    actions: &mut Actions,
) -> Option<Change> {
    let key = || job.key.clone();
    match verdict {
        Verdict::Nothing => None,
        Verdict::Missing => {
            job.missing.get_or_insert_with(Instant::now);
            None
        }
        Verdict::Living(progress) => {
            let news = job.intent.is_some() || job.progress.job() != progress.job();
            Some(if news { Change::Settle(key(), progress) } else { Change::Move(key(), progress) })
        }
        Verdict::Finished(id, exit, at) => {
            let finished = Finished { job: id, exit, at, seen: Instant::now() };
            let report = job.final_report().map(|r| &**r);
            // Without a report its result is waited for, where one can come.
            let known = report.is_some() || job.forsaken;
            let end = known.then(|| judge::end(&finished, job.starts, report));
            Some(Change::Finish(key(), finished, end))
        }
        Verdict::Ended(end) => {
            // Files come only from a job that was in state 4.
            job.forsaken |= job.finished.is_none();
            Some(Change::End(key(), end))
        }
        Verdict::NeverRan => {
            ad.into_iter().for_each(|ad| actions.acknowledge(ad));
            Some(Change::Void { key: key(), again: want == Want::Run })
        }
        Verdict::Unstaged => {
            ad.into_iter().for_each(|ad| actions.unstaged(ad));
            None
        }
    }
}

/// A workload that shall be gone: its jobs are removed; when a complete answer has none of them and
/// none can come any more, nothing is left of it.
fn leave(uid: &Uid, entry: &mut Entry, in_queue: usize, look: Look, actions: &mut Actions) {
    let unsettled = entry.intended > 0 || entry.jobs.values().any(|job| job.intent.is_some());
    let asked_after = entry.gone_since.is_some_and(|since| since < look.started);
    entry.in_queue = in_queue;
    if in_queue > 0 {
        if entry.removal_is_due() {
            match entry.inherited {
                true => actions.remove_inherited(entry.jobs.values().filter_map(|job| job.progress.job())),
                false => actions.remove_workload(uid),
            }
        }
    } else if !unsettled
        && asked_after
        && look.epoch >= entry.not_before
        && entry.lingers.is_none_or(|until| until <= Instant::now())
    {
        actions.bury(uid);
    }
}

/// Ads of an index that has no job: an earlier life whose store was lost submitted them. Of two
/// copies the one that has started stays, else the older. Keys of those that never ran are used up.
fn adopt(entry: &Entry, mut ads: Vec<&Ad>, actions: &mut Actions) -> Option<Change> {
    if entry.want != Want::Run {
        return None;
    }
    ads.sort_by_key(|ad| (!ad.staged, ad.starts == 0, ad.job));
    let ad = ads.first().copied().filter(|ad| ad.staged).cloned();
    ads.iter().skip(usize::from(ad.is_some())).for_each(|ad| actions.stray(ad));
    let Some(ad) = ad else { return used(entry, &ads) };
    tracing::info!(key = %ad.key, job = %ad.job, "adopted a job of an earlier life");
    let progress = Progress::Queued { job: ad.job };
    let job = Box::new(Job::new(ad.key, ad.folder, progress, None));
    Some(Change::Adopt { name: entry.name.clone(), job })
}

/// Two jobs with one key could not be told apart: not in an answer, and not in a constraint.
fn used(entry: &Entry, ads: &[&Ad]) -> Option<Change> {
    let key = ads.iter().map(|ad| &ad.key).max()?;
    let next = entry.waiting.iter().find(|w| (w.first..=w.last).contains(&key.index))?;
    ((next.attempt, next.submission) <= (key.attempt, key.submission)).then(|| Change::Used(key.clone()))
}
