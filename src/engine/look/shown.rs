//! What a complete answer shows of each workload: the ads of its jobs, and ads that cannot be judged and
//! are or may be of them.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use htc_core::workload::names::Uid;
use htc_core::workload::progress::JobId;

use crate::condor::ad::Ad;
use crate::condor::query::{Answer, Foreign};
use crate::condor::riddle::Riddle;
use crate::engine::board::{Board, Entry, InQueue, Job};
use crate::store::wishes::Want;

/// An answer, by workload.
pub struct Shown<'a> {
    ads: HashMap<&'a Uid, Vec<&'a Ad>>,
    riddles: HashMap<Uid, Vec<&'a Riddle>>,
    /// Nobody knows of which workload.
    nameless: Vec<&'a Riddle>,
    foreign: HashMap<&'a Uid, Vec<&'a Foreign>>,
    /// There are more of those.
    is_cut: bool,
}

impl<'a> Shown<'a> {
    /// An answer, by workload.
    pub fn of(answer: &'a Answer) -> Shown<'a> {
        let Answer { ads, riddles, foreign, is_cut } = answer;
        let mut ads = group(ads, |ad| Some(&ad.key.uid));
        ads.values_mut().for_each(|ads| ads.sort_by_key(|ad| (ad.key.index, ad.job)));
        Shown {
            ads,
            nameless: riddles.iter().filter(|riddle| riddle.uid.is_none()).collect(),
            riddles: group(riddles, |riddle| riddle.uid.clone()),
            foreign: group(foreign, |ad| ad.key.as_ref().map(|key| &key.uid)),
            is_cut: *is_cut,
        }
    }

    /// What says by its id alone whose it is belongs to that workload, and to no other.
    pub fn claim(&mut self, board: &Board) {
        if self.nameless.is_empty() {
            return;
        }
        let known = board.entries.iter().flat_map(|(uid, entry)| entry.ids().map(move |(_, id)| (id, uid)));
        let known: HashMap<JobId, &Uid> = known.collect();
        self.nameless.retain(|riddle| {
            let uid = riddle.job.and_then(|id| known.get(&id));
            uid.into_iter().for_each(|uid| self.riddles.entry((*uid).clone()).or_default().push(riddle));
            uid.is_none()
        });
    }

    /// All ads that can be judged.
    pub fn ads(&self) -> impl Iterator<Item = &'a Ad> + use<'_, 'a> {
        self.ads.values().flatten().copied()
    }

    /// Ads that cannot be judged, by workload.
    pub fn riddles(&self) -> impl Iterator<Item = (&Uid, &[&'a Riddle])> {
        self.riddles.iter().map(|(uid, riddles)| (uid, &**riddles))
    }

    /// The workloads of which something is shown.
    pub fn workloads(&self) -> impl Iterator<Item = &Uid> {
        let without_ads = self.riddles.keys().filter(|uid| !self.ads.contains_key(uid));
        self.ads.keys().copied().chain(without_ads)
    }

    /// The indices of a workload that have something in the queue.
    pub fn indices(&self, uid: &Uid, entry: &Entry) -> BTreeSet<u32> {
        let mut indices: BTreeSet<u32> =
            self.ads.get(uid).into_iter().flatten().map(|ad| ad.key.index).collect();
        let riddles = self.riddles.get(uid).map(Vec::as_slice).unwrap_or_default();
        indices.extend(riddles.iter().filter_map(|riddle| Some(riddle.key.as_ref()?.index)));
        if riddles.iter().any(|riddle| riddle.key.is_none()) {
            let is_shown = |id: JobId| riddles.iter().any(|riddle| riddle.job == Some(id));
            indices.extend(entry.ids().filter(|(_, id)| is_shown(*id)).map(|(index, _)| index));
        }
        indices
    }

    /// What concerns one workload.
    pub fn of_workload(&self, uid: &Uid, entry: &Entry) -> OfWorkload<'_, 'a> {
        let riddles = self.riddles.get(uid).map(Vec::as_slice).unwrap_or_default();
        let is_known = |riddle: &&Riddle| entry.jobs.values().any(|job| is_id_of(riddle, job));
        OfWorkload {
            ads: self.ads.get(uid).map(Vec::as_slice).unwrap_or_default(),
            riddles,
            loose: riddles.iter().copied().filter(|riddle| !is_known(riddle)).collect(),
            nameless: &self.nameless,
            foreign: self.foreign.get(uid).map(Vec::as_slice).unwrap_or_default(),
            is_cut: self.is_cut,
        }
    }
}

fn group<'a, T, K: Eq + Hash>(all: &'a [T], key: impl Fn(&'a T) -> Option<K>) -> HashMap<K, Vec<&'a T>> {
    let mut groups: HashMap<K, Vec<&'a T>> = HashMap::new();
    for item in all {
        key(item).into_iter().for_each(|key| groups.entry(key).or_default().push(item));
    }
    groups
}

/// What an answer shows of one workload.
pub struct OfWorkload<'s, 'a> {
    /// In order of their indices.
    ads: &'s [&'a Ad],
    riddles: &'s [&'a Riddle],
    /// Those whose ids are none of its known jobs'.
    loose: Vec<&'a Riddle>,
    /// Of some workload, perhaps of this one.
    nameless: &'s [&'a Riddle],
    /// Of another owner, as long as it is not confirmed who we are.
    foreign: &'s [&'a Foreign],
    is_cut: bool,
}

