//! Ends that a workload's outside object tells. Its status outranks a store that is older, or was lost. Believed is
//! that an index has ended and how, never a job id or a path: its files are looked for in our own data folder.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{End, Progress};
use htc_core::workload::report::RESULT_FILE;

use super::board::{Entry, Files, Job};
use super::wish::stored_job;
use super::{Engine, Inner};
use crate::crash_point;
use crate::store::database::StoreError;
use crate::store::{jobs, wishes};

/// An index whose end is known outside.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The index.
    pub index: u32,
    /// How it ended.
    pub end: End,
}

/// The newest attempt and submission of each index whose files are in the data folder.
pub type Homes = HashMap<u32, (u32, u32)>;

/// An index that has ended, as its job.
pub struct Taken {
    /// The job.
    pub job: Box<Job>,
    /// Which one the index had, or waited for: files may have been found of another.
    current: JobKey,
    /// Whether it waited.
    waited: bool,
}

impl Engine {
    /// The store may be older than the objects of a door: nothing more is submitted of a workload of it before
    /// [`Engine::settle`] has said what its object knows.
    pub fn await_objects(&self, door: &str) {
        self.0.board().entries.each_live(|_, entry| {
            let run = if entry.door == door { entry.run_mut() } else { None };
            run.into_iter().for_each(|run| run.awaits_object = true);
        });
    }

    /// Takes in what the outside object of a workload tells: these indices have ended, and no others. What is known
    /// here stays as it is.
    pub async fn settle(&self, uid: &Uid, settled: Vec<Settled>) -> Result<(), StoreError> {
        let inner = &self.0;
        let news: Vec<Settled> = {
            let board = inner.board();
            let Some(entry) = board.entries.get(uid).filter(|entry| entry.run().is_some()) else {
                return Ok(());
            };
            let mut seen = HashSet::new();
            settled.into_iter().filter(|one| seen.insert(one.index) && entry.is_open(one.index)).collect()
        };
        if !news.is_empty() {
            inner.take_in_ends(uid, news).await?;
        }
        let mut board = inner.board();
        if board.entries.get(uid).and_then(Entry::run).is_some_and(|run| run.awaits_object) {
            let run = board.entries.get_mut(uid).and_then(Entry::run_mut);
            run.into_iter().for_each(|run| run.awaits_object = false);
            inner.submit_bell.notify_one();
        }
        Ok(())
    }
}

impl Inner {
    async fn take_in_ends(&self, uid: &Uid, news: Vec<Settled>) -> Result<(), StoreError> {
        let homes = self.homes(uid, &news).await;
        let (kept, taken) = {
            // Under one lock with the request, so that ranges reach the disk in the board's order.
            let mut board = self.board();
            let Some(entry) = board.entries.get_mut(uid) else { return Ok(()) };
            let taken: Vec<Taken> =
                news.into_iter().filter_map(|one| self.ended_outside(uid, entry, one, &homes)).collect();
            entry.intended += waited(&taken);
            let row = |taken: &Taken| {
                let replaced = (!taken.waited).then(|| taken.current.clone());
                (replaced, stored_job(&entry.name, &taken.job))
            };
            let rows: Vec<_> = taken.iter().map(row).collect();
            let (workload, waiting) = (uid.clone(), entry.waiting().to_vec());
            let kept = self.store.call(move |t| {
                wishes::replace_waiting(t, &workload, &waiting)?;
                rows.iter().try_for_each(|(replaced, job)| {
                    replaced.iter().try_for_each(|key| jobs::delete(t, key))?;
                    jobs::insert(t, job)
                })
            });
            (kept, taken)
        };
        let kept = kept.await;
        self.believe_ends(uid, taken, kept.is_ok());
        kept?;
        crash_point!("end-durable");
        self.forget_spent([uid.clone()]).await?;
        self.look_bell.notify_one();
        self.ring([uid.clone()]);
        Ok(())
    }

    fn believe_ends(&self, uid: &Uid, taken: Vec<Taken>, kept: bool) {
        let mut board = self.board();
        let Some(entry) = board.entries.get_mut(uid) else { return };
        tracing::warn!(
            %uid,
            indices = taken.len(),
            "an object tells ends that the database does not know: the database is older than its status"
        );
        entry.intended -= waited(&taken);
        for Taken { job, current: JobKey { index, attempt, submission, .. }, waited } in taken {
            if kept {
                entry.jobs.insert(index, job);
            } else if waited {
                entry.put_back(index, attempt, submission);
            }
        }
    }

