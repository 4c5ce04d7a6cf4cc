//! Looks at the pool: one query for all jobs, on a slow tick while work is under way, at once when
//! the bell rings, and as often as is decent while an end is expected.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::progress::Progress;
use tokio::time::{sleep, timeout};

use super::judge::Look;
use crate::condor::ad::Ad;
use crate::condor::cli::CallError;
use crate::condor::{holds, query};
use crate::crash_point;
use crate::engine::Inner;
use crate::engine::board::{ToolEnd, Trouble};
use crate::limits::{
    BACKOFF, END_EXPECTED, IDLE_LOOK, QUERY_GAP, QUERY_REST_FACTOR, QUERY_REST_MAX, QUICK_LOOK,
    REMOVAL_REPEAT, SETTLING,
};
use crate::store::database::{StoreError, now};
use crate::store::wishes::Want;

/// Works until it is dropped, or until the store is closed.
pub async fn work(inner: Arc<Inner>) {
    let mut failures: u32 = 0;
    loop {
        let began = Instant::now();
        let answer = ask(&inner, began).await;
        // However loud the bell, queries take only their share of the time.
        let rest = (began.elapsed() * QUERY_REST_FACTOR).clamp(QUERY_GAP, QUERY_REST_MAX);
        match answer {
            Ok(ads) => match take_in(&inner, ads, began).await {
                Ok(()) => failures = 0,
                Err(StoreError::Closed) => return,
                Err(why) => {
                    failures += 1;
                    tracing::error!(%why, "failed to keep what the pool answered; it is asked again");
                }
            },
            Err(why) => {
                failures += 1;
                inner.trouble(why.to_string());
            }
        }
        sleep(rest).await;
        let pause = if failures > 0 { backoff(failures) } else { inner.time_to_next_look() };
        // That the time is over is as good a reason to look as the bell.
        let _ = timeout(pause, inner.look_bell.notified()).await;
    }
}

async fn ask(inner: &Inner, began: Instant) -> Result<Vec<Ad>, CallError> {
    let inherited = inner.board().inherited();
    let ads = query::all(&inner.pool, &inner.options.instance, &inherited).await;
    inner.metrics.look(began.elapsed(), ads.as_ref().err().map(|e| e.kind()));
    ads
}

async fn take_in(inner: &Inner, ads: Vec<Ad>, began: Instant) -> Result<(), StoreError> {
    let asked = i64::try_from(began.elapsed().as_secs()).unwrap_or(0);
    let look = Look { started: began, epoch: now() - asked, lost_after: inner.options.lost_after };
    inner.no_trouble();
    inner.hear(&ads).await?;
    let (changes, actions) = inner.merge(ads, look).await;
    crash_point!("settle-before-durable");
    let changed = inner.apply(changes).await?;
    crash_point!("settle-durable");
    inner.count_held();
    inner.allow_submissions(look);
    inner.board().entries.rest(|key| inner.folder(key));
    inner.ring(changed);
    inner.find_dead_tools();
    inner.close_intents().await?;
    if actions.look_again {
        inner.look_bell.notify_one();
    }
    inner.chores.add(actions, began);
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
    fn count_held(&self) {
        let mut counts: HashMap<&'static str, i64> = holds::labels().map(|label| (label, 0)).collect();
        for job in self.board().jobs() {
            if let Progress::Held { code, .. } = &job.progress {
                *counts.entry(holds::label(*code)).or_default() += 1;
            }
        }
        counts.into_iter().for_each(|(label, jobs)| self.metrics.held(label, jobs));
    }

    /// What an earlier life submitted has been adopted by now: the rest may be submitted.
    fn allow_submissions(&self, look: Look) {
        let mut board = self.board();
        let first = !std::mem::replace(&mut board.merged, true);
        board.entries.each_live(|entry| {
            entry.unproven_since = entry.unproven_since.filter(|since| *since >= look.started);
        });
        drop(board);
        self.submit_bell.notify_one();
        if first {
            // Doors have held back what they could not know yet.
            self.ring_all();
        }
    }

    fn time_to_next_look(&self) -> Duration {
        let board = self.board();
        let ends_now = board.jobs().any(|job| {
            let fresh = job.heard_at.is_some_and(|at| at.elapsed() < END_EXPECTED);
            job.end().is_none() && job.finished.is_none() && job.final_report().is_some() && fresh
        });
        let leaves_now = board.entries.live().any(|(_, entry)| {
            entry.want == Want::Gone && entry.removal_asked.is_some_and(|at| at.elapsed() < REMOVAL_REPEAT)
        });
        let settles_now = board.intents.values().any(|intent| {
            intent
                .dead
                .as_ref()
                .is_some_and(|(since, end)| *end == ToolEnd::Well && since.elapsed() < SETTLING)
        });
        match (ends_now, leaves_now || settles_now, board.is_busy()) {
            (true, ..) => Duration::ZERO,
            (false, true, _) => QUICK_LOOK,
            (false, false, true) => self.options.poll,
            (false, false, false) => IDLE_LOOK,
        }
    }

    /// The pool does not answer: nothing is known, and nothing follows from that.
    fn trouble(&self, why: String) {
        let news = {
            let mut board = self.board();
            let news = board.trouble.is_none();
            // The first words stay: others at each look would have every status written anew.
            board.trouble.get_or_insert_with(|| Trouble { since: jiff::Timestamp::now(), why: why.clone() });
            news
        };
        if news {
            tracing::warn!(why, "the pool does not answer; what is known stays as it is");
            self.ring_all();
        } else {
            tracing::debug!(why, "the pool still does not answer");
        }
    }

    fn no_trouble(&self) {
        if self.board().trouble.take().is_some() {
            tracing::info!("the pool answers again");
            self.ring_all();
            self.submit_bell.notify_one();
        }
    }

    pub(in crate::engine) fn ring_all(&self) {
        let uids: Vec<_> = self.board().entries.keys().cloned().collect();
        self.ring(uids);
    }
}
