//! The sender as a program: a folder with `job.json` goes in, logs and `result.json` come out.

#![allow(clippy::unwrap_used)]

mod chirp;
mod entry_point;
mod files;
mod full;
mod host;
mod image;
mod leaving;
mod limits;
mod names;
mod polls;
mod pull;
mod reports;
mod room;
mod scratch;
mod survivors;
mod trouble;
mod values;
mod worker;
