//! How many jobs go together, and how long the submitter rests: learnt from what became of the
//! submissions before. Pure: moments come from the caller.

use std::time::{Duration, Instant};

use crate::condor::failure::Failure;
use crate::engine::board::ToolEnd;
use crate::engine::look::tracker::backoff;
use crate::limits::{BATCH_RAISED, DOUBT_REST, DOUBT_REST_FACTOR, SLOW_SUBMISSION, SUBMIT_DEADLINE};

/// What became of a submission.
pub struct Done {
    /// How many jobs it had.
    pub jobs: usize,
    /// Whether they were in doubt before.
    pub doubtful: bool,
    /// How long it took.
    pub took: Duration,
    /// How it ended; nothing when it could not be prepared.
    pub end: Option<ToolEnd>,
}

/// What was learnt.
pub struct Pace {
    /// What the operator's own setting allows.
    most: usize,
    /// So many go together where the queue is nearly full.
    room: usize,
    /// So many arrive in time.
    in_time: usize,
    /// So many the schedd takes in one submission, and since when we think so.
    limit: Option<(usize, Instant)>,
    /// Submissions that failed in a row, and that more than their own jobs were to blame for.
    failures: u32,
    /// What is in doubt rests until then: it takes its share of the time, no more.
    doubts_rest_until: Option<Instant>,
}

impl Pace {
    /// Nothing is known yet.
    pub fn new(most: usize) -> Pace {
        Pace { most, room: most, in_time: most, limit: None, failures: 0, doubts_rest_until: None }
    }

    /// How many may go together now.
    pub fn at_once(&mut self, now: Instant) -> usize {
        // It was a refusal that has told us: another one an hour is what it costs to learn of a new limit.
        if let Some((jobs, since)) = &mut self.limit
            && now.saturating_duration_since(*since) >= BATCH_RAISED
        {
            (*jobs, *since) = (*jobs * 2, now);
        }
        self.limit = self.limit.filter(|(jobs, _)| *jobs < self.most);
        let limit = self.limit.map_or(self.most, |(jobs, _)| jobs);
        self.room.min(self.in_time).min(limit)
    }

    /// Until when what is in doubt rests, if it does.
    pub fn doubts_rest(&self, now: Instant) -> Option<Instant> {
        self.doubts_rest_until.filter(|until| *until > now)
    }

    /// Whether so many submissions failed in a row that it is not for the sake of a few jobs.
    pub fn is_broken(&self) -> bool {
        self.failures > 2
    }

    /// Learns from a submission; says how long all rest now.
    pub fn learn(&mut self, done: Done, now: Instant) -> Duration {
        let Done { jobs, doubtful, took, end } = done;
        let half = (jobs / 2).max(1);
        let about = match end {
            Some(ToolEnd::Well) => return self.went_well(jobs, took),
            Some(ToolEnd::Failed(about, _)) => about,
            // Half of the files may find room on our disk where all do not.
            None => {
                self.in_time = half;
                Failure::Ours
            }
            Some(ToolEnd::Unknown) => Failure::Ours,
        };
        if doubtful {
            self.doubts_rest_until = Some(now + (took * DOUBT_REST_FACTOR).clamp(DOUBT_REST.0, DOUBT_REST.1));
        }
        match about {
            Failure::Spool => self.in_time = half,
            Failure::Queue => self.room = half,
            Failure::Batch => self.limit = Some((half, now)),
            Failure::Pool | Failure::Ours | Failure::Refused | Failure::Unknown => {}
        }
        match about {
            Failure::Refused => return Duration::ZERO,
            Failure::Batch if jobs > 1 => return Duration::ZERO,
            Failure::Unknown if doubtful => return Duration::ZERO,
            _ => self.failures += 1,
        }
        match about {
            // Mostly a job of it is to blame, and the next ones should not wait for that.
            Failure::Unknown if self.failures == 1 => Duration::ZERO,
            _ => backoff(self.failures),
        }
    }

