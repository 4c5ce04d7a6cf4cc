//! Wishes and what of them still waits to be submitted.

use std::sync::Arc;

use htc_core::workload::Workload;
use htc_core::workload::names::Uid;
use rusqlite::{Transaction, params};

use super::database::{StoreError, now};
use super::unreadable::{Columns, Unreadable};
use super::{facts, jobs};

/// What is wished of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// That it runs.
    Run,
    /// That nothing of it is left.
    Gone,
    /// Nothing is left; the row only remembers that.
    Tombstone,
}

/// A row of `wishes`.
#[derive(Clone, Debug)]
pub struct StoredWish {
    /// The workload's UID.
    pub uid: Uid,
    /// Which door wishes.
    pub door: String,
    /// The outside object's namespace; empty where there is none.
    pub namespace: String,
    /// The outside object's name.
    pub name: String,
    /// What shall run; none in a tombstone.
    pub workload: Option<Arc<Workload>>,
    /// What is wished.
    pub want: Want,
    /// Nothing of it is submitted before, epoch seconds.
    pub not_before: i64,
    /// Whether the predecessor of this operator has submitted its jobs.
    pub inherited: bool,
    /// When its folder was removed because its time was over, epoch seconds.
    pub collected: Option<i64>,
    /// To whom it belongs among the callers of its door; to all of them without.
    pub owner: Option<String>,
}

/// Indices `first..=last` that wait for the same attempt and submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// The first index.
    pub first: u32,
    /// The last index, itself in the range.
    pub last: u32,
    /// Which try of each.
    pub attempt: u32,
    /// Which submission of that try.
    pub submission: u32,
}

/// A new row of `wishes`.
#[derive(Clone, Debug)]
pub struct NewWish {
    wish: StoredWish,
    /// The workload as JSON.
    workload: String,
}

impl NewWish {
    /// Writes a wish down. Not in the writer's turn, for which all others wait: a large workload takes longer to
    /// write down than to keep.
    pub fn new(wish: StoredWish) -> Result<NewWish, StoreError> {
        let workload = serde_json::to_string(&wish.workload.as_deref());
        Ok(NewWish { wish, workload: workload.map_err(|e| StoreError::Unreadable(e.to_string()))? })
    }
}

/// What is left of a workload, as JSON.
#[derive(Clone, Debug)]
pub struct Told {
    uid: Uid,
    workload: String,
}

impl Told {
    /// Writes it down, not in the writer's turn.
    pub fn new(uid: &Uid, workload: &Workload) -> Result<Told, StoreError> {
        let workload = serde_json::to_string(&Some(workload));
        let workload = workload.map_err(|e| StoreError::Unreadable(e.to_string()))?;
        Ok(Told { uid: uid.clone(), workload })
    }
}

/// Nothing of the workload is kept but this.
pub fn tell_only(t: &Transaction<'_>, told: &Told) -> Result<(), StoreError> {
    let mut statement =
        t.prepare_cached("UPDATE wishes SET workload = ?2 WHERE uid = ?1 AND workload IS NOT NULL")?;
    statement.execute(params![told.uid.as_str(), told.workload])?;
    Ok(())
}