impl<'s, 'a> OfWorkload<'s, 'a> {
    /// How many jobs it has in the queue.
    pub fn count(&self) -> usize {
        self.ads.len() + self.riddles.len()
    }

    /// Its ads.
    pub fn ads(&self) -> impl Iterator<Item = &'a Ad> + use<'s, 'a> {
        self.ads.iter().copied()
    }

    /// Its ads that cannot be judged.
    pub fn riddles(&self) -> impl Iterator<Item = &'a Riddle> + use<'s, 'a> {
        self.riddles.iter().copied()
    }

    /// The ad of a job. Once HTCondor's id is known the key alone says nothing: a copy bears it too.
    pub fn own(&self, job: &Job) -> Option<&'a Ad> {
        let is_own = |ad: &&Ad| ad.key == job.key && job.progress.job().is_none_or(|id| id == ad.job);
        self.of_index(job.key.index).iter().copied().find(is_own)
    }

    /// The other ads of a job's index.
    pub fn copies(&self, job: &Job) -> impl Iterator<Item = &'a Ad> + use<'s, 'a> {
        let own = self.own(job).map(|ad| ad.job);
        self.of_index(job.key.index).iter().copied().filter(move |ad| Some(ad.job) != own)
    }

    /// Whether the job may be in the queue though none of the ads that can be judged is its own.
    pub fn may_hide(&self, job: &Job) -> bool {
        let known = job.progress.job();
        let may_be = |riddle: &Riddle| {
            let other_key = riddle.key.as_ref().is_some_and(|key| *key != job.key);
            let other_id = known.is_some() && riddle.job.is_some() && known != riddle.job;
            !other_key && !other_id
        };
        let has_key = self.foreign.iter().any(|ad| ad.key.as_ref() == Some(&job.key));
        let is_foreign = job.intent.is_some() && (self.is_cut || has_key);
        self.riddle(job).is_some()
            || self.loose.iter().chain(self.nameless).any(|riddle| may_be(riddle))
            || is_foreign
    }

    /// Whether an index without a job may have one that cannot be judged.
    pub fn has_unknown(&self, entry: &Entry) -> bool {
        let is_known =
            |riddle: &Riddle| riddle.key.as_ref().is_some_and(|key| entry.jobs.contains_key(&key.index));
        self.loose.iter().any(|riddle| !is_known(riddle))
    }

    /// The ads of each index that has no job.
    pub fn without_job<'b>(&self, entry: &'b Entry) -> impl Iterator<Item = &'s [&'a Ad]> + use<'s, 'a, 'b> {
        let indices = self.ads.chunk_by(|one, next| one.key.index == next.key.index);
        indices.filter(|ads| !entry.jobs.contains_key(&ads[0].key.index))
    }

    /// Notes beside a job's state whether it is in the queue at all, and what of its ad cannot be read.
    pub fn note(&self, job: &mut Job, want: Want) {
        let (ad, riddle) = (self.own(job), self.riddle(job));
        job.riddle = riddle.filter(|_| ad.is_none()).map(|riddle| riddle.attribute);
        if ad.is_some() || riddle.is_some() {
            if job.is_missing() && job.is_expected() {
                tracing::info!(key = %job.key, "a job that was missing is in the queue again");
            }
            if job.missing_since().is_some() {
                job.in_queue = InQueue::Yes;
            }
        }
        if let Some(ad) = ad {
            // Where nothing shall be left of it nobody but us says that. Else it has still to end.
            if ad.acknowledged && want == Want::Gone {
                job.release();
            }
            job.unread.clone_from(&ad.unread);
        }
    }

    /// The ad of a job, which is there and cannot be judged.
    fn riddle(&self, job: &Job) -> Option<&'a Riddle> {
        let is_it = |riddle: &&Riddle| match (job.progress.job(), riddle.job) {
            (Some(id), Some(other)) => id == other,
            _ => riddle.key.as_ref() == Some(&job.key),
        };
        self.riddles.iter().copied().find(is_it)
    }

    /// The ads of an index.
    pub fn of_index(&self, index: u32) -> &'s [&'a Ad] {
        let first = self.ads.partition_point(|ad| ad.key.index < index);
        let count = self.ads[first..].partition_point(|ad| ad.key.index == index);
        &self.ads[first..first + count]
    }
}

