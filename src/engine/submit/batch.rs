//! Chooses what goes into one submission: fair between namespaces, then between their workloads, of one
//! shape.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use htc_core::workload::Workload;
use htc_core::workload::names::{JobKey, Uid};

use crate::condor::submit::{PassedOver, ShapeId};
use crate::engine::board::{Board, Entry};
use crate::engine::stage::Run;
use crate::engine::workers::WorkerFaults;
use crate::store::wishes::Waiting;

/// A job that is to be submitted.
#[derive(Clone, Debug)]
pub struct Picked {
    /// Its key.
    pub key: JobKey,
    /// The outside object's namespace.
    pub namespace: String,
    /// The outside object's name.
    pub name: String,
    /// What it is a copy of.
    pub workload: Arc<Workload>,
    /// The machines that it is kept from.
    pub passed_over: Option<PassedOver>,
}

/// A submission is not cut into more shares than these: a workload that is left out comes first the
/// next time, while one that went in single copies would have its status written for each of them.
const SHARES_MOST: usize = 20;

/// What a submission has room for.
pub struct Room<'a> {
    /// Jobs of all namespaces.
    pub jobs: usize,
    /// Jobs of a namespace.
    pub of: &'a dyn Fn(&str) -> usize,
}

/// A workload of which something may go.
struct Candidate<'a> {
    uid: &'a Uid,
    entry: &'a Entry,
    run: &'a Run,
    workload: &'a Arc<Workload>,
    /// So many of it go together, and with none that is beyond doubt.
    at_most: Option<usize>,
    /// The only index that may go, since it failed alone.
    lone: Option<u32>,
    /// The workers that have failed those that go: others follow.
    faults: Option<&'a WorkerFaults>,
    /// How many of its namespace come before it.
    place: usize,
    /// How long its namespace has waited for its turn.
    turn: Instant,
}

impl<'a> Candidate<'a> {
    fn of(uid: &'a Uid, entry: &'a Entry, moment: Instant) -> Option<Candidate<'a>> {
        let (workload, run) = (entry.workload.as_ref()?, entry.run()?);
        let (turn, place) = (run.waits_since, 0);
        let fresh =
            Candidate { uid, entry, run, workload, at_most: None, lone: None, faults: None, place, turn };
        let Some(doubts) = &run.doubts else { return fresh.of_first() };
        let waits = |index| run.waiting.iter().any(|w| (w.first..=w.last).contains(&index));
        let lone = doubts.lone(moment, waits);
        let at_most = if lone.is_some() { Some(1) } else { doubts.at_most };
        Candidate { at_most, lone, ..fresh }.of_first()
    }

    /// Those that go with the first that may go.
    fn of_first(self) -> Option<Candidate<'a>> {
        if self.entry.worker_faults.is_empty() && self.run.doubts.is_none() {
            return Some(self);
        }
        let (first, _) = self.indices().next()?;
        Some(Candidate { faults: self.entry.worker_faults.get(&first), ..self })
    }

    /// What must be equal for two workloads to share a submission: how far they are doubted, and the shape.
    fn kind(&self) -> (Option<usize>, Option<ShapeId>, Option<Machines<'a>>) {
        (self.at_most, self.run.shape, machines(self.faults))
    }

    /// Those that failed least come first.
    fn failures(&self) -> u32 {
        self.run.doubts.as_ref().map_or(0, |doubts| doubts.failures)
    }

    fn count(&self) -> usize {
        let count = |w: &Waiting| (w.last - w.first) as usize + 1;
        match self.lone {
            Some(_) => 1,
            None if self.entry.worker_faults.is_empty() => self.run.waiting.iter().map(count).sum(),
            None => self.keys().count(),
        }
    }

    /// Those that may go as far as doubts let them.
    fn indices(&self) -> impl Iterator<Item = (u32, &'a Waiting)> + use<'a> {
        let Candidate { entry, run, lone, .. } = *self;
        let all = |w: &'a Waiting| (w.first..=w.last).map(move |index| (index, w));
        // An index that has a job is about to leave the ranges, or was put back by what was not durable.
        let free = run.waiting.iter().flat_map(all).filter(|(index, _)| !entry.has_job(*index));
        let failed_alone =
            |index| run.doubts.as_ref().is_some_and(|doubts| doubts.alone.contains_key(&index));
        let may_go = move |index| lone.map_or_else(|| !failed_alone(index), |lone| lone == index);
        free.filter(move |(index, _)| may_go(*index))
    }

    fn keys(&self) -> impl Iterator<Item = Picked> + use<'a> {
        let Candidate { uid, entry, workload, faults, .. } = *self;
        let alike = move |index| machines(entry.worker_faults.get(&index)) == machines(faults);
        self.indices().filter(move |(index, _)| alike(*index)).map(move |(index, w)| Picked {
            key: JobKey { uid: uid.clone(), index, attempt: w.attempt, submission: w.submission },
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            workload: workload.clone(),
            passed_over: faults.and_then(WorkerFaults::passed_over),
        })
    }
}

/// Machines, and until when they are passed over.
type Machines<'a> = (&'a [String], i64);

fn machines(faults: Option<&WorkerFaults>) -> Option<Machines<'_>> {
    faults.filter(|faults| !faults.machines.is_empty()).map(|faults| (&*faults.machines, faults.until))
}

