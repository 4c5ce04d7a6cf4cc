//! The submitter: takes what waits, hands it to HTCondor, one submission at a time.

mod batch;
pub mod doubt;
mod intent;
mod namespaces;
mod pace;
mod refused;

use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::progress::Progress;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use pace::{Done, Pace};

use super::Inner;
use super::board::{Board, Job, Obstacle, ToolEnd};
use super::origin::Origin;
use crate::condor::failure::Failure;
use crate::limits::{BURST, FULL_TOLD, IDLE_LOOK, PICK_REST_FACTOR, PICK_REST_MAX};
use crate::store::database::now;
use batch::Room;
use namespaces::{Limits, Usage, note_full};

/// Works until `stop` is cancelled; a submission that is under way is brought to its end.
pub async fn work(inner: Arc<Inner>, stop: CancellationToken) {
    let mut pace = Pace::new(inner.options.max_jobs_per_submission);
    let mut last = None;
    let mut full_since = None;
    while !stop.is_cancelled() {
        inner.gather(last).await;
        if let Err(why) = inner.end_refused().await {
            tracing::error!(%why, "failed to end what may not be submitted any more");
        }
        let began = Instant::now();
        let (picked, doubtful) = inner.pick(&mut pace);
        if picked.is_empty() {
            inner.look_for_room(&mut full_since);
            let pause = inner.time_to_next_wish(pace.doubts_rest(Instant::now()));
            // However loud the bell, looks at the board take only their share of the time.
            let rest = (began.elapsed() * PICK_REST_FACTOR).min(PICK_REST_MAX);
            let wait = async {
                sleep(rest).await;
                // That the time is over is as good a reason to look as the bell.
                let _ = timeout(pause, inner.submit_bell.notified()).await;
            };
            tokio::select! { () = wait => {}, () = stop.cancelled() => {} }
            continue;
        }
        full_since = None;
        let jobs = picked.len();
        let result = inner.submit(picked).await;
        let end = result.as_ref().ok().cloned();
        let now = Instant::now();
        last = Some(now);
        let pause = pace.learn(Done { jobs, doubtful, took: began.elapsed(), end }, now);
        match result {
            Ok(end) => inner.tell(&end, jobs, pace.is_broken()),
            Err(why) => {
                tracing::error!(%why, "failed to prepare a submission");
                inner.obstructed(Obstacle::ours(format!("failed to prepare a submission: {why}")));
            }
        }
        tokio::select! { () = sleep(pause) => {}, () = stop.cancelled() => {} }
    }
}

impl Inner {
    /// What goes into the next submission, and whether it is in doubt; nothing while absence in the queue
    /// means nothing. What is in doubt has its turn when it has rested.
    fn pick(&self, pace: &mut Pace) -> (Vec<batch::Picked>, bool) {
        let now_here = Instant::now();
        let at_once = pace.at_once(now_here);
        let mut board = self.board();
        if !board.merged || board.trouble.is_some() || board.origin != Origin::Same {
            return (Vec::new(), false);
        }
        if board.owner.as_ref().is_none_or(|owner| self.has_new_credential(owner)) {
            self.look_bell.notify_one();
            return (Vec::new(), false);
        }
        let usage = Usage::of(&board);
        if self.options.max_output_mb_per_namespace.is_some() && !board.weighed {
            return (Vec::new(), false);
        }
        let limits = Limits {
            jobs: self.options.max_jobs_per_namespace,
            output_mb: self.options.max_output_mb_per_namespace,
        };
        let room = Room {
            jobs: self.options.max_jobs_in_queue.saturating_sub(usage.live).min(at_once),
            of: &|namespace| usage.room(namespace, limits).unwrap_or(0),
        };
        let picked = choose(&board, &room, pace.doubts_rest(now_here).is_none());
        let full = usage.full(limits);
        self.metrics.namespaces_full.set(i64::try_from(full.len()).unwrap_or(i64::MAX));
        let news = note_full(&mut board, full);
        drop(board);
        self.ring(news);
        picked
    }