fn is_id_of(riddle: &Riddle, job: &Job) -> bool {
    riddle.job.is_some() && riddle.job == job.progress.job()
}

#[cfg(test)]
mod tests {
    use htc_core::workload::progress::Progress;

    use super::*;

    const ID: JobId = JobId { cluster: 7, proc: 0 };

    fn riddle(key: Option<&str>, uid: Option<&str>, job: Option<JobId>) -> Answer {
        let (key, uid) = (key.map(|key| key.parse().unwrap()), uid.map(|uid| uid.parse().unwrap()));
        Answer { riddles: vec![Riddle { attribute: "HTCOperatorKey", key, uid, job }], ..Answer::default() }
    }

    /// Whether what an answer cannot say may be this job of workload `u`, whose index 1 is known as 7.0.
    fn hides(answer: &Answer, job: Option<JobId>) -> bool {
        let known = Job::new("u/1/0/0".parse().unwrap(), String::new(), Progress::Queued { job: ID }, None);
        let other = JobId { cluster: 9, ..ID };
        let mut entry = Entry::bare(&[]);
        entry.jobs.insert(1, Box::new(known));
        let mut board = Board::default();
        let uid: Uid = "u".parse().unwrap();
        board.entries.insert(uid.clone(), entry);
        let mut shown = Shown::of(answer);
        shown.claim(&board);
        let job = job.map(|_| other);
        let progress = Progress::Submitting { job };
        let job = Job::new("u/0/0/0".parse().unwrap(), String::new(), progress, Some(1));
        shown.of_workload(&uid, &board.entries[&uid]).may_hide(&job)
    }

    #[test]
    fn an_ad_that_does_not_say_whose_it_is_hides_what_it_may_be_and_no_more() {
        let stray = Some(JobId { cluster: 8, proc: 0 });
        let (unprinted, printed) = (None, Some(ID));
        for (answer, hidden) in [
            (riddle(None, Some("u"), stray), [true, false]),
            (riddle(None, None, stray), [true, false]),
            (riddle(None, None, None), [true, true]),
            (riddle(Some("u/0/0/0"), Some("u"), None), [true, true]),
            (riddle(Some("u/2/0/0"), Some("u"), stray), [false, false]),
            (riddle(None, Some("v"), stray), [false, false]),
            // It is another job's, which says so by its id.
            (riddle(None, None, Some(ID)), [false, false]),
            (riddle(None, Some("u"), Some(ID)), [false, false]),
        ] {
            assert_eq!([unprinted, printed].map(|job| hides(&answer, job)), hidden, "{answer:?}");
        }
    }
}
