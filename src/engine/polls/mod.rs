//! Long polls: running jobs ask what is wanted of them, and are asked for their logs.
//!
//! Only the newest poll of a job counts, and only so many are held at a time (`--max-polls`): what a job
//! is refused now it may have some minutes later, and until then its log is read by `condor_tail`. One
//! place in [`POLL_RESERVE`] is kept for jobs of which somebody wants something.

mod desk;

use std::sync::Arc;

use htc_core::poll::{Answer, Asks, LogPart, Poll, Reply, Want};
use htc_core::workload::names::JobKey;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::board::{InQueue, Job};
use super::{Engine, Inner, Taken};
use crate::limits::{POLL_AWAITED, POLL_HOLD};
use desk::Look;
pub use desk::{Polls, Question};

/// What a job has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Bytes of a log.
    Log(LogPart, Vec<u8>),
    /// It cannot be had.
    Failed(String),
}

/// Why a poll is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollRefusal {
    /// A newer one of the job has been seen.
    Old,
    /// No such job runs.
    Unknown,
    /// We do not know the job yet, but have not asked the pool either.
    NotReady,
    /// As many as may be are held already.
    Full,
    /// The operator ends.
    Closing,
}

impl Engine {
    /// Answers a poll whose signature has been checked: as soon as something is wanted that the job
    /// does not know of, or after a while.
    pub async fn poll(&self, poll: &Poll) -> Result<Asks, PollRefusal> {
        self.0.standing(poll)?;
        let polls = &self.0.polls;
        let held = polls.register(poll, &self.0.metrics).ok_or(PollRefusal::Old)?;
        let (bell, until) = (held.bell.clone(), Instant::now() + POLL_HOLD);
        let mut place = None;
        loop {
            let rung = bell.notified();
            tokio::pin!(rung);
            // Before the look, so that nothing is missed.
            rung.as_mut().enable();
            match polls.look(poll) {
                Look::Old => return Err(PollRefusal::Old),
                Look::News(asks) => return Ok(Asks { seq: poll.seq, asks }),
                Look::Nothing { .. } if polls.closing.is_cancelled() => return Err(PollRefusal::Closing),
                Look::Nothing { wanted } if place.is_none() => match polls.place(wanted) {
                    Some(permit) => place = Some(permit),
                    None => {
                        held.refuse();
                        return Err(PollRefusal::Full);
                    }
                },
                Look::Nothing { .. } => {}
            }
            tokio::select! {
                () = rung => {}
                () = polls.closing.cancelled() => {}
                () = sleep_until(until) => return Ok(Asks { seq: poll.seq, asks: polls.asks(&poll.key) }),
            }
        }
    }

    /// Takes the answer of a job whose signature has been checked; false when nobody has asked.
    pub fn answer(&self, reply: Reply, bytes: &[u8]) -> bool {
        let Reply { key, id, answer } = reply;
        let Some(question) = self.0.polls.take(&key, id) else { return false };
        self.0.metrics.answer_bytes.inc_by(bytes.len() as u64);
        question.answered(match answer {
            Answer::Log(part) => Said::Log(part, bytes.to_vec()),
            Answer::Failed(why) => Said::Failed(why),
            Answer::Unsupported | Answer::Other(_) => {
                Said::Failed("the job's in-job program came with another version of the operator".to_owned())
            }
        });
        true
    }

    /// Lets all polls go, and those who follow a log; holds none from now on.
    pub fn let_go(&self) {
        self.0.polls.closing.cancel();
    }
}

impl Inner {
    /// Whether the job of this poll is one that runs.
    fn standing(&self, poll: &Poll) -> Result<(), PollRefusal> {
        let board = self.board();
        match board.job(&poll.key) {
            Some(job) if has_ended(job) || job.finished.is_some() || job.in_queue == InQueue::Left => {
                Err(PollRefusal::Unknown)
            }
            Some(job) if poll.start < job.starts => Err(PollRefusal::Old),
            Some(_) => Ok(()),
            None if self.absent(&board, &poll.key) == Taken::Unknown => Err(PollRefusal::Unknown),
            None => Err(PollRefusal::NotReady),
        }
    }

    /// Asks a job for something; the same question of others is theirs too. Who drops it withdraws it.
    pub(super) fn ask(&self, key: &JobKey, want: Want) -> Arc<Question> {
        self.polls.ask(key, want)
    }

    /// Whether a job can be asked, now or in a moment.
    pub(super) async fn is_asking(&self, key: &JobKey) -> bool {
        let until = Instant::now() + POLL_AWAITED;
        loop {
            let arrived = self.polls.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if self.polls.is_present(key) {
                return true;
            }
            if timeout_at(until, arrived).await.is_err() {
                return false;
            }
        }
    }

    /// Forgets the polls of jobs that are no more.
    pub(super) fn forget_polls(&self) {
        let gone: Vec<JobKey> = {
            let keys = self.polls.keys();
            let board = self.board();
            keys.into_iter().filter(|key| board.job(key).is_none_or(has_ended)).collect()
        };
        self.polls.forget(&gone);
    }
}

/// One that is being removed has its grace, and may still be asked.
fn has_ended(job: &Job) -> bool {
    job.end().is_some() && !job.is_leaving()
}
