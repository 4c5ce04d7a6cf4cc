//! Workloads whose jobs the predecessor of this operator has submitted. They are followed as they are,
//! by their ids, for their ads have no key of ours: nothing of them is ever submitted again, their files
//! stay where HTCondor keeps them, and they leave the queue by HTCondor's own rules, or when the
//! workload shall be gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use htc_core::workload::Workload;
use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{End, JobId, Outcome, Progress};
use jiff::Timestamp;

use super::board::{Board, Entry, Files, Job};
use super::wish::stored_job;
use super::{Engine, Inner};
use crate::condor::{act, cli::CallError, query};
use crate::crash_point;
use crate::store::database::{StoreError, now};
use crate::store::predecessor::{self, OldRow};
use crate::store::wishes::{self, NewWish, StoredWish, Want};

/// At most so many ids stand in one constraint.
const IDS_PER_CALL: usize = 500;

/// An outside object that the predecessor has served.
#[derive(Clone, Debug)]
pub struct Heir {
    /// The object's UID.
    pub uid: Uid,
    /// Which door it came through.
    pub door: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created, in seconds since 1970.
    pub created: Option<i64>,
    /// The predecessor's own id of it; empty where the object does not tell.
    pub uniqid: String,
    /// The jobs that the object names.
    pub jobs: Vec<JobId>,
    /// Ends that the object tells.
    pub ended: Vec<(JobId, End)>,
    /// Whether jobs count that only the object names, and no row of the predecessor.
    pub is_trusted: bool,
}

/// What the predecessor has left of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inheritance {
    /// Nothing: it may be submitted.
    None,
    /// Jobs, which are followed.
    Jobs,
    /// The object names jobs of which no row tells: whoever may write its status could have put any there.
    Unconfirmed,
}

/// A job that was found for an heir.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    rows: Vec<i64>,
    folder: String,
    succeeded: Option<bool>,
}

impl Engine {
    /// What the predecessor has left of an object; changes nothing.
    pub async fn inheritance(&self, heir: &Heir) -> Result<Inheritance, StoreError> {
        let (heir, born) = (heir.clone(), self.0.born);
        self.0.store.call(move |t| Ok(judge(&find(&predecessor::load(t)?, &heir, born), &heir))).await
    }

    /// Follows the jobs that the predecessor submitted for an object, if they are known to be its own.
    pub async fn inherit(&self, heir: Heir) -> Result<Inheritance, StoreError> {
        let inner = &self.0;
        let uid = heir.uid.clone();
        if inner.board().entries.contains_key(&uid) {
            return Ok(Inheritance::Jobs);
        }
        let born = inner.born;
        let kept = inner.store.call(move |t| {
            let found = find(&predecessor::load(t)?, &heir, born);
            let inheritance = judge(&found, &heir);
            if inheritance != Inheritance::Jobs {
                return Ok(Err(inheritance));
            }
            let wish = wish(&heir, found.len());
            let mut entry = Entry::of(&wish, Vec::new());
            wishes::insert(t, &NewWish::new(wish)?, &[])?;
            for (index, (id, found)) in (0..).zip(&found) {
                let job = job(&heir, index, *id, found);
                predecessor::give(t, &found.rows, &stored_job(&heir.name, &job))?;
                entry.jobs.insert(index, Box::new(job));
            }
            Ok(Ok(entry))
        });
        let entry = match kept.await? {
            Ok(entry) => entry,
            Err(inheritance) => return Ok(inheritance),
        };
        crash_point!("inherited-durable");
        let (namespace, name, jobs) = (&entry.namespace, &entry.name, entry.jobs.len());
        tracing::info!(%uid, namespace, name, jobs, "following jobs that the predecessor has submitted");
        inner.board().entries.entry(uid.clone()).or_insert(entry);
        inner.look_bell.notify_one();
        inner.ring([uid]);
        Ok(Inheritance::Jobs)
    }
}

impl Board {
    /// The inherited jobs that the pool must be asked for by their ids.
    pub fn inherited(&self) -> HashMap<JobId, JobKey> {
        let entries = self.entries.live().map(|(_, entry)| entry).filter(|entry| entry.inherited);
        let asked = |entry: &Entry, job: &Job| entry.gone().is_some() || job.end().is_none();
        entries
            .flat_map(|entry| entry.jobs.values().filter(|job| asked(entry, job)))
            .filter_map(|job| Some((job.progress.job()?, job.key.clone())))
            .collect()
    }
}

