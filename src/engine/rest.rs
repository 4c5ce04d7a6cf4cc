//! What is kept of jobs that are over and done with: their ends are told and kept, their files are home or lost,
//! and they have left the queue. There may be a hundred times as many of them as live ones, so each keeps what
//! statuses, tables and logs still tell, and no look at the pool passes by them.

use std::collections::BTreeSet;
use std::sync::Arc;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use htc_core::workload::report::Report;
use jiff::Timestamp;

use super::board::{Files, InQueue, Job};

/// A job that rests.
#[derive(Clone, Debug)]
pub struct Rest {
    /// Its index.
    pub index: u32,
    /// Which try of the index it was.
    pub attempt: u32,
    /// Which submission of that try.
    pub submission: u32,
    /// How often the pool has started it.
    pub starts: u32,
    /// HTCondor's id.
    pub job: Option<JobId>,
    /// How it ended.
    pub outcome: Outcome,
    /// The sentence of its end.
    pub message: Box<str>,
    /// When it ended.
    pub at: Timestamp,
    /// Where its files are.
    pub files: Files,
    /// What they take on our disk, where that is counted.
    pub bytes: u64,
    /// Whether its sender signs its result.
    pub signs_result: bool,
    /// What it last said of itself, where somebody still reads it.
    pub report: Option<Arc<Report>>,
}

impl Rest {
    /// What is kept of a job; the job itself where it does not rest.
    fn of(job: Job, with_report: bool) -> Result<Rest, Box<Job>> {
        if !job.rests() {
            return Err(Box::new(job));
        }
        let Job { key, progress, starts, report, files, bytes, signs_result, .. } = job;
        let Progress::Ended { job, end } = progress else { unreachable!("what rests has ended") };
        Ok(Rest {
            index: key.index,
            attempt: key.attempt,
            submission: key.submission,
            starts,
            job,
            outcome: end.outcome,
            message: end.message.into(),
            at: end.at,
            files,
            bytes,
            signs_result,
            report: report.filter(|_| with_report),
        })
    }

    /// Its key, in the workload of this UID.
    pub fn key(&self, uid: &Uid) -> JobKey {
        let Rest { index, attempt, submission, .. } = *self;
        JobKey { uid: uid.clone(), index, attempt, submission }
    }

    /// Its end, as it was.
    pub fn progress(&self) -> Progress {
        let end = End { outcome: self.outcome, message: self.message.to_string(), at: self.at };
        Progress::Ended { job: self.job, end }
    }

    /// Whether it had files that will not come home.
    pub fn has_lost_files(&self) -> bool {
        self.outcome.has_files() && self.files != Files::Home
    }

    /// The job as it was when it came to rest.
    pub fn job(&self, uid: &Uid, folder: String) -> Job {
        let key = self.key(uid);
        Job {
            starts: self.starts,
            report: self.report.clone(),
            files: self.files,
            bytes: self.bytes,
            signs_result: self.signs_result,
            published: true,
            in_queue: InQueue::Left,
            ..Job::new(key, folder, self.progress(), None)
        }
    }
}

/// The jobs of a workload that rest, in order of their indices.
#[derive(Debug, Default)]
pub struct Rested {
    all: Vec<Rest>,
    /// What the files of all of them take on our disk.
    bytes: u64,
}

