//! The whole on the test bed: a real HTCondor pool, real apptainer, a real API server. The tests run
//! inside the pool's root as the submitting user; `make test` brings the bed up and starts them. What is
//! shipped beside the program, examples and manifests, is looked at here too, as far as possible without the bed.
//!
//! Each test has an operator, an instance id, a namespace and a folder of its own (see [`harness`]).
#![allow(clippy::unwrap_used, reason = "these are tests")]

#[allow(dead_code, reason = "some verbs are for the tests without a bed")]
#[path = "../interlink/client/mod.rs"]
mod client;
mod harness;

mod ads;
mod alone;
mod attacks;
mod content;
mod crash;
mod deletion;
mod deploy;
mod descriptions;
mod doctor;
mod ends;
mod examples;
mod holds;
mod images;
mod inherited;
mod interlink;
mod leaving;
mod line;
mod logs;
mod many;
mod names;
mod options;
mod outage;
mod outputs;
mod pods;
mod polls;
mod process;
mod reports;
mod requests;
mod restart;
mod rights;
mod schema;
mod soak;
mod strangers;
mod tenancy;
mod thousand;
mod tool;
mod unwritten;
mod workers;
