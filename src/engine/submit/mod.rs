//! The submitter: takes what waits, hands it to HTCondor, one submission at a time.

mod batch;
mod intent;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::board::ToolEnd;
use super::tracker::backoff;
use crate::limits::{BURST, IDLE_LOOK};
use crate::store::database::now;

/// Works until `stop` is cancelled; a submission that is under way is brought to its end.
pub async fn work(inner: Arc<Inner>, stop: CancellationToken) {
    let mut failures = 0;
    let mut last = None;
    while !stop.is_cancelled() {
        inner.gather(last).await;
        let picked = inner.pick();
        if picked.is_empty() {
            let wait = timeout(inner.time_to_next_wish(), inner.submit_bell.notified());
            tokio::select! { _ = wait => {}, () = stop.cancelled() => {} }
            continue;
        }
        let result = inner.submit(picked).await;
        last = Some(Instant::now());
        match result {
            Ok(ToolEnd::Well) => failures = 0,
            Ok(ToolEnd::Refused(_)) => {}
            Ok(ToolEnd::Outage | ToolEnd::Unknown) => failures += 1,
            Err(why) => {
                failures += 1;
                tracing::error!(%why, "failed to prepare a submission");
            }
        }
        if failures > 0 {
            tokio::select! { () = sleep(backoff(failures)) => {}, () = stop.cancelled() => {} }
        }
    }
}

impl Inner {
    /// What goes into the next submission; nothing while absence in the queue means nothing.
    fn pick(&self) -> Vec<batch::Picked> {
        let board = self.board();
        if !board.merged || board.trouble.is_some() {
            return Vec::new();
        }
        let room = self.options.max_jobs_in_queue.saturating_sub(board.live());
        batch::choose(&board, now(), room.min(self.options.max_jobs_per_submission))
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
        let due = board.entries.values().filter(|e| !e.waiting.is_empty()).map(|e| e.not_before - now());
        let next = due.filter(|&seconds| seconds > 0).min().and_then(|s| u64::try_from(s).ok());
        next.map_or(IDLE_LOOK, Duration::from_secs)
    }
}
