//! The current job of an index: what we believe of it, and what follows from that at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use htc_core::workload::report::Report;
use jiff::Timestamp;

use super::late::Late;
use crate::condor::ad::{Ad, Exit};
pub use crate::store::jobs::Files;

/// The current job of an index.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its key.
    pub key: JobKey,
    /// Its folder.
    pub folder: String,
    /// What we believe of it.
    pub progress: Progress,
    /// The submission it belongs to, until that is settled.
    pub intent: Option<i64>,
    /// The highest `NumShadowStarts` seen.
    pub starts: u32,
    /// What it last said of itself.
    pub report: Option<Arc<Report>>,
    /// When that came, if in this life: clocks of workers tell nothing.
    pub heard_at: Option<Instant>,
    /// A hash of the last report in its ad that was looked at.
    pub heard: Option<u64>,
    /// Its ad says that it is over; how it ended waits for its result.
    pub finished: Option<Finished>,
    /// Its worker could start nothing of it: once it has left the queue, its index is submitted anew.
    pub goes_elsewhere: bool,
    /// Where its files are.
    pub files: Files,
    /// The folder to which they would go by its ad, where that is another than its own.
    pub sent_to: Option<Box<str>>,
    /// What they take on our disk, where that is counted.
    pub bytes: u64,
    /// What is known of its files where they do not come home at once.
    pub late: Option<Box<Late>>,
    /// Whether its sender signs its result: those of earlier releases did not.
    pub signs_result: bool,
    /// Its door has made its end known.
    pub published: bool,
    /// Whether it is in the queue.
    pub in_queue: InQueue,
    /// The attribute for want of which its ad cannot be judged.
    pub riddle: Option<&'static str>,
    /// Attributes of its ad that cannot be read and count as absent.
    pub unread: Vec<&'static str>,
}

/// Whether a job is in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InQueue {
    /// It is, or may be.
    Yes,
    /// We have told the schedd that it may leave before it has ended.
    Released,
    /// Complete answers do not have it though they should.
    MissingSince {
        /// The first of them.
        since: Instant,
        /// When HTCondor's history was last asked for it.
        sought: Option<Instant>,
    },
    /// It has ended and is not there any more, and that is right.
    Left,
}

/// What an ad in state 4 says.
#[derive(Clone, Debug)]
pub struct Finished {
    /// HTCondor's id.
    pub job: JobId,
    /// How the sender ended.
    pub exit: Exit,
    /// When.
    pub at: Timestamp,
    /// Since when we know.
    pub seen: Instant,
    /// The machine that it ran on, where its ad tells.
    pub machine: Option<String>,
}

impl Job {
    /// A job as it is before anything is known of it.
    pub fn new(key: JobKey, folder: String, progress: Progress, intent: Option<i64>) -> Job {
        Job {
            key,
            folder,
            progress,
            intent,
            starts: 0,
            report: None,
            heard_at: None,
            heard: None,
            finished: None,
            goes_elsewhere: false,
            files: Files::Expected,
            sent_to: None,
            bytes: 0,
            late: None,
            signs_result: true,
            published: false,
            in_queue: InQueue::Yes,
            riddle: None,
            unread: Vec::new(),
        }
    }

    /// Its end, if it is known.
    pub fn end(&self) -> Option<&End> {
        self.progress.end()
    }

    /// Whether it is over and done with: its end is told, its files are home or lost, and it has left the queue.
    pub fn rests(&self) -> bool {
        self.end().is_some() && self.published && self.in_queue == InQueue::Left && self.riddle.is_none()
    }

    /// Whether it was removed while it ran and is in the queue still: it may have its grace on the worker.
    pub fn is_leaving(&self) -> bool {
        let removed = self.end().is_some_and(|end| end.outcome == Outcome::Removed);
        removed && self.starts > 0 && self.in_queue != InQueue::Left && self.finished.is_none()
    }

    /// Whether it should be in the queue: it was committed, its end is not known, and we have not let it go.
    pub fn is_expected(&self) -> bool {
        let may_leave = self.in_queue == InQueue::Released || self.goes_elsewhere;
        self.progress.job().is_some() && self.end().is_none() && !may_leave
    }

    /// Whether it should be in the queue, or its files should, and the last complete answer did not have it.
    pub fn is_missing(&self) -> bool {
        self.missing_since().is_some() && (self.is_expected() || self.wants_files())
    }

    /// Since when complete answers do not have it though they should.
    pub fn missing_since(&self) -> Option<Instant> {
        match self.in_queue {
            InQueue::MissingSince { since, sought: _ } => Some(since),
            InQueue::Yes | InQueue::Released | InQueue::Left => None,
        }
    }

    /// A complete answer, asked for then, does not have it though it should; says whether it is the first.
    pub fn miss(&mut self, asked: Instant) -> bool {
        let begins = self.missing_since().is_none();
        if begins {
            self.in_queue = InQueue::MissingSince { since: asked, sought: None };
        }
        begins
    }

    /// The schedd was told that it may leave: its absence means no more than that.
    pub fn release(&mut self) {
        if self.end().is_none() {
            self.in_queue = InQueue::Released;
        }
    }

    /// Whether files of it are still to be fetched. What has left the queue has taken them along.
    pub fn wants_files(&self) -> bool {
        self.files == Files::Expected
            && self.in_queue != InQueue::Left
            && !self.may_go_elsewhere()
            && (self.finished.is_some() || self.has_ended_with_files())
    }

    /// Nothing can be asked for of a job whose id is not known.
    fn has_ended_with_files(&self) -> bool {
        self.progress.job().is_some() && self.end().is_some_and(|end| end.outcome.has_files())
    }

    /// Whether only its outside object says that it has ended, and nothing yet which job of HTCondor it was.
    pub fn is_hearsay(&self) -> bool {
        let has_run = self.end().is_some_and(|end| end.outcome != Outcome::SubmitRefused);
        has_run && self.progress.job().is_none() && self.files.may_come()
    }

    /// Whether it says that its worker could start nothing of it, and what follows from that is not known.
    fn may_go_elsewhere(&self) -> bool {
        let has_fault = |report: &Arc<Report>| report.worker_fault.is_some();
        self.end().is_none() && (self.goes_elsewhere || self.final_report().is_some_and(has_fault))
    }

    /// Whether it had files that will not come home.
    pub fn has_lost_files(&self) -> bool {
        let had = self.end().is_some_and(|end| end.outcome.has_files());
        match self.files {
            Files::Expected => had && self.in_queue == InQueue::Left,
            Files::Home => false,
            Files::Unseen | Files::GivenUp => had,
        }
    }

    /// Notes to which folder its ad has its outputs go: it may be of another data folder, or forged.
    pub fn note_folder(&mut self, ad: &Ad) {
        let is_own = Path::new(&ad.folder) == Path::new(&self.folder);
        self.sent_to = (ad.staged && !is_own).then(|| ad.folder.as_str().into());
    }

    /// Whether its report is the last one of its latest start.
    pub fn final_report(&self) -> Option<&Arc<Report>> {
        self.report.as_ref().filter(|report| report.is_final() && report.start >= self.starts)
    }
}
