//! What both sides of the wire share: the words for work, the job's description (`job.json`), what
//! a job reports of itself, the signed events that carry those reports, and the long poll through which the
//! operator asks a running job for things.
//!
//! Nothing here does I/O, and nothing here knows Kubernetes, HTCondor or HTTP.

pub mod chirp;
pub mod events;
pub mod log;
pub mod poll;
pub mod result;
pub mod workload;
