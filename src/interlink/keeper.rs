//! The housekeeping of the door: ends that were told may leave the queue, and what nobody will ever take
//! away is taken away.

use std::sync::Arc;
use std::time::Instant;

use htc_core::workload::names::Uid;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::heard::Silence;
use super::{DOOR, Door, Settings};
use crate::engine::{Outputs, View, Want};
use crate::limits::KEEPER_LOOK;

/// Why a pod goes that nobody asks for.
const ORPHAN: &str = "orphan";

/// So many told ends are taken at once.
const ENDS: usize = 1_000;

/// What is to be done about a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing.
    Stays,
    /// Its end counts as told: nobody asks any more.
    Published,
    /// It shall be gone, for this reason.
    Gone(&'static str),
}

impl Door {
    /// Works until it is told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ends = self.ends.lock().await;
        // A short time is looked at more often.
        let (shortest, longest) = KEEPER_LOOK;
        let Settings { orphan_after, given_up_after, .. } = self.settings;
        let times = [orphan_after, given_up_after].into_iter().filter(|time| !time.is_zero());
        let mut looks = interval(times.min().map_or(longest, |time| (time / 10).clamp(shortest, longest)));
        let (mut told, mut changes) = (Vec::new(), self.engine.changes());
        loop {
            tokio::select! {
                // What was told is told: it is kept also on the way down.
                biased;
                _ = ends.recv_many(&mut told, ENDS) => self.publish(&mut told).await,
                () = stop.cancelled() => return,
                // One that is missed here is seen at the next look.
                Ok(uid) = changes.recv() => self.close(uid).await,
                _ = looks.tick() => self.look(Instant::now()).await,
            }
        }
    }

    async fn publish(&self, told: &mut Vec<Uid>) {
        told.sort();
        told.dedup();
        for uid in told.drain(..) {
            if let Err(why) = self.engine.published(&uid, &[0]).await {
                tracing::warn!(%why, %uid, "failed to note that an end was told; it is when it is told again");
            }
        }
    }

    /// Containers are told as ended before their job is, and then nobody asks any more: its end counts as
    /// told when it comes.
    async fn close(&self, uid: Uid) {
        if !self.heard.is_closed(&uid) {
            return;
        }
        let Some(view) = self.engine.view(&uid).filter(|view| view.door == DOOR) else { return };
        if fate(&view, true, false) == Fate::Published {
            self.publish(&mut vec![uid]).await;
        }
    }

    /// Looks at all pods once.
    async fn look(&self, now: Instant) {
        for uid in self.engine.wished_by(DOOR) {
            let Some(view) = self.engine.view(&uid) else { continue };
            let silence = self.heard.silence(&uid, now);
            let over = self.heard.is_closed(&uid) || silence.lasts >= self.settings.given_up_after;
            match fate(&view, over, self.is_silent(silence)) {
                Fate::Stays => {}
                Fate::Published => self.publish(&mut vec![uid]).await,
                Fate::Gone(why) => self.remove(&uid, why).await,
            }
        }
        self.heard.forget(now, self.settings.orphan_after);
    }

    /// Whether nobody will ask for a pod again.
    fn is_silent(&self, silence: Silence) -> bool {
        let Settings { orphan_after, given_up_after, .. } = self.settings;
        let after = if silence.unanswered { orphan_after.min(given_up_after) } else { orphan_after };
        !after.is_zero() && silence.lasts >= after
    }

    async fn remove(&self, uid: &Uid, why: &'static str) {
        let _turn = self.turns.take(uid).await;
        // It may have been brought again while we waited for our turn, or asked for.
        if why == ORPHAN && !self.is_silent(self.heard.silence(uid, Instant::now())) {
            return;
        }
        match self.engine.gone(uid, DOOR).await {
            Ok(()) => {
                tracing::info!(%uid, why, "a pod is taken away");
                self.metrics.interlink_removed.get_or_create(&why.into()).inc();
            }
            Err(error) => tracing::warn!(%error, %uid, "failed to take a pod away; it is tried again"),
        }
    }
}

/// What is to be done about a pod: `over` when nobody asks for its end any more, `silent` when nobody will
/// ask for it again, whatever becomes of it.
fn fate(view: &View, over: bool, silent: bool) -> Fate {
    let ended = view.jobs.iter().any(|job| job.progress.end().is_some());
    let told = view.jobs.iter().all(|job| job.published);
    match view.outputs {
        _ if view.want != Want::Run => Fate::Stays,
        Outputs::Collected(_) => Fate::Gone("outputs_collected"),
        _ if ended && told => Fate::Stays,
        _ if ended && (over || silent) => Fate::Published,
        _ if silent => Fate::Gone(ORPHAN),
        _ => Fate::Stays,
    }
}
