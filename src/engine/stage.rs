//! What is wished of a workload, with what is meaningful only as long as that is wished.

use std::time::Instant;

use super::board::Entry;
use super::submit::doubt::Doubts;
use crate::condor::submit::ShapeId;
use crate::store::wishes::{Waiting, Want};

/// What is wished of a workload.
pub enum Stage {
    /// That it runs.
    Run(Run),
    /// That nothing of it is left.
    Gone(Gone),
}

/// Of a workload that shall run: what is still to be submitted.
pub struct Run {
    /// What waits to be submitted: ranges in order, not overlapping.
    pub waiting: Vec<Waiting>,
    /// An earlier life may have submitted it: nothing is submitted until an answer that was asked
    /// for after this moment has shown what is in the queue.
    pub unproven_since: Option<Instant>,
    /// Its outside object has still to say what it knows: our store may be older.
    pub awaits_object: bool,
    /// A job of it is in the queue that does not say of which index it is.
    pub obscured: bool,
    /// Since when it waits for its turn: since it came, or since something of it was last submitted.
    pub waits_since: Instant,
    /// What failed submissions have made doubtful of it; mostly nothing.
    pub doubts: Option<Box<Doubts>>,
    /// Workloads with the same have descriptions that go into one submission.
    pub shape: Option<ShapeId>,
    /// Why nothing of it may be submitted any more, if so.
    pub refused: Option<String>,
}

/// Of a workload that shall be gone: what is still to leave.
pub struct Gone {
    /// When the wish was durable: only a question asked after it can prove it.
    pub since: Instant,
    /// Its folder and what is known of it stay until then.
    pub kept_until: Instant,
    /// When the removal of its jobs was last asked for.
    pub removal_asked: Option<Instant>,
    /// How many of its jobs the last answer had.
    pub in_queue: usize,
}

impl Stage {
    /// That of a workload of which this is wished, and of which this waits.
    pub fn of(want: Want, waiting: Vec<Waiting>, shape: Option<ShapeId>) -> Stage {
        let now = Instant::now();
        match want {
            Want::Run => Stage::Run(Run {
                waiting,
                unproven_since: None,
                awaits_object: false,
                obscured: false,
                waits_since: now,
                doubts: None,
                shape,
                refused: None,
            }),
            Want::Gone | Want::Tombstone => Stage::Gone(Gone::until(now)),
        }
    }

    /// What is still to be submitted, where it shall run.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Stage::Run(run) => Some(run),
            Stage::Gone(_) => None,
        }
    }
}

impl Gone {
    /// From now on; what has come home stays until then.
    pub fn until(kept_until: Instant) -> Gone {
        Gone { since: Instant::now(), kept_until, removal_asked: None, in_queue: 0 }
    }
}

impl Entry {
    /// What is wished of it.
    pub fn want(&self) -> Want {
        match self.stage {
            Stage::Run(_) => Want::Run,
            Stage::Gone(_) => Want::Gone,
        }
    }

    /// What is still to be submitted, where it shall run.
    pub fn run(&self) -> Option<&Run> {
        self.stage.run()
    }

    /// The same, to change it.
    pub fn run_mut(&mut self) -> Option<&mut Run> {
        match &mut self.stage {
            Stage::Run(run) => Some(run),
            Stage::Gone(_) => None,
        }
    }

    /// What is still to leave, where it shall be gone.
    pub fn gone(&self) -> Option<&Gone> {
        match &self.stage {
            Stage::Run(_) => None,
            Stage::Gone(gone) => Some(gone),
        }
    }

    /// What failed submissions have made doubtful of it, if anything.
    pub fn doubts(&self) -> Option<&Doubts> {
        self.run()?.doubts.as_deref()
    }

    /// What waits to be submitted; nothing of what shall be gone.
    pub fn waiting(&self) -> &[Waiting] {
        self.run().map_or(&[], |run| &run.waiting)
    }

    /// Whether an index has a job, whether that rests or not.
    pub fn has_job(&self, index: u32) -> bool {
        self.jobs.contains_key(&index) || self.rested.get(index).is_some()
    }

    /// How many indices wait, or are about to have a job.
    pub fn waiting_count(&self) -> u64 {
        self.intended + self.waiting().iter().map(|w| u64::from(w.last - w.first) + 1).sum::<u64>()
    }

    /// Puts an index back to those that wait, if anything of it shall run.
    pub fn put_back(&mut self, index: u32, attempt: u32, submission: u32) {
        let Some(run) = self.run_mut() else { return };
        // It may have been put back before: what followed from that was not durable.
        run.take(index);
        run.waiting.push(Waiting { first: index, last: index, attempt, submission });
        run.waiting.sort();
        run.waiting.dedup_by(|next, before| {
            let joins = before.last + 1 == next.first
                && (before.attempt, before.submission) == (next.attempt, next.submission);
            if joins {
                before.last = next.last;
            }
            joins
        });
    }

    /// Takes an index out of those that wait; says whether it was among them, and how.
    pub fn take(&mut self, index: u32) -> Option<Waiting> {
        self.run_mut()?.take(index)
    }
}

impl Run {
    fn take(&mut self, index: u32) -> Option<Waiting> {
        let at = self.waiting.iter().position(|w| (w.first..=w.last).contains(&index))?;
        let whole = self.waiting.remove(at);
        if index < whole.last {
            self.waiting.insert(at, Waiting { first: index + 1, ..whole });
        }
        if index > whole.first {
            self.waiting.insert(at, Waiting { last: index - 1, ..whole });
        }
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_and_putting_back_leaves_the_ranges_as_they_were() {
        let all = Waiting { first: 0, last: 9, attempt: 0, submission: 0 };
        let mut entry = Entry::bare(&[all]);
        for index in [0, 9, 4] {
            assert_eq!(entry.take(index).map(|w| w.attempt), Some(0));
            assert_eq!(entry.take(index), None);
        }
        assert_eq!(entry.waiting_count(), 7);
        for index in [4, 0, 9] {
            entry.put_back(index, 0, 0);
        }
        assert_eq!(entry.waiting(), [all]);
    }

    #[test]
    fn ranges_of_different_submissions_do_not_join() {
        let mut entry = Entry::bare(&[Waiting { first: 0, last: 1, attempt: 0, submission: 0 }]);
        entry.put_back(2, 0, 1);
        assert_eq!(entry.waiting().len(), 2);
    }

    #[test]
    fn nothing_is_put_back_of_what_shall_be_gone() {
        let mut entry = Entry::bare(&[]);
        entry.stage = Stage::Gone(Gone::until(Instant::now()));
        entry.put_back(0, 0, 1);
        assert_eq!((entry.waiting_count(), entry.take(0)), (0, None));
    }
}