impl Inner {
    /// Removes inherited jobs. One of ours that has such an id, in a schedd that began to count anew,
    /// is not meant.
    pub(super) async fn remove_inherited(&self, ids: &[JobId]) -> Result<(), CallError> {
        for ids in ids.chunks(IDS_PER_CALL) {
            act::remove(&self.pool, &query::of_strangers(ids)).await?;
        }
        crash_point!("removed");
        Ok(())
    }
}

/// The jobs of an heir, in order: by the predecessor's own id of the object, else by name and job;
/// what no row tells is in the object itself. Where the object tells nothing, its status may have
/// been lost on the way: then jobs of its name that were active count. An object that is younger than our
/// store never was the predecessor's, whatever its status says.
fn find(rows: &[OldRow], heir: &Heir, born: i64) -> BTreeMap<JobId, Found> {
    if heir.created.is_none_or(|at| at > born) {
        return BTreeMap::new();
    }
    let silent = heir.uniqid.is_empty() && heir.jobs.is_empty();
    let is_of = |row: &&OldRow| {
        let by_id = !heir.uniqid.is_empty() && row.uniqid == heir.uniqid;
        let by_job = row.name == heir.name && heir.jobs.contains(&row.job);
        let by_name = silent && row.name == heir.name && row.succeeded.is_none();
        by_id || by_job || by_name
    };
    let mut found: BTreeMap<JobId, Found> = heir.jobs.iter().map(|job| (*job, Found::default())).collect();
    for row in rows.iter().filter(is_of) {
        let found = found.entry(row.job).or_default();
        found.rows.push(row.row);
        found.succeeded = found.succeeded.or(row.succeeded);
        if found.folder.is_empty() {
            found.folder.clone_from(&row.folder);
        }
    }
    found
}

/// Jobs that nothing but the object's status names count only where the site says so: who may write it could
/// have any job of our account removed with the object.
fn judge(found: &BTreeMap<JobId, Found>, heir: &Heir) -> Inheritance {
    match () {
        () if found.is_empty() => Inheritance::None,
        () if heir.is_trusted || found.values().all(|found| !found.rows.is_empty()) => Inheritance::Jobs,
        () => Inheritance::Unconfirmed,
    }
}

fn wish(heir: &Heir, jobs: usize) -> StoredWish {
    // Nothing of it is submitted, so nothing says how.
    let workload = Workload {
        name: heir.name.clone(),
        indices: u32::try_from(jobs).unwrap_or(u32::MAX),
        init_containers: Vec::new(),
        containers: Vec::new(),
        volumes: Vec::new(),
        grace_seconds: 0,
        folder_variable: None,
        restart_after_eviction: true,
        deadline_seconds: None,
        hostname: None,
        registries: Vec::new(),
        image_paths: Vec::new(),
        submit: Vec::new(),
    };
    StoredWish {
        uid: heir.uid.clone(),
        door: heir.door.to_owned(),
        namespace: heir.namespace.clone(),
        name: heir.name.clone(),
        workload: Some(Arc::new(workload)),
        want: Want::Run,
        not_before: now(),
        inherited: true,
        collected: None,
        owner: None,
    }
}

fn job(heir: &Heir, index: u32, id: JobId, found: &Found) -> Job {
    let told = heir.ended.iter().find(|(job, _)| *job == id).map(|(_, end)| end.clone());
    let progress = match told.or_else(|| found.succeeded.map(recorded)) {
        Some(end) => Progress::Ended { job: Some(id), end },
        None => Progress::Queued { job: id },
    };
    let key = JobKey { uid: heir.uid.clone(), index, attempt: 0, submission: 0 };
    Job { files: Files::GivenUp, ..Job::new(key, found.folder.clone(), progress, None) }
}