    /// Says how a submission ended to those who wait, where it is for all of them.
    fn tell(&self, end: &ToolEnd, jobs: usize, broken: bool) {
        match end {
            ToolEnd::Well => {
                self.board().obstacle.take_if(|obstacle| !obstacle.is_mismatch());
            }
            ToolEnd::Failed(Failure::Queue, why) => {
                self.obstructed(Obstacle::full(format!("the schedd takes no more jobs for now: {why}")));
            }
            ToolEnd::Failed(Failure::Batch, why) if jobs == 1 => {
                self.obstructed(Obstacle::full(format!("the schedd takes no job: {why}")));
            }
            ToolEnd::Failed(Failure::Pool, why) => self.obstructed(Obstacle::pool(why.clone())),
            ToolEnd::Failed(Failure::Ours | Failure::Spool, why) => {
                self.obstructed(Obstacle::ours(why.clone()))
            }
            ToolEnd::Failed(Failure::Unknown, why) if broken => self.obstructed(Obstacle::ours(why.clone())),
            ToolEnd::Failed(..) | ToolEnd::Unknown => {}
        }
    }

    /// Says what is in the way; those who wait are told once. Before another queue that is in the way, and nothing
    /// else.
    pub(in crate::engine) fn obstructed(&self, obstacle: Obstacle) {
        let before = {
            let mut board = self.board();
            if board.mismatch().is_some() {
                return;
            }
            board.obstacle.replace(obstacle.clone())
        };
        if before.is_none_or(|before| before.reason != obstacle.reason) {
            self.ring_all();
        }
    }

    /// When our own limit has left no room for a while, those who wait are told what fills the queue.
    fn look_for_room(&self, since: &mut Option<Instant>) {
        let (live, held, waits) = {
            let board = self.board();
            let is_held = |job: &Job| matches!(job.progress, Progress::Held { .. });
            let waits = board.entries.live().any(|(_, entry)| !entry.waiting().is_empty());
            (board.live(), board.jobs().filter(|job| is_held(job)).count(), waits)
        };
        let limit = self.options.max_jobs_in_queue;
        if live < limit || !waits {
            *since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed() >= FULL_TOLD {
            self.obstructed(Obstacle::full(format!(
                "the queue has the {limit} jobs that the operator's limit allows, {held} of them on hold; \
                 the rest follows as they end"
            )));
        }
    }

    /// In a burst, gives those that are just coming the time to come along.
    async fn gather(&self, last: Option<Instant>) {
        let (burst, quiet, longest) = BURST;
        if last.is_none_or(|at| at.elapsed() > burst) {
            return;
        }
        let began = Instant::now();
        while began.elapsed() < longest && timeout(quiet, self.submit_bell.notified()).await.is_ok() {}
    }

    /// A wish may have to wait for its time, and what is in doubt for its own.
    fn time_to_next_wish(&self, doubts_rest: Option<Instant>) -> Duration {
        let (board, moment) = (self.board(), Instant::now());
        let waiting = || board.entries.live().map(|(_, e)| e).filter(|e| !e.waiting().is_empty());
        let seconds = waiting().map(|e| e.not_before - now()).filter(|seconds| *seconds > 0).min();
        let due = seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
        let next = waiting().filter_map(|e| e.doubts()?.next(moment)).chain(doubts_rest).min();
        let doubts = next.map(|at| at.saturating_duration_since(moment));
        due.into_iter().chain(doubts).min().unwrap_or(IDLE_LOOK)
    }
}

/// What is in doubt, where that has its turn, else what is not; and which of the two it is.
fn choose(board: &Board, room: &Room<'_>, doubts_may_go: bool) -> (Vec<batch::Picked>, bool) {
    if room.jobs == 0 {
        return (Vec::new(), false);
    }
    let doubtful = if doubts_may_go { batch::choose(board, now(), room, true) } else { Vec::new() };
    match doubtful.is_empty() {
        true => (batch::choose(board, now(), room, false), false),
        false => (doubtful, true),
    }
}
