//! How often, and for how long, jobs are kept from machines that could not run them.

use std::time::Duration;

/// So often a job goes to another worker, because one could start nothing of the user's: what fails on five is not
/// likely to run on a sixth.
pub const WORKERS_TRIED: u32 = 5;

/// So long a machine that could run nothing of a job is passed over at first; each time twice as long, so that the
/// last time it is 16 hours. A pool may have no other machines, and those of a small one are mended within the hour.
pub const WORKER_PASSED_OVER: Duration = Duration::from_secs(3_600);

/// The end of that time is a multiple of this: jobs that fail at about the same time then go together again.
pub const WORKER_PASSED_OVER_STEP: Duration = Duration::from_secs(600);