/// Jobs whose descriptions have the same set of commands, as far as there is room. Each namespace of which
/// something waits gets the same share, and in it each workload. The namespace that was served longest ago
/// comes first, and of it the workload that has waited longest since it came or was served: that one's shape
/// is chosen. So neither a large workload nor a stream of new ones holds the others back. One of which a
/// submission failed goes only with others of that kind, where `doubtful` asks for them, and no more of them
/// than its doubt allows.
pub fn choose(board: &Board, now: i64, room: &Room<'_>, doubtful: bool) -> Vec<Picked> {
    let waiting = in_turn(board, now, room, doubtful);
    let Some(first) = waiting.first() else { return Vec::new() };
    let limit = first.at_most.map_or(room.jobs, |at_most| at_most.min(room.jobs));
    let kind = first.kind();
    // Each gives one at least, so that no more of them are needed.
    let alike: Vec<&Candidate<'_>> = waiting.iter().filter(|c| c.kind() == kind).take(limit).collect();
    let mut of_namespace: Vec<(&str, Vec<&Candidate<'_>>)> = Vec::new();
    let mut place: HashMap<&str, usize> = HashMap::new();
    for candidate in alike {
        let namespace = candidate.entry.namespace.as_str();
        let at = *place.entry(namespace).or_insert_with(|| {
            of_namespace.push((namespace, Vec::new()));
            of_namespace.len() - 1
        });
        of_namespace[at].1.push(candidate);
    }
    let least = (limit / SHARES_MOST).max(1);
    let wants = |(namespace, list): &(&str, Vec<&Candidate<'_>>)| {
        list.iter().map(|c| c.count()).sum::<usize>().min((room.of)(namespace))
    };
    let given = deal(&of_namespace.iter().map(wants).collect::<Vec<_>>(), limit, least);
    let mut picked = Vec::new();
    for ((_, list), given) in of_namespace.iter().zip(given) {
        let wants: Vec<usize> = list.iter().map(|c| c.count()).collect();
        let shares = (given / least).max(1);
        for (candidate, given) in list.iter().zip(deal(&wants, given, given.div_ceil(shares).max(1))) {
            picked.extend(candidate.keys().take(given));
        }
    }
    picked
}

/// What may go now, in the order of turns: the first of each namespace, then the second of each.
fn in_turn<'a>(board: &'a Board, now: i64, room: &Room<'_>, doubtful: bool) -> Vec<Candidate<'a>> {
    let moment = Instant::now();
    let mut namespaces: HashMap<&str, Option<Vec<Candidate<'a>>>> = HashMap::new();
    let is_due = |entry: &Entry| {
        let doubts = entry.doubts();
        if doubtful && doubts.is_none() {
            return false;
        }
        let rests = doubts.is_some_and(|doubts| doubts.rests(moment));
        may_be_submitted(entry, now) && entry.run().is_some_and(|run| run.refused.is_none()) && !rests
    };
    let due = board.entries.live().filter(|(_, entry)| is_due(entry));
    let candidates = due.filter_map(|(uid, entry)| Candidate::of(uid, entry, moment));
    for candidate in candidates.filter(|candidate| candidate.at_most.is_some() == doubtful) {
        let namespace = &candidate.entry.namespace;
        let has_room = || ((room.of)(namespace) > 0).then(Vec::new);
        if let Some(list) = namespaces.entry(namespace).or_insert_with(has_room) {
            list.push(candidate);
        }
    }
    let mut all = Vec::new();
    for (namespace, list) in namespaces {
        let mut list = list.unwrap_or_default();
        list.sort_by_key(|c| (c.failures(), c.run.waits_since, c.entry.not_before, c.uid));
        let Some(oldest) = list.first().map(|c| c.run.waits_since) else { continue };
        let turn = board.served.get(namespace).copied().unwrap_or(oldest);
        all.extend(list.into_iter().enumerate().map(|(place, c)| Candidate { place, turn, ..c }));
    }
    all.sort_by(|a, b| {
        let key = |c: &Candidate<'a>| (c.failures(), c.place, c.turn);
        key(a).cmp(&key(b)).then_with(|| a.entry.namespace.cmp(&b.entry.namespace))
    });
    all
}

/// Whether its time has come, and nothing of it may be in the queue unseen.
pub fn may_be_submitted(entry: &Entry, now: i64) -> bool {
    let is_known = |run: &Run| run.unproven_since.is_none() && !run.awaits_object;
    let waits = |run: &Run| !run.waiting.is_empty() && is_known(run);
    entry.run().is_some_and(waits) && entry.not_before <= now && entry.unreadable.is_none()
}

/// Deals `limit` out to those who want so many: in rounds, the same to each, but at least `least`, so that
/// there are few shares. Who comes first gets what is left over.
fn deal(wanted: &[usize], limit: usize, least: usize) -> Vec<usize> {
    let (mut given, mut left) = (vec![0; wanted.len()], limit);
    loop {
        let open: Vec<usize> = (0..wanted.len()).filter(|n| given[*n] < wanted[*n]).collect();
        if open.is_empty() || left == 0 {
            return given;
        }
        let share = (left / open.len()).max(least).max(1);
        for n in open {
            let more = share.min(wanted[n] - given[n]).min(left);
            given[n] += more;
            left -= more;
        }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
