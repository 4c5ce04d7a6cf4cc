//! The operator: a bridge from Kubernetes to HTCondor.
//!
//! Read from the doors down: [`htcjob`], [`interlink`] and [`callbacks`] turn what is outside into
//! wishes and reports, [`engine`] makes wishes true, [`condor`] speaks HTCondor's dialect, [`store`] keeps what
//! must not be lost. [`cli`] wires them. `ARCHITECTURE.md` has the picture.

pub mod callbacks;
pub mod cli;
pub mod condor;
pub mod config;
pub mod control;
pub mod engine;
pub mod htcjob;
pub mod http;
pub mod interlink;
pub mod limits;
pub mod metrics;
pub mod pod;
pub mod store;
