//! What both sides of the wire share: the words for work, the job's description (`job.json`), what
//! a job reports of itself, and the signed events that carry those reports.
//!
//! Nothing here does I/O, and nothing here knows Kubernetes, HTCondor or HTTP.

pub mod chirp;
pub mod events;
pub mod workload;
