//! The sender as a program: a folder with `job.json` goes in, logs and `result.json` come out.

mod host;
mod image;
mod names;
mod reports;
mod scratch;