impl Rested {
    /// The job of an index, if it rests.
    pub fn get(&self, index: u32) -> Option<&Rest> {
        self.place(index).ok().map(|at| &self.all[at])
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rest> {
        self.all.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none rests.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Takes a job in; gives it back where it does not rest.
    pub fn take_in(&mut self, job: Job, with_report: bool) -> Result<(), Box<Job>> {
        let rest = Rest::of(job, with_report)?;
        self.bytes += rest.bytes;
        match self.place(rest.index) {
            Ok(at) => self.bytes -= std::mem::replace(&mut self.all[at], rest).bytes,
            // Mostly the last.
            Err(at) => self.all.insert(at, rest),
        }
        Ok(())
    }

    /// Takes many in; those that do not rest come back.
    pub fn take_in_all(&mut self, jobs: Vec<Job>, with_report: bool) -> Vec<Job> {
        let (mut rests, mut others) = (Vec::new(), Vec::new());
        for job in jobs {
            Rest::of(job, with_report).map_or_else(|job| others.push(*job), |rest| rests.push(rest));
        }
        if !rests.is_empty() {
            let new: BTreeSet<u32> = rests.iter().map(|rest| rest.index).collect();
            self.all.retain(|rest| !new.contains(&rest.index));
            self.all.extend(rests);
            self.all.sort_by_key(|rest| rest.index);
            self.bytes = sum(&self.all);
            self.shrink();
        }
        others
    }

    /// Takes the jobs of these indices out: they are alive again.
    pub fn take_out(&mut self, indices: &BTreeSet<u32>) -> Vec<Rest> {
        if !indices.iter().any(|index| self.get(*index).is_some()) {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.all).into_iter();
        let (out, stay) = all.partition(|rest| indices.contains(&rest.index));
        self.all = stay;
        self.bytes = sum(&self.all);
        out
    }

    /// What the files of all of them take on our disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Notes what the files of one take, if it rests.
    pub fn weigh(&mut self, key: &JobKey, bytes: u64) {
        let Ok(at) = self.place(key.index) else { return };
        let rest = &mut self.all[at];
        if (rest.attempt, rest.submission) == (key.attempt, key.submission) {
            self.bytes = self.bytes - rest.bytes + bytes;
            rest.bytes = bytes;
        }
    }

    /// Gives back room that is not needed.
    pub fn shrink(&mut self) {
        if self.all.capacity() > self.all.len() + self.all.len() / 4 {
            self.all.shrink_to_fit();
        }
    }

    fn place(&self, index: u32) -> Result<usize, usize> {
        self.all.binary_search_by_key(&index, |rest| rest.index)
    }
}

fn sum(all: &[Rest]) -> u64 {
    all.iter().map(|rest| rest.bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(index: u32) -> Job {
        let key = JobKey { uid: "u".parse().unwrap(), index, attempt: 1, submission: 2 };
        let at = Timestamp::from_second(5).unwrap();
        let end = End { outcome: Outcome::ExitCode(3), message: "exit code 3".into(), at };
        let job = Some(JobId { cluster: 7, proc: index });
        let job = Job::new(key, "f".into(), Progress::Ended { job, end }, None);
        Job {
            starts: 2,
            files: Files::Home,
            bytes: 5,
            published: true,
            in_queue: InQueue::Left,
            signs_result: false,
            ..job
        }
    }

    #[test]
    fn a_job_that_wakes_is_what_it_was() {
        let mut rested = Rested::default();
        rested.take_in(job(4), false).unwrap();
        assert!(rested.take_in_all(vec![job(2), job(0)], false).is_empty());
        assert_eq!(rested.iter().map(|rest| rest.index).collect::<Vec<_>>(), [0, 2, 4]);
        assert!(rested.get(3).is_none() && rested.take_out(&[3].into()).is_empty());
        let [rest] = &rested.take_out(&[2, 3].into())[..] else { panic!("one of them rests") };
        let woken = rest.job(&"u".parse().unwrap(), "f".into());
        assert_eq!(format!("{woken:?}"), format!("{:?}", job(2)));
        assert_eq!((rested.len(), rested.bytes()), (2, 10));
        rested.weigh(&job(0).key, 7);
        rested.take_in(job(4), false).unwrap();
        assert_eq!(rested.bytes(), 12);
    }

    #[test]
    fn what_is_not_over_and_told_and_gone_from_the_queue_does_not_rest() {
        let mut rested = Rested::default();
        for job in [
            Job { published: false, ..job(0) },
            Job { in_queue: InQueue::Yes, ..job(0) },
            Job { riddle: Some("JobStatus"), ..job(0) },
            Job { progress: Progress::Submitting { job: None }, ..job(0) },
        ] {
            assert_eq!(rested.take_in_all(vec![job.clone()], false).len(), 1);
            assert!(rested.take_in(job, false).is_err());
        }
        assert!(rested.is_empty());
    }

    #[test]
    fn a_hundred_thousand_of_them_take_ten_mebibytes() {
        assert!(size_of::<Rest>() <= 96, "{}", size_of::<Rest>());
    }
}
