//! Logs to which nobody writes any more.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The containers whose logs are closed; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Closed(Arc<Mutex<BTreeSet<String>>>);

/// The log of a container is closed when this is dropped.
#[derive(Debug)]
pub struct Closes {
    closed: Closed,
    container: String,
}

impl Closed {
    /// A log that is open until this is dropped.
    pub fn when_dropped(&self, container: &str) -> Closes {
        Closes { closed: self.clone(), container: container.to_owned() }
    }

    /// Whether all of the log is in its file. A log that nobody has opened yet is not closed.
    pub fn has(&self, container: &str) -> bool {
        self.all().contains(container)
    }

    fn all(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Closes {
    fn drop(&mut self) {
        let container = std::mem::take(&mut self.container);
        self.closed.all().insert(container);
    }
}
