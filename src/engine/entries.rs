//! The workloads of the board. Most have ended and rest; what is done at each look passes over the live ones only.
//!
//! Of one that is gone only a tombstone stays, for a month. Whoever changes a workload makes it live, without thinking of it, and after each look those that rest are put
//! aside again. So the live ones are never too few, and too many only for a moment.

use std::collections::hash_map::{self, HashMap};
use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::JobId;

use super::board::{Entry, Files, Job};
use super::stage::Run;
use crate::store::wishes::Want;

/// The workloads by UID.
#[derive(Default)]
pub struct Entries {
    all: HashMap<Uid, Entry>,
    /// Those that are looked at: all that do not rest, and some that do.
    live: HashSet<Uid>,
    /// Those that are gone.
    buried: HashMap<Uid, Tombstone>,
    /// What the outputs of all that are not live take on our disk, by namespace.
    resting_bytes: HashMap<String, u64>,
}

/// What is kept of a workload of which nothing is left.
#[derive(Debug, Default)]
pub struct Tombstone {
    /// Which door wished it.
    pub door: Box<str>,
    /// To whom it belonged among the callers of that door; to all of them without.
    pub owner: Option<Box<str>>,
    /// Namespace and name of its outside object, as long as somebody may have to be told.
    object: Option<Box<(String, String)>>,
    /// When the removal of what is in the queue after all was last asked for.
    pub removal_asked: Option<Instant>,
}

impl Tombstone {
    /// Of a workload of this door, and of this caller of it.
    pub fn of(door: String, owner: Option<String>) -> Tombstone {
        Tombstone { door: door.into(), owner: owner.map(Into::into), ..Tombstone::default() }
    }
}

impl Entries {
    /// A workload to read.
    pub fn get(&self, uid: &Uid) -> Option<&Entry> {
        self.all.get(uid)
    }

    /// A workload to change.
    pub fn get_mut(&mut self, uid: &Uid) -> Option<&mut Entry> {
        self.enliven(uid);
        self.all.get_mut(uid)
    }

