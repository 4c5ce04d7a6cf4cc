//! A log that its job sends: piece after piece, each asked for where the last one ended. Readers at the
//! same place ask the same question, so those that follow one log share what comes.

use std::sync::Arc;

use htc_core::log::HEAD;
use htc_core::poll::{Begin, LogWant, Position, Want};
use htc_core::workload::names::JobKey;
use tokio::time::{Instant, timeout};

use super::reader::{Passage, Reader, Stop};
use crate::engine::polls::{Question, Said};
use crate::limits::{ANSWER_LOOK, ANSWER_PATIENCE, ANSWER_PROOF, LOG_PIECE};

impl Reader<'_> {
    /// Reads as long as the job answers, or to the end that the log had when it was asked first.
    pub(super) async fn by_poll(&mut self, key: &JobKey) -> Result<Passage, Stop> {
        let follow = self.wanted.options.follow;
        // The first answer comes at once: a job that cannot give it is told from one that has nothing to say.
        let (mut is_first, mut wait, mut left) = (true, false, None);
        loop {
            let is_settled = self.settles(key).is_some_and(|settles| settles <= Instant::now());
            let question = self.inner.ask(key, Want::Log(self.next(is_first, wait)));
            let said = match self.answer(key, &question, wait).await? {
                Heard::Said(said) => said,
                Heard::Nothing => {
                    wait = false;
                    continue;
                }
                Heard::Moved => return Ok(Passage::Moved),
            };
            let (part, bytes) = match &*said {
                Said::Log(part, bytes) => (part, bytes.as_slice()),
                Said::Failed(why) => {
                    self.mistrust(why);
                    return Ok(Passage::Moved);
                }
            };
            // A program that the container has left behind may hold its log open.
            let is_left = is_settled && !is_first && !wait && bytes.is_empty();
            is_first = false;
            if !part.continues {
                self.begin_anew().await?;
            }
            if !part.at.head.is_empty() {
                let head = &part.at.head[..part.at.head.len().min(HEAD)];
                (self.at, self.head) = (Some(part.at.offset), head.to_vec());
                self.start = self.newest_start(key);
            }
            let left = left.get_or_insert(part.size.saturating_sub(part.at.offset));
            let bytes = match usize::try_from(*left) {
                Ok(left) if !follow => &bytes[..bytes.len().min(left)],
                _ => bytes,
            };
            for piece in bytes.chunks(LOG_PIECE) {
                self.print(piece).await?;
            }
            *left = left.saturating_sub(bytes.len() as u64);
            if !follow && (*left == 0 || bytes.is_empty()) {
                return Ok(Passage::Whole);
            }
            if (part.closed && follow) || is_left {
                self.close().await?;
                // Until the job ends, or starts again.
                self.change().await;
                return Ok(Passage::Moved);
            }
            if wait && bytes.is_empty() {
                self.mistrust("it answered with nothing");
                return Ok(Passage::Moved);
            }
            wait = follow;
        }
    }

    /// What it wants next.
    fn next(&self, is_first: bool, wait: bool) -> LogWant {
        let options = &self.wanted.options;
        let from = match (self.at, options.tail) {
            (Some(offset), _) => Begin::Position(Position { head: self.head.clone(), offset }),
            // The last lines of a log that has none are those that come.
            (None, Some(lines)) if is_first => Begin::Lines(lines),
            (None, _) => Begin::Start,
        };
        LogWant { container: self.wanted.container.clone(), previous: options.previous, from, wait }
    }

    /// The answer, or why it is not waited for any longer.
    async fn answer(&mut self, key: &JobKey, question: &Question, wait: bool) -> Result<Heard, Stop> {
        let asked = Instant::now();
        loop {
            tokio::select! {
                said = question.said() => return Ok(Heard::Said(said)),
                _ = timeout(ANSWER_LOOK, self.change()) => {}
            }
            if !self.is_with(key)? {
                return Ok(Heard::Moved);
            }
            if wait && asked.elapsed() > ANSWER_PROOF {
                return Ok(Heard::Nothing);
            }
            if !wait && asked.elapsed() > ANSWER_PATIENCE {
                self.mistrust("it does not answer");
            }
            if !self.is_asking(key) {
                return Ok(Heard::Moved);
            }
        }
    }
}

/// What came of a question.
enum Heard {
    /// An answer.
    Said(Arc<Said>),
    /// Nothing for long, though it may wait: whether the job still answers must be seen.
    Nothing,
    /// The log is elsewhere by now, or the job does not answer.
    Moved,
}
