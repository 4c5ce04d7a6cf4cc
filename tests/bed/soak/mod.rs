//! Tests that take long or disturb the bed: only `make soak` runs them, one after the other.

mod api;
mod full;
mod key;
mod second;
