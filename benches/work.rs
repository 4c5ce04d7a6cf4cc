//! What is submitted: a trivial script without a container, for a machine that does not exist, so
//! that nothing runs while we count.

use htc_core::workload::Workload;
use htc_core::workload::names::JobKey;
use htc_operator::htcjob::Site;
use htc_operator::htcjob::translate::translate;
use htc_operator::htcjob::types::HTCJob;

use crate::harness::host;

/// Jobs of one round.
pub const JOBS: usize = 200;
/// Calls of one round where each job has its own.
pub const SINGLE_CALLS: usize = 40;
/// Rounds of each way, in turns.
pub const ROUNDS: usize = 3;

/// The HTCJob.
pub fn htcjob(name: &str) -> HTCJob {
    let mut job = host(name, "echo never\n");
    job.spec.htcopts = Some("requirements = (Machine == \"nowhere\")".to_owned());
    job
}

/// The same in our own words.
pub fn workload(name: &str) -> Workload {
    let mut site = Site::default();
    site.images.host = vec!["default".to_owned()];
    translate(&htcjob(name).spec, "default", &site).unwrap()
}

/// The key of the n-th job of a round.
pub fn key(round: &str, n: usize) -> JobKey {
    JobKey { uid: uid(round, n), index: 0, attempt: 0, submission: 0 }
}

/// A UID as long as those of Kubernetes.
fn uid(round: &str, n: usize) -> htc_core::workload::names::Uid {
    format!("{round:0<31}-{n:04}").parse().unwrap()
}
