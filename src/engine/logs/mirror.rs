//! Logs of running jobs: `condor_tail` writes what it brings into a file without a name, and readers
//! read that at their own pace. All that follow one log share one tool.
//!
//! There are only [`TAILS_AT_ONCE`] places for tools. While others wait, a tool gives its place up after
//! its turn; its readers go on in the next one's file, where they were.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::condor::tail::{Tail, Until};
use crate::engine::Inner;
use crate::engine::files::unnamed_file;
use crate::limits::{MIRROR_MAX, TAIL_TURN, TAILS_AT_ONCE};

/// The tools at work, and those that wait for a place.
pub struct Mirrors {
    places: Semaphore,
    waiting: AtomicUsize,
    /// The ones that are followed.
    open: Mutex<HashMap<(JobKey, String), Weak<Mirror>>>,
}

impl Default for Mirrors {
    fn default() -> Mirrors {
        let places = Semaphore::new(TAILS_AT_ONCE);
        Mirrors { places, waiting: AtomicUsize::new(0), open: Mutex::default() }
    }
}

/// A log as far as a tool has brought it. When the last reader drops it, the tool is killed.
pub struct Mirror {
    /// The bytes of the log from its first on.
    pub file: Arc<File>,
    grown: watch::Receiver<Grown>,
    _work: AbortOnDropHandle<()>,
}

/// How far a mirror has come.
#[derive(Clone, Debug, Default)]
pub struct Grown {
    /// How many bytes are there.
    pub bytes: u64,
    /// Once the tool has ended: whether well.
    pub end: Option<Result<(), String>>,
}

impl Mirror {
    /// Says how far it has come, from now on.
    pub fn grown(&self) -> watch::Receiver<Grown> {
        self.grown.clone()
    }
}

impl Inner {
    /// What the file has now; the mirror ends with it.
    pub(super) fn snapshot(self: &Arc<Self>, id: JobId, file: &str) -> std::io::Result<Arc<Mirror>> {
        self.mirror(id, file, Until::Now).map(Arc::new)
    }

    /// What the file has and will have, as long as the tool lives; shared with all who follow it.
    pub(super) fn follow(
        self: &Arc<Self>,
        key: &JobKey,
        id: JobId,
        file: &str,
    ) -> std::io::Result<Arc<Mirror>> {
        let name = (key.clone(), file.to_owned());
        // A map of weak references is whole at every moment.
        let mut open = self.mirrors.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mirror) = open.get(&name).and_then(Weak::upgrade)
            && mirror.grown.borrow().end.is_none()
        {
            return Ok(mirror);
        }
        let mirror = Arc::new(self.mirror(id, file, Until::Further)?);
        open.retain(|_, mirror| mirror.strong_count() > 0);
        open.insert(name, Arc::downgrade(&mirror));
        Ok(mirror)
    }

    fn mirror(self: &Arc<Self>, id: JobId, name: &str, until: Until) -> std::io::Result<Mirror> {
        let file = Arc::new(unnamed_file(&self.options.data.join("tails"))?);
        let (grow, grown) = watch::channel(Grown::default());
        let (inner, into, name) = (self.clone(), file.clone(), name.to_owned());
        let work = tokio::spawn(async move {
            let end = inner.bring(id, &name, until, &into, &grow).await;
            // When nobody reads it any more, this is not reached.
            grow.send_modify(|grown| grown.end = Some(end));
        });
        Ok(Mirror { file, grown, _work: AbortOnDropHandle::new(work) })
    }

    async fn bring(
        &self,
        id: JobId,
        name: &str,
        until: Until,
        into: &Arc<File>,
        grow: &watch::Sender<Grown>,
    ) -> Result<(), String> {
        self.mirrors.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.mirrors.waiting);
        let _place = self.mirrors.places.acquire().await.map_err(|why| why.to_string())?;
        drop(waiting);
        let began = Instant::now();
        self.metrics.tails.inc();
        let mut tail = Tail::start(&self.pool, id, name, until).map_err(|why| why.to_string())?;
        loop {
            let bytes = tokio::select! {
                bytes = tail.bytes() => bytes,
                () = self.turn_is_over(began), if until == Until::Further => return Ok(()),
            };
            if bytes.is_empty() {
                return tail.finish().await.map_err(|why| why.to_string());
            }
            let (file, count) = (into.clone(), bytes.len() as u64);
            if grow.borrow().bytes + count > MIRROR_MAX {
                return Err(
                    "the log on the worker is longer than the in-job program ever makes it".to_owned()
                );
            }
            let written = tokio::task::spawn_blocking(move || (&*file).write_all(&bytes)).await;
            written.map_err(|why| why.to_string())?.map_err(|why| format!("failed to keep it: {why}"))?;
            grow.send_modify(|grown| grown.bytes += count);
        }
    }

    /// Waits until this place has been held long enough and somebody else wants it.
    async fn turn_is_over(&self, began: Instant) {
        while began.elapsed() < TAIL_TURN || self.mirrors.waiting.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// One who waits for a place, until it goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
