//! `condor_tail`: the bytes of a file of a running job, from its first on.
//!
//! The tool cannot be told where to begin: it gives the last bytes, as many as it may, and then what
//! is added. Allowed to give any number, it begins with the first.
//! <https://htcondor.readthedocs.io/en/latest/man-pages/condor_tail.html>

use htc_core::workload::progress::JobId;

use super::cli::{Call, CallError, Running};
use super::pool::Pool;
use crate::limits::{TAIL_DEADLINE, TAIL_SESSION};

/// More than any file has; larger numbers would overflow in the tool.
const ALL_BYTES: u64 = 1 << 60;

/// How long a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the end that it has now.
    Now,
    /// As long as the job runs and the tool may.
    Further,
}

/// A `condor_tail` at work.
pub struct Tail {
    running: Running,
    until: Until,
}

impl Tail {
    /// Starts to read a file that stands itself in the job's `transfer_output_files`; one in a
    /// folder is refused.
    pub fn start(pool: &Pool, job: JobId, file: &str, until: Until) -> Result<Tail, CallError> {
        let further = (until == Until::Further).then_some("-follow");
        let (all, job) = (ALL_BYTES.to_string(), job.to_string());
        let arguments = further.into_iter().chain(["-no-stdout", "-maxbytes", &all, &job, file]);
        let arguments = arguments.map(str::to_owned).collect();
        let deadline = if until == Until::Further { TAIL_SESSION } else { TAIL_DEADLINE };
        let running = Running::start(&Call { tool: "condor_tail", arguments, pool, deadline }, None)?;
        Ok(Tail { running, until })
    }

    /// The next bytes; none when the tool has no more.
    pub async fn bytes(&mut self) -> Vec<u8> {
        self.running.bytes().await
    }

    /// Waits for the end of the tool. That its time is over is a good end of one that was to read
    /// further.
    pub async fn finish(self) -> Result<(), CallError> {
        match self.running.finish().await {
            Err(CallError::Deadline { .. }) if self.until == Until::Further => Ok(()),
            other => other.map(drop),
        }
    }
}