    fn went_well(&mut self, jobs: usize, took: Duration) -> Duration {
        self.failures = 0;
        self.room = (self.room * 2).min(self.most);
        self.in_time = (self.in_time * 2).min(self.most);
        if took > SLOW_SUBMISSION {
            // As many as take half of the time that they have.
            let fit = jobs as f64 * SUBMIT_DEADLINE.as_secs_f64() / 2.0 / took.as_secs_f64();
            self.in_time = self.in_time.min(fit as usize).max(1);
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(100);

    fn failed(about: Failure, jobs: usize) -> Done {
        let end = Some(ToolEnd::Failed(about, String::new()));
        Done { jobs, doubtful: false, took: QUICK, end }
    }

    fn well(jobs: usize, took: Duration) -> Done {
        Done { jobs, doubtful: false, took, end: Some(ToolEnd::Well) }
    }

    #[test]
    fn a_limit_of_submissions_is_kept_and_tried_again_once_an_hour() {
        let now = Instant::now();
        let mut pace = Pace::new(200);
        assert_eq!(pace.learn(failed(Failure::Batch, 200), now), Duration::ZERO);
        for _ in 0..50 {
            pace.learn(well(100, QUICK), now);
            assert_eq!(pace.at_once(now), 100, "not raised by a success");
        }
        assert_eq!(pace.at_once(now + BATCH_RAISED), 200);
    }

    #[test]
    fn a_batch_that_does_not_arrive_in_time_shrinks_and_grows_by_how_long_it_takes() {
        let now = Instant::now();
        let mut pace = Pace::new(200);
        // 200 files of 2.9 MB at 1 MB/s: 41 arrive within the deadline.
        let mut jobs = pace.at_once(now);
        for _ in 0..20 {
            let took = Duration::from_secs_f64(jobs as f64 * 2.9);
            pace.learn(
                if took > SUBMIT_DEADLINE { failed(Failure::Spool, jobs) } else { well(jobs, took) },
                now,
            );
            jobs = pace.at_once(now);
        }
        assert_eq!(jobs, 20, "half of the time is for what is slower than the last one");
        for _ in 0..5 {
            pace.learn(well(20, QUICK), now);
        }
        assert_eq!(pace.at_once(now), 200);
    }

    #[test]
    fn a_disk_without_room_for_all_may_have_room_for_some() {
        let now = Instant::now();
        let mut pace = Pace::new(200);
        let pause = pace.learn(Done { jobs: 200, doubtful: false, took: QUICK, end: None }, now);
        assert!(pause > Duration::ZERO);
        assert_eq!(pace.at_once(now), 100);
    }

    #[test]
    fn a_job_that_may_be_to_blame_makes_no_other_wait() {
        let now = Instant::now();
        let mut pace = Pace::new(200);
        for about in [Failure::Refused, Failure::Unknown] {
            assert_eq!(pace.learn(failed(about, 50), now), Duration::ZERO, "{about:?}");
            for _ in 0..9 {
                let pause = pace.learn(Done { doubtful: true, ..failed(about, 25) }, now);
                assert_eq!((pause, pace.is_broken()), (Duration::ZERO, false), "{about:?}");
            }
            assert!(pace.doubts_rest(now).is_some());
        }
    }

    #[test]
    fn when_everything_fails_all_rest_longer_and_longer() {
        let now = Instant::now();
        for about in [Failure::Pool, Failure::Ours, Failure::Unknown, Failure::Queue] {
            let mut pace = Pace::new(200);
            let pauses: Vec<_> = (0..12).map(|_| pace.learn(failed(about, 50), now)).collect();
            assert!(pauses[2] > pauses[1] && pauses[11] >= Duration::from_secs(30), "{about:?} {pauses:?}");
            assert!(pace.is_broken());
            pace.learn(well(1, QUICK), now);
            assert!(!pace.is_broken());
        }
    }
}
