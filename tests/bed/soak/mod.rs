//! Slow tests: only `make soak` runs them, one at a time.

mod upgrading;
