//! Submissions that are not settled: which tools of an earlier life are dead, and which submissions have
//! done their work.

use std::collections::HashSet;
use std::time::Instant;

use crate::engine::board::{ToolEnd, Witness};
use crate::engine::{Inner, files};
use crate::store::database::StoreError;
use crate::store::intents;

impl Inner {
    /// Intents of an earlier life: their tool is dead when their lock is free, or their time is over. Only
    /// an answer that was asked for after this proves anything.
    pub(super) fn find_dead_tools(&self) {
        let open: Vec<(i64, Witness)> = {
            let board = self.board();
            board.intents.iter().filter(|(_, i)| i.dead.is_none()).map(|(id, i)| (*id, i.witness)).collect()
        };
        for (id, witness) in open {
            let is_free = || files::is_tool_dead(&self.intent_folder(id));
            let is_dead = match witness {
                Witness::Submitter => continue,
                Witness::Lock => is_free(),
                Witness::Time(until) => Ok(until <= Instant::now()),
                Witness::LockAndTime(until) if until > Instant::now() => Ok(false),
                Witness::LockAndTime(_) => is_free(),
            };
            match is_dead {
                Ok(true) => {
                    if let Some(intent) = self.board().intents.get_mut(&id) {
                        intent.dead = Some((Instant::now(), ToolEnd::Unknown));
                    }
                    self.doubt_owner();
                    self.look_bell.notify_one();
                }
                Ok(false) => {}
                Err(why) => tracing::warn!(%why, intent = id, "failed to look at the lock of a submission"),
            }
        }
    }

    /// Intents whose tool is dead and whose jobs are all settled have done their work.
    pub(super) async fn close_intents(&self) -> Result<(), StoreError> {
        let done: Vec<i64> = {
            let board = self.board();
            let open: HashSet<i64> = board.jobs().filter_map(|job| job.intent).collect();
            let dead = board.intents.iter().filter(|(id, i)| i.dead.is_some() && !open.contains(id));
            dead.map(|(id, _)| *id).collect()
        };
        if done.is_empty() {
            return Ok(());
        }
        let ids = done.clone();
        self.store.call(move |t| ids.iter().try_for_each(|id| intents::close(t, *id))).await?;
        let folders: Vec<_> = done.iter().map(|id| (*id, self.intent_folder(*id))).collect();
        let removed = tokio::task::spawn_blocking(move || {
            for (id, folder) in folders {
                if let Err(why) = files::remove_folder(&folder) {
                    tracing::warn!(%why, intent = id, "failed to remove the folder of a submission");
                }
            }
        });
        // What stays is removed at the next start.
        let _ = removed.await;
        self.board().intents.retain(|id, _| !done.contains(id));
        Ok(())
    }
}
