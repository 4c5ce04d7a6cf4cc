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
use super::board::{Entry, InQueue};
use super::files::{remove_folder, size};
use super::origin::Origin;
use crate::crash_point;
use crate::limits::{JANITOR_LOOK, PRUNE_LOOK, TOMBSTONE_KEPT};
use crate::store::clock::{self, Wall};
use crate::store::wishes;

/// Works until it is dropped.
pub async fn work(inner: Arc<Inner>) {
    // A short time is looked at more often.
    let rest = inner.options.keep_outputs.map_or(JANITOR_LOOK, |keep| (keep / 10).min(JANITOR_LOOK));
    inner.weigh_all().await;
    let mut pruned: Option<Instant> = None;
    loop {
        if let Some(now) = inner.trusted_time().await {
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE_LOOK) {
                inner.prune(now - TOMBSTONE_KEPT.as_secs().cast_signed()).await;
                pruned = Some(Instant::now());
            }
            if let (Some(keep), Ok(now)) = (inner.options.keep_outputs, Timestamp::from_second(now)) {
                for uid in inner.due(keep, now) {
                    inner.collect(uid).await;
                }
            }
        }
        inner.measure();
        inner.forget_polls();
        sleep(rest).await;
    }
}

impl Inner {
    /// What time it is for what is removed by its age; none while the wall clock is doubted.
    async fn trusted_time(&self) -> Option<i64> {
        let found = clock::look();
        self.metrics.clock_doubted.set(i64::from(matches!(found, Wall::Jumped(_) | Wall::Doubted)));
        match found {
            Wall::Agrees(now) => return Some(now),
            Wall::Doubted => {}
            Wall::Jumped(ahead) => tracing::warn!(
                ahead_seconds = ahead,
                "the clock of this machine has jumped: nothing is removed by its age until it has kept its course for \
                 a day; is it right?"
            ),
            Wall::Believed => {
                if let Err(why) = self.store.keep_clock().await {
                    tracing::warn!(%why, "failed to keep that the clock is believed again");
                }
            }
        }
        None
    }

    fn due(&self, keep: Duration, now: Timestamp) -> Vec<Uid> {
        let board = self.board();
        // A database that is not of this queue may be an old one: what it takes for over may be all that there is.
        if board.origin != Origin::Same {
            return Vec::new();
        }
        let due = board.entries.iter().filter(|(_, entry)| is_due(entry, keep, now));
        due.map(|(uid, _)| uid.clone()).collect()
    }

    /// Forgets the tombstones of before then, epoch seconds.
    async fn prune(&self, before: i64) {
        let forgotten = match self.store.call(move |t| wishes::prune(t, before)).await {
            Ok(forgotten) => forgotten,
            Err(why) => return tracing::warn!(%why, "failed to forget old tombstones; it is tried again"),
        };
        self.board().entries.prune(&forgotten);
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
        if self.options.max_output_mb_per_namespace.is_some() {
            let keys = {
                let board = self.board();
                let kept = board.entries.iter().filter(|(_, e)| e.collected.is_none() && !e.inherited);
                kept.flat_map(|(uid, entry)| entry.home(uid)).collect()
            };
            self.weigh(keys).await;
        }
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
            if let Some(entry) = board.entries.get_mut(&key.uid) {
                entry.weigh(&key, bytes);
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
        let settled = job.published && job.in_queue == InQueue::Left;
        job.end().filter(|_| settled).map(|end| end.at)
    };
    // What was inherited never had outputs here.
    if entry.inherited || entry.gone().is_some() || entry.collected.is_some() || entry.waiting_count() > 0 {
        return false;
    }
    // None where one has not ended: `None` would be less than any time.
    let ends: Option<Vec<Timestamp>> = entry.jobs.values().map(|job| ended(job)).collect();
    let last = ends.and_then(|ends| ends.into_iter().chain(entry.rested.iter().map(|rest| rest.at)).max());
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    last.is_some_and(|last| now.duration_since(last) >= keep)
}
