//! Looks at the pool: one query for all jobs, on a slow tick while work is under way, at once when
//! the bell rings, and as often as is decent while an end is expected.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::progress::Progress;
use tokio::time::{sleep, timeout};

use super::change::Change;
use super::judge::Look;
use crate::condor::query::{Answer, Question};
use crate::condor::whose::Whose;
use crate::condor::{holds, query};
use crate::crash_point;
use crate::engine::board::{ToolEnd, Trouble};
use crate::engine::origin::Origin;
use crate::engine::{Inner, Options};
use crate::limits::{
    BACKOFF, END_EXPECTED, IDLE_LOOK, QUERY_GAP, QUERY_REST_FACTOR, QUERY_REST_MAX, QUICK_LOOK,
    REMOVAL_REPEAT, SETTLING,
};
use crate::store::database::{StoreError, now};

/// Works until it is dropped, or until the store is closed.
pub async fn work(inner: Arc<Inner>) {
    let mut failures: u32 = 0;
    loop {
        let began = Instant::now();
        let answer = ask(&inner, began).await;
        // However loud the bell, queries take only their share of the time.
        let rest = (began.elapsed() * QUERY_REST_FACTOR).clamp(QUERY_GAP, QUERY_REST_MAX);
        match answer {
            Ok(heard) => match take_in(&inner, heard, began).await {
                Ok(()) => failures = 0,
                Err(StoreError::Closed) => return,
                Err(why) => {
                    failures += 1;
                    tracing::error!(%why, "failed to keep what the pool answered; it is asked again");
                }
            },
            Err(why) => {
                failures += 1;
                inner.trouble(why);
            }
        }
        sleep(rest).await;
        let pause = if failures > 0 { backoff(failures) } else { inner.time_to_next_look() };
        // That the time is over is as good a reason to look as the bell.
        let _ = timeout(pause, inner.look_bell.notified()).await;
    }
}

/// A complete answer, and whose jobs it is about.
struct Heard {
    whose: Whose,
    is_confirmed: bool,
    answer: Answer,
}

/// Asks; an error is a sentence.
async fn ask(inner: &Inner, began: Instant) -> Result<Heard, String> {
    let (whose, is_confirmed) = inner.ask_owner().await?;
    let question = {
        let board = inner.board();
        let (printed, open) = if is_confirmed { Default::default() } else { (board.printed(), board.open()) };
        Question { whose: whose.clone(), is_confirmed, printed, open, strangers: board.inherited() }
    };
    let answer = query::all(&inner.pool, question).await;
    inner.metrics.look(began.elapsed(), answer.as_ref().err().map(|e| e.kind()));
    answer.map(|answer| Heard { whose, is_confirmed, answer }).map_err(|why| why.to_string())
}

async fn take_in(inner: &Inner, heard: Heard, began: Instant) -> Result<(), StoreError> {
    let Heard { whose, is_confirmed, answer } = heard;
    inner.no_trouble();
    if inner.confirm_owner(&answer) {
        inner.look_bell.notify_one();
        return Ok(());
    }
    inner.look_for_foreign(&whose, &answer, is_confirmed).await;
    let asked = i64::try_from(began.elapsed().as_secs()).unwrap_or(0);
    let Options { lost_after, refused_after, .. } = inner.options;
    // Before another queue nothing is lost.
    let lost_after = if inner.board().origin == Origin::Same { lost_after } else { Duration::MAX };
    let look = Look { started: began, epoch: now() - asked, lost_after, refused_after };
    inner.hear(&answer.ads).await?;
    let (mut changes, mut actions) = inner.merge(&answer, look).await;
    let owner = is_confirmed.then_some(&whose.owner);
    let is_own = inner.is_own_queue(&whose, owner, actions.missing, actions.unknown_cluster).await?;
    if !is_own {
        changes.retain(Change::is_seen);
    }
    crash_point!("settle-before-durable");
    let changed = inner.apply(changes).await?;
    crash_point!("settle-durable");
    inner.count_held();
    inner.note_oddities(&answer);
    inner.allow_submissions(look, is_own);
    inner.board().entries.rest(|key| inner.folder(key));
    inner.ring(changed);
    inner.ring(std::mem::take(&mut actions.news));
    if !is_own {
        return Ok(());
    }
    inner.find_dead_tools();
    inner.close_intents().await?;
    if actions.fetch {
        inner.fetch_bell.notify_one();
    }
    if actions.look_again {
        inner.look_bell.notify_one();
    }
    inner.chores.add(actions, &whose, began);
    Ok(())
}

