//! What is odd in an answer, told to whoever runs the operator: ads that cannot be judged, and jobs that are
//! not in the queue though they should be.

use super::absence;
use crate::condor::query::Answer;
use crate::engine::Inner;

impl Inner {
    /// Counts what is odd, and logs what is new of it.
    pub(super) fn note_oddities(&self, answer: &Answer) {
        let mut board = self.board();
        self.metrics.riddles.set(answer.riddles.len() as i64);
        self.metrics.unread.set(answer.ads.iter().filter(|ad| !ad.unread.is_empty()).count() as i64);
        for riddle in answer.riddles.iter().filter(|riddle| !board.riddles.contains(riddle)) {
            let text = |what: Option<String>| what.unwrap_or_else(|| "unknown".to_owned());
            tracing::error!(
                attribute = riddle.attribute,
                job = text(riddle.job.map(|job| job.to_string())),
                workload = text(riddle.uid.as_ref().map(|uid| uid.to_string())),
                "the ad of a job of ours cannot be judged; mend it with condor_qedit, or remove the job"
            );
        }
        board.riddles.clone_from(&answer.riddles);
        let missing = board.missing();
        self.metrics.missing.set(missing as i64);
        let vanished = absence::vanished(&board);
        self.metrics.vanished.set(i64::from(vanished.is_some()));
        let changed = board.vanished.is_some() != vanished.is_some();
        board.vanished = vanished;
        drop(board);
        if missing > 0 {
            self.missing_bell.notify_one();
        }
        if changed {
            match vanished {
                Some(vanished) => tracing::error!(
                    missing = vanished.missing,
                    of = vanished.known,
                    "most jobs have vanished from the queue at once; they are waited for. Is it the right schedd, \
                     and is its spool there?"
                ),
                None => tracing::info!("most jobs are in the queue again, or it is known how they ended"),
            }
            self.ring_all();
        }
    }
}
