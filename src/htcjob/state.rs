//! What the door shares between reconciliations, and what it remembers of each object.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use htc_core::workload::names::Uid;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};

use super::object::Seen;
use super::status::patch;
use super::translate::Site;
use super::types::HTCJobStatus;
use crate::engine::Engine;
use crate::limits::{STATUS_GAP, STATUS_REST_FACTOR, STATUS_REST_MAX};
use crate::metrics::Metrics;

/// What every reconciliation needs.
pub struct DoorState {
    /// The waist.
    pub engine: Engine,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What the site says of all HTCJobs.
    pub site: Site,
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    ready: AtomicBool,
    without_crd: AtomicBool,
    memory: Mutex<HashMap<Uid, Memory>>,
}

/// What we remember of an object between two looks at it.
#[derive(Default)]
pub(super) struct Memory {
    /// When its status was last written.
    pub written: Option<Instant>,
    /// What it was then, until the watch has brought it: our cache may be older.
    pub unseen: Option<HTCJobStatus>,
    /// What has been awaited, while it was being deleted or before it was taken over: each is told once.
    pub told: BTreeSet<&'static str>,
    /// Its status is not made anew before.
    pub rested: Option<Instant>,
    /// How often in a row it could not be reconciled.
    pub failures: u32,
}

impl DoorState {
    /// The state of a door that is not open yet.
    pub fn new(client: Client, engine: Engine, metrics: Arc<Metrics>, site: Site) -> Arc<Self> {
        let reporter = Reporter { controller: "htc-operator".to_owned(), instance: None };
        Arc::new(DoorState {
            engine,
            metrics,
            site,
            recorder: Recorder::new(client.clone(), reporter),
            client,
            ready: AtomicBool::new(false),
            without_crd: AtomicBool::new(false),
            memory: Mutex::default(),
        })
    }

    /// Whether the API server lets us list HTCJobs: before, and without the CRD, it does not.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(super) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
        if ready && self.without_crd.swap(false, Ordering::Relaxed) {
            tracing::info!("the API server has HTCJobs now");
        }
    }

    /// Notes that the CRD is not there; whether that is news, which is told once.
    pub(super) fn misses_crd(&self) -> bool {
        !self.without_crd.swap(true, Ordering::Relaxed)
    }

    pub(super) fn memory<T>(&self, uid: &Uid, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().expect("nobody panics with it");
        change(memory.entry(uid.clone()).or_default())
    }

    /// The status that the API server has: what we wrote last, or what we read when we wrote nothing.
    pub(super) fn newest_status(&self, job: &Seen) -> HTCJobStatus {
        let read = job.object.status.clone().unwrap_or_default();
        self.memory(&job.uid, |memory| {
            // A status lists a thousand ids: those of what has ended are not kept twice.
            memory.unseen.take_if(|written| patch(written, &read).is_none());
            memory.unseen.clone()
        })
        .unwrap_or(read)
    }

    /// How long to wait before its status is made anew: until it may be written again, and until it
    /// has not taken more than its share of the time.
    pub(super) fn status_pause(&self, uid: &Uid) -> Duration {
        self.memory(uid, |memory| {
            let written = memory.written.map(|at| at + STATUS_GAP);
            let next = written.into_iter().chain(memory.rested).max();
            next.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
        })
    }

    /// Its status was made anew, which took so long.
    pub(super) fn made_status(&self, uid: &Uid, took: Duration) {
        self.memory(uid, |memory| {
            memory.rested = Some(Instant::now() + (took * STATUS_REST_FACTOR).min(STATUS_REST_MAX));
        });
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