/// Doubles from the first to the longest pause, with some jitter from the clock.
pub fn backoff(failures: u32) -> Duration {
    backoff_up_to(BACKOFF.1, failures)
}

/// The same with another longest pause.
pub fn backoff_up_to(longest: Duration, failures: u32) -> Duration {
    let (first, _) = BACKOFF;
    let pause = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    let jitter = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs() % 256;
    pause + pause * jitter / 1024
}

impl Inner {
    fn count_held(&self) {
        let mut counts: HashMap<&'static str, i64> = holds::labels().map(|label| (label, 0)).collect();
        let board = self.board();
        let alone = board.entries.live().filter_map(|(_, entry)| Some(entry.doubts()?.alone.len()));
        self.metrics.doubtful.set(alone.sum::<usize>() as i64);
        for job in board.jobs() {
            if let Progress::Held { code, .. } = &job.progress {
                *counts.entry(holds::label(*code)).or_default() += 1;
            }
        }
        drop(board);
        counts.into_iter().for_each(|(label, jobs)| self.metrics.held(label, jobs));
    }

    /// What an earlier life submitted has been adopted by now: the rest may be submitted.
    fn allow_submissions(&self, look: Look, is_own: bool) {
        let mut board = self.board();
        let first = !std::mem::replace(&mut board.merged, true);
        if is_own {
            board.entries.each_live(|_, entry| {
                if let Some(run) = entry.run_mut() {
                    run.unproven_since = run.unproven_since.filter(|since| *since >= look.started);
                }
            });
        }
        drop(board);
        self.submit_bell.notify_one();
        if first {
            self.fetch_bell.notify_one();
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
        let mut asked = board.entries.live().filter_map(|(_, entry)| entry.gone()?.removal_asked);
        let leaves_now = asked.any(|at| at.elapsed() < REMOVAL_REPEAT);
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
        self.doubt_owner();
        self.metrics.pool_reachable.set(0);
        let now = jiff::Timestamp::now();
        let (is_new, is_told) = {
            let mut board = self.board();
            let known = board.trouble.clone();
            // The first words of each tool stay: others at each look would have every status written anew.
            let source = |why: &str| why.split(' ').next().unwrap_or_default().to_owned();
            let is_new = known.as_ref().is_none_or(|known| source(&known.why) != source(&why));
            let since = known.map_or(now, |known| known.since);
            if is_new {
                board.trouble = Some(Trouble { since, why: why.clone() });
            }
            let lasts = board.trouble.as_ref().is_some_and(|trouble| trouble.lasts(now));
            let was_told = std::mem::replace(&mut board.trouble_told, lasts);
            (is_new, lasts && !was_told)
        };
        if is_new {
            tracing::warn!(why, "the pool does not answer; what is known stays as it is");
        } else {
            tracing::debug!(why, "the pool still does not answer");
        }
        if is_new || is_told {
            self.ring_all();
        }
    }

    fn no_trouble(&self) {
        self.metrics.pool_reachable.set(1);
        let was_away = {
            let mut board = self.board();
            board.trouble_told = false;
            let was_away = board.trouble.take().is_some();
            // A schedd that was away may come back with another queue: nothing goes there before it is compared.
            if was_away && board.origin == Origin::Same {
                board.origin = Origin::Unknown;
            }
            was_away
        };
        if was_away {
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
