//! The janitor: removes the outputs of ended workloads when their time is over, and what is no
//! longer needed of jobs that are no more. Outputs are kept as long as their workload is wished, and no
//! longer than the settings say after its end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use htc_core::workload::names::{JobKey, Uid};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::Inner;
use super::board::Entry;
use super::files::{remove_folder, size};
use crate::crash_point;
use crate::limits::{JANITOR_LOOK, PRUNE_LOOK, TOMBSTONE_KEPT};
use crate::store::database::now;
use crate::store::wishes::{self, Want};

/// Works until it is dropped.
pub async fn work(inner: Arc<Inner>) {
    // A short time is looked at more often.
    let rest = inner.options.keep_outputs.map_or(JANITOR_LOOK, |keep| (keep / 10).min(JANITOR_LOOK));
    inner.weigh_all().await;
    // The start has done it.
    let mut pruned = Instant::now();
    loop {
        if pruned.elapsed() >= PRUNE_LOOK {
            inner.prune(now() - TOMBSTONE_KEPT.as_secs().cast_signed()).await;
            pruned = Instant::now();
        }
        if let Some(keep) = inner.options.keep_outputs {
            for uid in inner.due(keep, Timestamp::now()) {
                inner.collect(uid).await;
            }
        }
        inner.measure();
        inner.forget_polls();
        sleep(rest).await;
    }
}

impl Inner {
    fn due(&self, keep: Duration, now: Timestamp) -> Vec<Uid> {
        let board = self.board();
        let due = board.entries.iter().filter(|(_, entry)| is_due(entry, keep, now));
        due.map(|(uid, _)| uid.clone()).collect()
    }

    /// Forgets the tombstones of before then, epoch seconds.
    async fn prune(&self, before: i64) {
        let forgotten = match self.store.call(move |t| wishes::prune(t, before)).await {
            Ok(forgotten) => forgotten,
            Err(why) => return tracing::warn!(%why, "failed to forget old tombstones; it is tried again"),
        };
        let mut board = self.board();
        for uid in forgotten {
            board.entries.remove(&uid);
        }
    }

    /// First the folder, then the note: after a crash between them it is done again.
    async fn collect(&self, uid: Uid) {
        let folder = self.workload_folder(&uid);
        let removed = tokio::task::spawn_blocking(move || remove_folder(&folder)).await;
        if let Err(why) = removed.map_err(std::io::Error::other).flatten() {
            return tracing::warn!(%why, %uid, "failed to remove outputs whose time is over; it is tried again");
        }
        crash_point!("outputs-removed");
        let (at, id) = (Timestamp::now(), uid.clone());
        if let Err(why) = self.store.call(move |t| wishes::collected(t, &id, at.as_second())).await {
            return tracing::warn!(%why, %uid, "failed to note that outputs were removed; it is tried again");
        }
        crash_point!("outputs-collected");
        if let Some(entry) = self.board().entries.get_mut(&uid) {
            entry.collected = Some(at);
        }
        self.submit_bell.notify_one();
        self.metrics.collected.inc();
        tracing::info!(%uid, "removed the outputs of an ended job: their time was over");
        self.ring([uid]);
    }

    /// What came home in earlier lives.
    async fn weigh_all(&self) {
        let keys = {
            let board = self.board();
            let entries =
                board.entries.values().filter(|entry| entry.collected.is_none() && !entry.inherited);
            let jobs = entries.flat_map(|entry| entry.jobs.values()).filter(|job| job.home);
            jobs.map(|job| job.key.clone()).collect()
        };
        self.weigh(keys).await;
        self.board().weighed = true;
        self.submit_bell.notify_one();
    }

    /// Notes what the outputs of these jobs take on our disk, where a limit hangs on it.
    pub(super) async fn weigh(&self, keys: Vec<JobKey>) {
        if self.options.max_output_mb_per_namespace.is_none() {
            return;
        }
        let folders: Vec<_> = keys.into_iter().map(|key| (self.folder(&key), key)).collect();
        let weigh = move || folders.into_iter().map(|(at, key)| (key, size(Path::new(&at)))).collect();
        let weighed: Vec<(JobKey, u64)> = tokio::task::spawn_blocking(weigh).await.unwrap_or_default();
        let mut board = self.board();
        for (key, bytes) in weighed {
            if let Some(job) = board.job_mut(&key) {
                job.bytes = bytes;
            }
        }
    }

    fn measure(&self) {
        if let Some(free) = self.free_space() {
            self.metrics.data_free.set(i64::try_from(free).unwrap_or(i64::MAX));
        }
    }

    /// Bytes that are free where outputs come home to, if that can be told.
    pub(super) fn free_space(&self) -> Option<u64> {
        match rustix::fs::statvfs(&self.options.data) {
            Ok(disk) => Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
            Err(why) => {
                tracing::debug!(%why, "failed to look how full the data folder's disk is");
                None
            }
        }
    }
}

/// Whether all of a workload ended so long ago, and nothing of it is still on its way.
fn is_due(entry: &Entry, keep: Duration, now: Timestamp) -> bool {
    let ended = |job: &super::board::Job| {
        let settled = job.published && job.left && !job.wants_files();
        job.end().filter(|_| settled).map(|end| end.at)
    };
    // What was inherited never had outputs here.
    if entry.inherited || entry.want != Want::Run || entry.collected.is_some() || entry.waiting_count() > 0 {
        return false;
    }
    // None where one has not ended: `None` would be less than any time.
    let ends: Option<Vec<Timestamp>> = entry.jobs.values().map(|job| ended(job)).collect();
    let last = ends.and_then(|ends| ends.into_iter().max());
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    last.is_some_and(|last| now.duration_since(last) >= keep)
}
