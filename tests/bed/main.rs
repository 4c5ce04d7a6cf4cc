//! The whole on the test bed: a real HTCondor pool, real apptainer, a real API server. The tests run
//! inside the pool's root as the submitting user; `make test` brings the bed up and starts them.
//!
//! Each test has an operator, an instance id, a namespace and a folder of its own (see [`harness`]).
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod harness;

mod content;
mod crash;
mod deletion;
mod failing;
mod line;
mod many;
mod names;
mod options;
mod outage;
mod process;
mod reports;
mod restart;
mod rights;
mod schema;
mod tool;