    /// The place of a workload, to be filled.
    pub fn entry(&mut self, uid: Uid) -> hash_map::Entry<'_, Uid, Entry> {
        self.enliven(&uid);
        self.live.insert(uid.clone());
        self.all.entry(uid)
    }

    /// Takes a workload in, in the place of the one that was there.
    pub fn insert(&mut self, uid: Uid, entry: Entry) {
        self.enliven(&uid);
        self.live.insert(uid.clone());
        self.all.insert(uid, entry);
    }

    /// Forgets a workload.
    pub fn remove(&mut self, uid: &Uid) -> Option<Entry> {
        self.enliven(uid);
        self.live.remove(uid);
        self.all.remove(uid)
    }

    /// A workload that rests does so no more.
    fn enliven(&mut self, uid: &Uid) {
        let Some(entry) = self.all.get(uid).filter(|_| !self.live.contains(uid)) else { return };
        if let Some(bytes) = self.resting_bytes.get_mut(&entry.namespace) {
            *bytes = bytes.saturating_sub(entry.bytes());
        }
        self.live.insert(uid.clone());
    }

    /// Nothing is left of a workload.
    pub fn bury(&mut self, uid: &Uid) {
        let Some(Entry { door, owner, namespace, name, .. }) = self.remove(uid) else { return };
        let object = Some(Box::new((namespace, name)));
        self.buried.insert(uid.clone(), Tombstone { object, ..Tombstone::of(door, owner) });
    }

    /// Takes in a tombstone of an earlier life.
    pub fn insert_tombstone(&mut self, uid: Uid, tombstone: Tombstone) {
        self.buried.insert(uid, tombstone);
    }

    /// What is kept of a workload that is gone.
    pub fn tombstone(&self, uid: &Uid) -> Option<&Tombstone> {
        self.buried.get(uid)
    }

    /// The same, to change it.
    pub fn tombstone_mut(&mut self, uid: &Uid) -> Option<&mut Tombstone> {
        self.buried.get_mut(uid)
    }

    /// Forgets these tombstones, and the names on the others.
    pub fn prune(&mut self, forgotten: &[Uid]) {
        forgotten.iter().for_each(|uid| drop(self.buried.remove(uid)));
        self.buried.values_mut().for_each(|tombstone| tombstone.object = None);
    }

    /// What is wished of a workload; nothing when nobody ever wished it.
    pub fn want(&self, uid: &Uid) -> Option<Want> {
        let buried = || self.buried.contains_key(uid).then_some(Want::Tombstone);
        self.get(uid).map(Entry::want).or_else(buried)
    }

    /// Which door wishes a workload, or wished it.
    pub fn door(&self, uid: &Uid) -> Option<&str> {
        let buried = || self.buried.get(uid).map(|tombstone| &*tombstone.door);
        self.get(uid).map(|entry| entry.door.as_str()).or_else(buried)
    }

    /// To whom a workload belongs among the callers of its door, or belonged.
    pub fn owner(&self, uid: &Uid) -> Option<&str> {
        let buried = || self.buried.get(uid)?.owner.as_deref();
        self.get(uid).map_or_else(buried, |entry| entry.owner.as_deref())
    }

    /// Namespace and name of the outside object of a workload.
    pub fn object(&self, uid: &Uid) -> Option<(&str, &str)> {
        let buried = || self.buried.get(uid)?.object.as_ref().map(|o| (o.0.as_str(), o.1.as_str()));
        self.get(uid).map(|entry| (entry.namespace.as_str(), entry.name.as_str())).or_else(buried)
    }

    /// Whether a workload is known, be it as a tombstone.
    pub fn contains_key(&self, uid: &Uid) -> bool {
        self.all.contains_key(uid) || self.buried.contains_key(uid)
    }

    /// All workloads that are not gone: for questions of people, and what is done once an hour.
    pub fn iter(&self) -> impl Iterator<Item = (&Uid, &Entry)> {
        self.all.iter()
    }

    /// Their UIDs.
    pub fn keys(&self) -> impl Iterator<Item = &Uid> {
        self.all.keys()
    }

    /// Whether a workload is looked at.
    pub fn is_live(&self, uid: &Uid) -> bool {
        self.live.contains(uid)
    }

    /// Jobs of these indices are in the queue: those that rest do not any more.
    pub fn wake(
        &mut self,
        uid: &Uid,
        indices: impl Iterator<Item = u32>,
        folder: impl Fn(&JobKey) -> String,
    ) {
        let Some(entry) = self.all.get(uid) else { return };
        let resting: BTreeSet<u32> = indices.filter(|index| entry.rested.get(*index).is_some()).collect();
        let Some(entry) = self.get_mut(uid).filter(|_| !resting.is_empty()) else { return };
        for rest in entry.rested.take_out(&resting) {
            let job = rest.job(uid, folder(&rest.key(uid)));
            entry.jobs.insert(job.key.index, Box::new(job));
        }
    }

    /// The live workloads.
    pub fn live(&self) -> impl Iterator<Item = (&Uid, &Entry)> {
        self.live.iter().filter_map(|uid| self.all.get_key_value(uid))
    }

    /// Changes each live workload.
    pub fn each_live(&mut self, mut change: impl FnMut(&Uid, &mut Entry)) {
        for uid in &self.live {
            self.all.get_mut(uid).into_iter().for_each(|entry| change(uid, entry));
        }
    }

    /// What the outputs of those that are not live take on our disk, by namespace.
    pub fn resting_bytes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.resting_bytes.iter().map(|(namespace, bytes)| (namespace.as_str(), *bytes))
    }

    /// The UIDs of those that are gone.
    pub fn buried(&self) -> impl Iterator<Item = &Uid> {
        self.buried.keys()
    }

    /// Puts aside what rests: jobs that are over in live workloads, and workloads in which all are. `folder` says
    /// where a job's files come home to by its key; a job that has another folder is kept as it is.
    pub fn rest(&mut self, folder: impl Fn(&JobKey) -> String) {
        self.live.retain(|uid| {
            let Some(entry) = self.all.get_mut(uid) else { return false };
            entry.rest_jobs(&folder);
            let rests = entry.is_at_rest();
            if rests && entry.bytes() > 0 {
                *self.resting_bytes.entry(entry.namespace.clone()).or_default() += entry.bytes();
            }
            !rests
        });
    }
}

