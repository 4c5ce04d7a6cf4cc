//! Waiting until something has happened in the scripted pool.

use std::time::{Duration, Instant};

use crate::life::PATIENCE;
use crate::pool::Scripted;
use crate::tools::state::State;

impl Scripted {
    /// Waits until so many more calls of a tool have begun.
    pub async fn calls_more(&self, tool: &str, more: usize) {
        let count = |state: &State| state.calls.iter().filter(|call| call.tool == tool).count();
        let target = count(&self.state()) + more;
        self.eventually(&format!("{more} more calls of {tool}"), |state| count(state) >= target).await;
    }

    /// Waits until the queue is empty.
    pub async fn empties(&self) {
        self.eventually("the queue is empty", |state| state.queue.is_empty()).await;
    }

    /// Looks until something is so; fails the test when it does not come to that.
    pub async fn eventually(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let started = Instant::now();
        while !is_so(&self.state()) {
            assert!(started.elapsed() < PATIENCE, "did not happen: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