    /// The job of an index that has not ended here and has outside, out of those that wait or in the place of
    /// the one that is known; none of an index that is about to have a job.
    pub(super) fn ended_outside(
        &self,
        uid: &Uid,
        entry: &mut Entry,
        settled: Settled,
        homes: &Homes,
    ) -> Option<Taken> {
        let Settled { index, end } = settled;
        if !entry.is_open(index) {
            return None;
        }
        let known = entry.jobs.get(&index).map(|job| (**job).clone());
        let waited = known.is_none();
        let key = |attempt, submission| JobKey { uid: uid.clone(), index, attempt, submission };
        let current = match &known {
            Some(job) => job.key.clone(),
            None => entry.take(index).map(|waiting| key(waiting.attempt, waiting.submission))?,
        };
        let home = homes.get(&index).map(|(attempt, submission)| key(*attempt, *submission));
        let files = if home.is_some() { Files::Home } else { Files::Expected };
        let key = home.unwrap_or_else(|| current.clone());
        // The id is our own store's, and of that job only.
        let job = match known.filter(|job| job.key == key) {
            Some(job) => job,
            None => Job::new(key.clone(), self.folder(&key), Progress::Submitting { job: None }, None),
        };
        let progress = Progress::Ended { job: job.progress.job(), end };
        let job = Job { progress, files, published: true, intent: None, ..job };
        Some(Taken { job: Box::new(job), current, waited })
    }

    /// What of these indices is in the data folder.
    pub(super) async fn homes(&self, uid: &Uid, settled: &[Settled]) -> Homes {
        if settled.is_empty() {
            return Homes::new();
        }
        let wanted: HashSet<u32> = settled.iter().map(|one| one.index).collect();
        let folder = self.workload_folder(uid);
        let look = move || homes(&folder, &wanted);
        // A panic there is one here.
        tokio::task::spawn_blocking(look)
            .await
            .unwrap_or_else(|why| std::panic::resume_unwind(why.into_panic()))
    }
}

/// How many of them waited.
fn waited(taken: &[Taken]) -> u64 {
    taken.iter().filter(|one| one.waited).count() as u64
}

impl Entry {
    /// Whether this index is one of its own and has not ended, as far as is known here.
    fn is_open(&self, index: u32) -> bool {
        let is_own = self.workload.as_ref().is_some_and(|workload| index < workload.indices);
        let has_ended = self.jobs.get(&index).is_some_and(|job| job.end().is_some());
        is_own && !self.inherited && !has_ended && self.rested.get(index).is_none()
    }
}

/// The newest job of each of these indices whose folder holds a result, which came last of its files.
fn homes(workload: &Path, wanted: &HashSet<u32>) -> Homes {
    let mut homes = Homes::new();
    for folder in std::fs::read_dir(workload).into_iter().flatten().flatten() {
        let name = folder.file_name();
        let Some((index, attempt, submission)) = name.to_str().and_then(parse) else { continue };
        let result = folder.path().join(RESULT_FILE).symlink_metadata();
        if wanted.contains(&index) && result.is_ok_and(|meta| meta.is_file()) {
            let newest = homes.entry(index).or_insert((attempt, submission));
            *newest = (*newest).max((attempt, submission));
        }
    }
    homes
}

/// `index.attempt.submission`.
fn parse(name: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = name.split('.').map(|part| part.parse().ok());
    let found = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_newest_folder_of_an_index_that_holds_a_result_is_its_home() {
        let data = tempfile::tempdir().unwrap();
        for (name, has_result) in [
            ("0.0.0", true),
            ("0.0.2", true),
            ("0.0.10", true),
            ("0.1.0", false),
            ("1.0.0", false),
            ("2.0.0", true),
            ("3.0.0", true),
            ("3.0", true),
            ("x.0.0", true),
            ("3.0.9.1", true),
            ("3.0.-1", true),
        ] {
            let folder = data.path().join(name);
            fs::create_dir(&folder).unwrap();
            if has_result {
                fs::write(folder.join(RESULT_FILE), "{}").unwrap();
            }
        }
        fs::create_dir_all(data.path().join("3.7.0").join(RESULT_FILE)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", data.path().join("3.8.0")).unwrap();
        let found = homes(data.path(), &[0, 1, 3].into());
        assert_eq!(found, Homes::from([(0, (0, 10)), (3, (0, 0))]));
        assert!(homes(&data.path().join("none"), &[0].into()).is_empty());
    }
}