impl std::ops::Index<&Uid> for Entries {
    type Output = Entry;

    fn index(&self, uid: &Uid) -> &Entry {
        &self.all[uid]
    }
}

impl Entry {
    /// Whether nothing of it has to be looked at.
    fn is_at_rest(&self) -> bool {
        let is_submitted = |run: &Run| run.waiting.is_empty() && run.unproven_since.is_none();
        self.run().is_some_and(is_submitted)
            && self.intended == 0
            && self.jobs.values().all(|job| job.rests())
    }

    fn rest_jobs(&mut self, folder: &impl Fn(&JobKey) -> String) {
        // The ids of inherited jobs are all that is known of them.
        let over = |job: &Job| !self.inherited && job.rests() && job.folder == folder(&job.key);
        let over = self.jobs.iter().filter(|(_, job)| over(job)).map(|(index, _)| *index);
        let over: Vec<u32> = over.collect();
        let jobs = over.iter().filter_map(|index| self.jobs.remove(index)).map(|job| *job).collect();
        let with_report = self.keeps_reports();
        for job in self.rested.take_in_all(jobs, with_report) {
            self.jobs.insert(job.key.index, Box::new(job));
        }
        self.rested.shrink();
    }

    /// HTCondor's ids of its jobs, each with its index.
    pub fn ids(&self) -> impl Iterator<Item = (u32, JobId)> {
        let live = self.jobs.values().filter_map(|job| Some((job.key.index, job.progress.job()?)));
        live.chain(self.rested.iter().filter_map(|rest| Some((rest.index, rest.job?))))
    }

    /// The jobs whose files are home.
    pub fn home<'a>(&'a self, uid: &'a Uid) -> impl Iterator<Item = JobKey> + use<'a> {
        let live = self.jobs.values().filter(|job| job.files == Files::Home).map(|job| job.key.clone());
        live.chain(self.rested.iter().filter(|rest| rest.files == Files::Home).map(|rest| rest.key(uid)))
    }

    /// What its outputs take on our disk, where that is counted.
    pub fn bytes(&self) -> u64 {
        match self.collected {
            Some(_) => 0,
            None => self.rested.bytes() + self.jobs.values().map(|job| job.bytes).sum::<u64>(),
        }
    }

    /// Notes what the files of a job take on our disk.
    pub fn weigh(&mut self, key: &JobKey, bytes: u64) {
        match self.jobs.get_mut(&key.index).filter(|job| job.key == *key) {
            Some(job) => job.bytes = bytes,
            None => self.rested.weigh(key, bytes),
        }
    }

    /// Whether anything of it has come home.
    pub fn has_outputs(&self) -> bool {
        self.jobs.values().any(|job| job.files == Files::Home)
            || self.rested.iter().any(|rest| rest.files == Files::Home)
    }

    /// The containers of a lone copy are told one by one, also when it has ended.
    pub fn keeps_reports(&self) -> bool {
        self.workload.as_ref().is_some_and(|workload| workload.indices == 1)
    }

    /// Takes in a job of an earlier life.
    pub fn add(&mut self, job: Job, folder: impl Fn(&JobKey) -> String) {
        let with_report = self.keeps_reports();
        let job = match self.inherited || job.folder != folder(&job.key) {
            true => Err(Box::new(job)),
            false => self.rested.take_in(job, with_report),
        };
        if let Err(job) = job {
            self.jobs.insert(job.key.index, job);
        }
    }
}

