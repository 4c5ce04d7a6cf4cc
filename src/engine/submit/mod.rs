//! The submitter: takes what waits, hands it to HTCondor, one submission at a time.

mod batch;
mod intent;

use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::progress::Progress;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::board::{Job, Obstacle, ToolEnd};
use super::look::tracker::backoff;
use crate::limits::{BURST, FULL_TOLD, IDLE_LOOK, PICK_REST_FACTOR, PICK_REST_MAX};
use crate::store::database::now;

/// Works until `stop` is cancelled; a submission that is under way is brought to its end.
pub async fn work(inner: Arc<Inner>, stop: CancellationToken) {
    let most = inner.options.max_jobs_per_submission;
    // Where the schedd has room for fewer, so many go together.
    let (mut failures, mut at_once) = (0, most);
    let mut last = None;
    let mut full_since = None;
    while !stop.is_cancelled() {
        inner.gather(last).await;
        let began = Instant::now();
        let picked = inner.pick(at_once);
        if picked.is_empty() {
            inner.look_for_room(&mut full_since);
            let pause = inner.time_to_next_wish();
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
        let count = picked.len();
        let result = inner.submit(picked).await;
        last = Some(Instant::now());
        match result {
            Ok(ToolEnd::Well) => (failures, at_once) = (0, (at_once * 2).min(most)),
            Ok(ToolEnd::Full) => (failures, at_once) = (failures + 1, (count / 2).max(1)),
            Ok(ToolEnd::Refused(_)) => {}
            Ok(ToolEnd::Outage | ToolEnd::Unknown) => failures += 1,
            Err(why) => {
                failures += 1;
                tracing::error!(%why, "failed to prepare a submission");
                inner.obstructed(Obstacle::ours(format!("failed to prepare a submission: {why}")));
            }
        }
        if failures > 0 {
            tokio::select! { () = sleep(backoff(failures)) => {}, () = stop.cancelled() => {} }
        }
    }
}

impl Inner {
    /// What goes into the next submission; nothing while absence in the queue means nothing.
    fn pick(&self, at_once: usize) -> Vec<batch::Picked> {
        let board = self.board();
        if !board.merged || board.trouble.is_some() {
            return Vec::new();
        }
        match self.options.max_jobs_in_queue.saturating_sub(board.live()) {
            0 => Vec::new(),
            room => batch::choose(&board, now(), room.min(at_once)),
        }
    }

    /// Says what is in the way; those who wait are told once.
    fn obstructed(&self, obstacle: Obstacle) {
        let before = self.board().obstacle.replace(obstacle.clone());
        if before.is_none_or(|before| before.reason != obstacle.reason) {
            self.ring_all();
        }
    }

    /// When our own limit has left no room for a while, those who wait are told what fills the queue.
    fn look_for_room(&self, since: &mut Option<Instant>) {
        let (live, held, waits) = {
            let board = self.board();
            let is_held = |job: &Job| matches!(job.progress, Progress::Held { .. });
            let waits = board.entries.live().any(|(_, entry)| !entry.waiting.is_empty());
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

    /// A wish may have to wait for its time.
    fn time_to_next_wish(&self) -> Duration {
        let board = self.board();
        let due =
            board.entries.live().filter(|(_, e)| !e.waiting.is_empty()).map(|(_, e)| e.not_before - now());
        let next = due.filter(|&seconds| seconds > 0).min().and_then(|s| u64::try_from(s).ok());
        next.map_or(IDLE_LOOK, Duration::from_secs)
    }
}
