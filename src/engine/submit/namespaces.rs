//! What each namespace has in the queue and on our disk, and whether it has room for more.

use std::collections::HashMap;
use std::time::Instant;

use htc_core::workload::names::Uid;

use crate::engine::Options;
use crate::engine::board::{Board, Full, Obstacle};
use crate::limits::FULL_TOLD;

/// What all namespaces have, counted in one pass over the board.
pub struct Usage<'a> {
    /// Jobs of all namespaces that are in the queue or may be.
    pub live: usize,
    of: HashMap<&'a str, Used>,
}

#[derive(Clone, Copy, Default)]
struct Used {
    live: usize,
    /// Bytes of outputs that have come home.
    bytes: u64,
    waits: bool,
}

impl<'a> Usage<'a> {
    /// What is on the board.
    pub fn of(board: &'a Board) -> Usage<'a> {
        let mut usage = Usage { live: 0, of: HashMap::new() };
        for entry in board.entries.values() {
            let used = usage.of.entry(entry.namespace.as_str()).or_default();
            let live = entry.jobs.values().filter(|job| !job.left).count();
            usage.live += live;
            used.live += live;
            used.waits |= !entry.waiting.is_empty();
            if entry.collected.is_none() {
                used.bytes += entry.jobs.values().map(|job| job.bytes).sum::<u64>();
            }
        }
        usage
    }

    /// How many jobs a namespace may have more; an error says why none.
    pub fn room(&self, namespace: &str, options: &Options) -> Result<usize, Obstacle> {
        let Used { live, bytes, waits: _ } = self.of.get(namespace).copied().unwrap_or_default();
        if let Some(limit) = options.max_output_mb_per_namespace
            && bytes >= limit.saturating_mul(1_000_000)
        {
            return Err(Obstacle::namespace(format!(
                "outputs of the namespace take the {limit} MB that the operator keeps for it \
                 (--max-output-mb-per-namespace): delete jobs whose outputs are not needed any more"
            )));
        }
        match options.max_jobs_per_namespace {
            None => Ok(usize::MAX),
            Some(limit) if live < limit => Ok(limit - live),
            Some(limit) => Err(Obstacle::namespace(format!(
                "the namespace has the {limit} jobs in the queue that the operator allows it \
                 (--max-jobs-per-namespace); the rest follows as they end"
            ))),
        }
    }

    /// The namespaces of which something waits for room.
    pub fn full(&self, options: &Options) -> HashMap<String, Obstacle> {
        if options.max_jobs_per_namespace.is_none() && options.max_output_mb_per_namespace.is_none() {
            return HashMap::new();
        }
        let waiting = self.of.iter().filter(|(_, used)| used.waits).map(|(namespace, _)| *namespace);
        let why = |namespace: &str| Some((namespace.to_owned(), self.room(namespace, options).err()?));
        waiting.filter_map(why).collect()
    }
}

/// Notes which namespaces have no room. Gives the workloads that are to learn it now: one that is full for a
/// moment, as its jobs come and go, is no news.
pub fn note_full(board: &mut Board, full: HashMap<String, Obstacle>) -> Vec<Uid> {
    board.full.retain(|namespace, _| full.contains_key(namespace));
    let mut news = Vec::new();
    for (namespace, why) in full {
        let known = board.full.entry(namespace.clone()).or_insert(Full { since: Instant::now(), told: None });
        let is_news = known.told.as_ref().is_none_or(|told| *told != why);
        if is_news && known.since.elapsed() >= FULL_TOLD {
            known.told = Some(why);
            news.push(namespace);
        }
    }
    if news.is_empty() {
        return Vec::new();
    }
    let waits = board.entries.iter().filter(|(_, e)| !e.waiting.is_empty() && news.contains(&e.namespace));
    waits.map(|(uid, _)| uid.clone()).collect()
}