#[cfg(test)]
mod tests {
    use htc_core::workload::progress::{End, Outcome, Progress};
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::super::board::InQueue;
    use super::super::stage::{Gone, Stage};
    use super::*;
    use crate::store::wishes::Waiting;

    fn folder(key: &JobKey) -> String {
        key.to_string()
    }

    fn entry() -> Entry {
        Entry::bare(&[])
    }

    fn job(uid: &Uid, index: u32, over: bool) -> Job {
        let key = JobKey { uid: uid.clone(), index, attempt: 0, submission: 0 };
        let id = JobId { cluster: 1, proc: index };
        let end =
            End { outcome: Outcome::Succeeded, message: String::new(), at: jiff::Timestamp::UNIX_EPOCH };
        let progress = match over {
            true => Progress::Ended { job: Some(id), end },
            false => Progress::Queued { job: id },
        };
        let folder = folder(&key);
        let (files, in_queue) =
            if over { (Files::Home, InQueue::Left) } else { (Files::Expected, InQueue::Yes) };
        Job { published: over, in_queue, files, bytes: 5, ..Job::new(key, folder, progress, None) }
    }

    /// What happens to a workload, as far as it counts here.
    fn happen(entries: &mut Entries, what: u8, uid: &Uid, index: u32) {
        match what {
            0 => drop(entries.entry(uid.clone()).or_insert_with(entry)),
            1 | 2 => {
                if let Some(entry) = entries.get_mut(uid)
                    && entry.rested.get(index).is_none()
                {
                    entry.jobs.insert(index, Box::new(job(uid, index, what == 1)));
                }
            }
            3 => {
                let range = Waiting { first: index, last: index, attempt: 0, submission: 0 };
                let run = entries.get_mut(uid).and_then(Entry::run_mut);
                run.into_iter().for_each(|run| run.waiting = vec![range]);
            }
            4 => {
                entries.get_mut(uid).and_then(Entry::run_mut).into_iter().for_each(|run| run.waiting.clear())
            }
            5 => entries
                .get_mut(uid)
                .into_iter()
                .for_each(|entry| entry.stage = Stage::Gone(Gone::until(Instant::now()))),
            6 => entries.wake(uid, [index].into_iter(), folder),
            7 => entries.bury(uid),
            8 => entries
                .get_mut(uid)
                .into_iter()
                .for_each(|entry| entry.collected = Some(Timestamp::UNIX_EPOCH)),
            _ => entries.rest(folder),
        }
    }

    proptest! {
        #[test]
        fn none_that_must_be_looked_at_is_ever_passed_over(
            happens in proptest::collection::vec((0_u8..11, 0_u8..3, 0_u32..3), 1..60)
        ) {
            let mut entries = Entries::default();
            for (what, name, index) in happens {
                happen(&mut entries, what, &format!("u{name}").parse().unwrap(), index);
                for (uid, entry) in entries.iter() {
                    prop_assert!(entries.is_live(uid) || entry.is_at_rest(), "{uid}");
                    let twice = entry.jobs.keys().any(|index| entry.rested.get(*index).is_some());
                    prop_assert!(!twice, "a job rests and does not");
                }
                let sum = |all: &mut dyn Iterator<Item = (&Uid, &Entry)>| all.map(|(_, e)| e.bytes()).sum::<u64>();
                let resting: u64 = entries.resting_bytes().map(|(_, bytes)| bytes).sum();
                prop_assert_eq!(sum(&mut entries.live()) + resting, sum(&mut entries.iter()));
                prop_assert!(entries.live().all(|(uid, _)| entries.want(uid) != Some(Want::Tombstone)));
            }
            entries.rest(folder);
            let live: Vec<&Uid> = entries.live().map(|(uid, _)| uid).collect();
            let scanned = entries.iter().filter(|(_, entry)| !entry.is_at_rest()).count();
            prop_assert_eq!(live.len(), scanned);
            prop_assert!(entries.live().flat_map(|(_, e)| e.jobs.values()).all(|job| !job.rests()));
        }
    }
}
