//! Slow tests, and those that disturb the bed: only `make soak` runs them, one at a time.

mod api;
mod full;
mod key;
mod second;
mod upgrading;
