//! Looks at the pool: one query for all jobs, on a slow tick while work is under way, at once when
//! the bell rings, and as often as is decent while an end is expected.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::Inner;
use super::judge::Look;
use crate::condor::query;
use crate::limits::{BACKOFF, END_EXPECTED, IDLE_LOOK, QUERY_GAP, QUERY_REST_FACTOR};
use crate::store::database::now;

/// Works until it is dropped.
pub async fn work(inner: Arc<Inner>) {
    let mut failures: u32 = 0;
    loop {
        let began = Instant::now();
        match look(&inner).await {
            Ok(()) => failures = 0,
            Err(why) => {
                failures += 1;
                inner.trouble(why);
            }
        }
        // However loud the bell, queries take only their share of the time.
        sleep(QUERY_GAP.max(began.elapsed() * QUERY_REST_FACTOR)).await;
        let rest = if failures > 0 { backoff(failures) } else { inner.time_to_next_look() };
        // That the time is over is as good a reason to look as the bell.
        let _ = timeout(rest, inner.look_bell.notified()).await;
    }
}

async fn look(inner: &Inner) -> Result<(), String> {
    let look = Look { started: Instant::now(), epoch: now() };
    let ads = query::all(&inner.pool, &inner.options.instance).await;
    inner.metrics.look(look.started.elapsed(), ads.as_ref().err().map(|e| e.kind()));
    let ads = ads.map_err(|e| e.to_string())?;
    inner.no_trouble();
    let chores = inner.merge(ads, look).await.map_err(|e| e.to_string())?;
    let again = chores.look_again;
    inner.do_chores(chores).await.map_err(|e| e.to_string())?;
    if again {
        inner.look_bell.notify_one();
    }
    Ok(())
}

/// Doubles from the first to the longest pause, with some jitter from the clock.
pub fn backoff(failures: u32) -> Duration {
    let (first, longest) = BACKOFF;
    let pause = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let jitter = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs() % 256;
    pause + pause * jitter / 1024
}

impl Inner {
    fn time_to_next_look(&self) -> Duration {
        let board = self.board();
        let mut jobs = board.entries.values().flat_map(|entry| entry.jobs.values());
        let ends_now = jobs.any(|job| {
            let fresh = |report: &htc_core::workload::report::Report| {
                let age = jiff::Timestamp::now().duration_since(report.now).unsigned_abs();
                age < END_EXPECTED
            };
            job.end().is_none() && job.finished.is_none() && job.final_report().is_some_and(|r| fresh(r))
        });
        match (ends_now, board.is_busy()) {
            (true, _) => Duration::ZERO,
            (false, true) => self.options.poll,
            (false, false) => IDLE_LOOK,
        }
    }

    /// The pool does not answer: nothing is known, and nothing follows from that.
    fn trouble(&self, why: String) {
        let news = self.board().trouble.replace(why.clone()).is_none();
        if news {
            tracing::warn!(why, "the pool does not answer; what is known stays as it is");
            self.ring_all();
        }
    }

    fn no_trouble(&self) {
        if self.board().trouble.take().is_some() {
            tracing::info!("the pool answers again");
            self.ring_all();
            self.submit_bell.notify_one();
        }
    }

    fn ring_all(&self) {
        let uids: Vec<_> = self.board().entries.keys().cloned().collect();
        self.ring(uids);
    }
}