/// The end that the predecessor has written down.
pub fn recorded(succeeded: bool) -> End {
    let (outcome, message) = match succeeded {
        true => (Outcome::Succeeded, ""),
        false => (Outcome::LostTrack, "it had failed before this operator came; how is not known any more"),
    };
    End { outcome, message: message.to_owned(), at: Timestamp::now() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(proc: u32) -> JobId {
        JobId { cluster: 884_426, proc }
    }

    fn row(row: i64, name: &str, proc: u32, uniqid: &str, succeeded: Option<bool>) -> OldRow {
        let (name, uniqid, folder) = (name.to_owned(), uniqid.to_owned(), "/tmp/x".to_owned());
        OldRow { row, name, job: id(proc), succeeded, folder, uniqid }
    }

    fn heir(name: &str, uniqid: &str, procs: &[u32]) -> Heir {
        Heir {
            uid: "u".parse().unwrap(),
            door: "test",
            namespace: "n".to_owned(),
            name: name.to_owned(),
            created: Some(1),
            uniqid: uniqid.to_owned(),
            jobs: procs.iter().map(|proc| id(*proc)).collect(),
            ended: vec![],
            is_trusted: false,
        }
    }

    fn rows_of(found: &BTreeMap<JobId, Found>) -> Vec<(u32, Vec<i64>)> {
        found.iter().map(|(job, found)| (job.proc, found.rows.clone())).collect()
    }

    #[test]
    fn rows_are_found_by_the_predecessors_id_and_else_by_name_and_job() {
        let rows = [row(1, "a", 1, "x", None), row(2, "a", 0, "x", None), row(3, "a", 7, "y", None)];
        assert_eq!(rows_of(&find(&rows, &heir("a", "x", &[]), 2)), [(0, vec![2]), (1, vec![1])]);
        assert_eq!(rows_of(&find(&rows, &heir("a", "", &[7]), 2)), [(7, vec![3])]);
        assert_eq!(rows_of(&find(&rows, &heir("b", "", &[7]), 2)), [(7, vec![])], "of another namespace");
        assert!(find(&rows, &heir("b", "", &[]), 2).is_empty());
    }

    #[test]
    fn an_object_that_tells_nothing_gets_the_active_jobs_of_its_name() {
        let rows = [row(1, "a", 1, "x", Some(true)), row(2, "a", 2, "y", None), row(3, "b", 3, "", None)];
        assert_eq!(rows_of(&find(&rows, &heir("a", "", &[]), 2)), [(2, vec![2])]);
        let young = Heir { created: Some(3), ..heir("a", "", &[]) };
        assert!(find(&rows, &young, 2).is_empty(), "it came after the predecessor");
    }

    #[test]
    fn of_several_rows_of_a_job_the_one_with_an_end_counts() {
        let rows = [row(1, "a", 0, "x", None), row(2, "a", 0, "x", Some(false)), row(3, "a", 0, "x", None)];
        let found = find(&rows, &heir("a", "x", &[0]), 2);
        let expected = Found { rows: vec![1, 2, 3], folder: "/tmp/x".into(), succeeded: Some(false) };
        assert_eq!(found[&id(0)], expected);
    }

    #[test]
    fn what_no_row_tells_counts_only_where_the_object_is_trusted() {
        let named = heir("a", "x", &[2, 0]);
        let found = find(&[], &named, 2);
        assert_eq!(rows_of(&found), [(0, vec![]), (2, vec![])]);
        assert_eq!(judge(&found, &named), Inheritance::Unconfirmed);
        assert_eq!(judge(&found, &Heir { is_trusted: true, ..named.clone() }), Inheritance::Jobs);
        let rows = [row(1, "a", 0, "x", None)];
        assert_eq!(judge(&find(&rows, &named, 2), &named), Inheritance::Unconfirmed, "one of two");
        let rows = [row(1, "a", 0, "x", None), row(2, "a", 2, "x", None)];
        assert_eq!(judge(&find(&rows, &named, 2), &named), Inheritance::Jobs);
    }

    #[test]
    fn an_object_that_came_after_the_predecessor_has_inherited_nothing_whatever_its_status_says() {
        let rows = [row(1, "a", 0, "x", None)];
        for created in [None, Some(3), Some(4)] {
            let forged = Heir { created, is_trusted: true, ..heir("a", "x", &[0]) };
            assert!(find(&rows, &forged, 2).is_empty(), "{created:?}");
        }
    }
}
