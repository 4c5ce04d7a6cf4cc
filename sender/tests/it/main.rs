//! The sender as a program: a folder with `job.json` goes in, logs and `result.json` come out.

#![allow(clippy::unwrap_used)]

mod host;
mod image;
mod names;
mod reports;
mod scratch;