/// Keeps a new wish.
pub fn insert(t: &Transaction<'_>, new: &NewWish, waiting: &[Waiting]) -> Result<(), StoreError> {
    let NewWish { wish, workload } = new;
    let StoredWish { uid, door, namespace, name, workload: _, want, not_before, inherited, collected, owner } =
        wish;
    let (uid_text, want) = (uid.as_str(), word(*want));
    let mut statement = t.prepare_cached(
        "INSERT INTO wishes
         (uid, door, namespace, name, workload, want, since, not_before, inherited, collected, owner)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    statement.execute(params![
        uid_text,
        door,
        namespace,
        name,
        workload,
        want,
        now(),
        not_before,
        inherited,
        collected,
        owner
    ])?;
    replace_waiting(t, uid, waiting)
}

/// From now on the workload shall be gone; nothing of it is submitted any more.
pub fn want_gone(t: &Transaction<'_>, uid: &Uid) -> Result<(), StoreError> {
    t.execute(
        "UPDATE wishes SET want = 'gone', since = ?2 WHERE uid = ?1 AND want = 'run'",
        params![uid.as_str(), now()],
    )?;
    replace_waiting(t, uid, &[])
}

/// The workload's folder has been removed because its time was over.
pub fn collected(t: &Transaction<'_>, uid: &Uid, at: i64) -> Result<(), StoreError> {
    t.execute("UPDATE wishes SET collected = ?2 WHERE uid = ?1", params![uid.as_str(), at])?;
    Ok(())
}

/// Nothing is left of the workload: only the tombstone stays.
pub fn bury(t: &Transaction<'_>, uid: &Uid) -> Result<(), StoreError> {
    facts::raise_cluster(t, jobs::highest_cluster(t, uid)?)?;
    for table in ["htcjobs", "inbox", "waiting", "refused", "worker_faults"] {
        t.execute(&format!("DELETE FROM {table} WHERE uid = ?1"), [uid.as_str()])?;
    }
    t.execute(
        "UPDATE wishes SET want = 'tombstone', workload = NULL, since = ?2 WHERE uid = ?1",
        params![uid.as_str(), now()],
    )?;
    Ok(())
}

/// Forgets the tombstones of before `before`, epoch seconds; says whose they were.
pub fn prune(t: &Transaction<'_>, before: i64) -> Result<Vec<Uid>, StoreError> {
    let mut delete = t.prepare("DELETE FROM wishes WHERE want = 'tombstone' AND since < ?1 RETURNING uid")?;
    let uids: Vec<String> = delete.query_map([before], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // One that cannot be read is on no board.
    Ok(uids.iter().filter_map(|uid| uid.parse().ok()).collect())
}

/// Says anew what of a workload waits.
pub fn replace_waiting(t: &Transaction<'_>, uid: &Uid, waiting: &[Waiting]) -> Result<(), StoreError> {
    t.execute("DELETE FROM waiting WHERE uid = ?1", [uid.as_str()])?;
    let mut insert = t.prepare_cached(
        "INSERT INTO waiting (uid, first, last, attempt, submission) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for Waiting { first, last, attempt, submission } in waiting {
        insert.execute(params![uid.as_str(), first, last, attempt, submission])?;
    }
    Ok(())
}

/// All wishes, the oldest first, each with what of it waits.
pub fn load(
    t: &Transaction<'_>,
    unreadable: &mut Vec<Unreadable>,
) -> Result<Vec<(StoredWish, Vec<Waiting>)>, StoreError> {
    let mut ranges =
        t.prepare("SELECT first, last, attempt, submission FROM waiting WHERE uid = ?1 ORDER BY first")?;
    let mut statement = t.prepare(
        "SELECT uid, door, namespace, name, workload, want, not_before, inherited, collected, owner
         FROM wishes
         ORDER BY since, uid",
    )?;
    let mut rows = statement.query([])?;
    let mut wishes = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let text: String = columns.get(0, "uid");
        let wish = text.parse().ok().map(|uid| read(uid, &mut columns));
        let workload = wish.as_ref().and_then(|wish: &StoredWish| wish.workload.as_ref());
        let indices = workload.map(|workload| workload.indices);
        let mut waiting = Vec::new();
        let mut of_uid = ranges.query([&text])?;
        while let Some(row) = of_uid.next()? {
            let mut range = Columns::of(row);
            let (first, last) = (range.get(0, "first"), range.get(1, "last"));
            let (attempt, submission) = (range.get(2, "attempt"), range.get(3, "submission"));
            match range.trouble() {
                None if first > last || indices.is_some_and(|indices| last >= indices) => {
                    columns.wrong.push(format!("what waits: it has no copies {first} to {last}"));
                }
                None => waiting.push(Waiting { first, last, attempt, submission }),
                Some(why) => columns.wrong.push(format!("what waits: {why}")),
            }
        }
        if wish.is_none() || columns.trouble().is_some() {
            let why = columns.trouble().unwrap_or_default();
            unreadable.push(Unreadable::of(&text, format!("its wish cannot be read: {why}")));
        }
        wishes.extend(wish.map(|wish| (wish, waiting)));
    }
    Ok(wishes)
}

/// A wish of which a part cannot be read is one to run, of which nothing can be submitted.
fn read(uid: Uid, columns: &mut Columns<'_>) -> StoredWish {
    let (word, json): (String, Option<String>) = (columns.get(5, "want"), columns.get(4, "workload"));
    let known = want(&word).ok_or_else(|| format!("{word:?} means nothing"));
    let want = columns.made("want", known).unwrap_or(Want::Run);
    let workload = json.map(|json| serde_json::from_str::<Option<Workload>>(&json)).transpose();
    let workload = columns.made("workload", workload).flatten().flatten();
    if want == Want::Run && workload.is_none() && columns.wrong.is_empty() {
        columns.wrong.push("workload: there is none".to_owned());
    }
    let known = columns.wrong.len();
    let owner: Option<String> = columns.get(9, "owner");
    // What belongs to nobody known is not everybody's.
    let owner = if columns.wrong.len() > known { Some(String::new()) } else { owner };
    StoredWish {
        uid,
        door: columns.get(1, "door"),
        namespace: columns.get(2, "namespace"),
        name: columns.get(3, "name"),
        workload: workload.map(Arc::new),
        want,
        not_before: columns.get(6, "not_before"),
        inherited: columns.get(7, "inherited"),
        collected: columns.get(8, "collected"),
        owner,
    }
}

fn word(want: Want) -> &'static str {
    match want {
        Want::Run => "run",
        Want::Gone => "gone",
        Want::Tombstone => "tombstone",
    }
}

fn want(word: &str) -> Option<Want> {
    match word {
        "run" => Some(Want::Run),
        "gone" => Some(Want::Gone),
        "tombstone" => Some(Want::Tombstone),
        _ => None,
    }
}
