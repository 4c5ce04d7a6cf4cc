//! What the door shares between reconciliations, and what it remembers of each object.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use htc_core::workload::names::Uid;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};

use super::object::Seen;
use super::types::HTCJobStatus;
use crate::engine::Engine;
use crate::metrics::Metrics;

/// What every reconciliation needs.
pub struct DoorState {
    /// The waist.
    pub engine: Engine,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// For images that are plain names.
    pub image_registry: Option<String>,
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    ready: AtomicBool,
    memory: Mutex<HashMap<Uid, Memory>>,
}

/// What we remember of an object between two looks at it.
#[derive(Default)]
pub(super) struct Memory {
    /// When its status was last written, and what it was then: our cache may be older.
    pub written: Option<(Instant, HTCJobStatus)>,
    /// How often in a row it could not be reconciled.
    pub failures: u32,
}

impl DoorState {
    /// The state of a door that is not open yet.
    pub fn new(
        client: Client,
        engine: Engine,
        metrics: Arc<Metrics>,
        image_registry: Option<String>,
    ) -> Arc<Self> {
        let reporter = Reporter { controller: "htc-operator".to_owned(), instance: None };
        Arc::new(DoorState {
            engine,
            metrics,
            image_registry,
            recorder: Recorder::new(client.clone(), reporter),
            client,
            ready: AtomicBool::new(false),
            memory: Mutex::default(),
        })
    }

    /// Whether the API server has let us list HTCJobs.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(super) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub(super) fn memory<T>(&self, uid: &Uid, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().expect("nobody panics with it");
        change(memory.entry(uid.clone()).or_default())
    }

    /// The status that the API server has: what we wrote last, or what we read when we wrote nothing.
    pub(super) fn newest_status(&self, job: &Seen) -> HTCJobStatus {
        let written =
            self.memory(&job.uid, |memory| memory.written.as_ref().map(|(_, status)| status.clone()));
        written.or_else(|| job.object.status.clone()).unwrap_or_default()
    }

    /// The object was reconciled.
    pub(super) fn succeeded(&self, uid: &Uid) {
        if let Some(memory) = self.memory.lock().expect("nobody panics with it").get_mut(uid) {
            memory.failures = 0;
        }
    }

    /// The object is gone.
    pub(super) fn forget(&self, uid: &Uid) {
        self.memory.lock().expect("nobody panics with it").remove(uid);
    }
}
