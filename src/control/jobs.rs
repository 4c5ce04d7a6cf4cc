//! `GET /jobs`: what is known of all jobs, a JSON line each. Made in pieces as the caller takes them,
//! so that neither we nor the board hold a long table.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use futures::stream;
use htc_core::workload::names::{JobKey, Uid};
use htc_core::workload::progress::{Outcome, Progress};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::find::find;
use super::trouble::TroubleLine;
use crate::engine::{Counts, Engine, IndexRow, JobRow, Tracking, WorkloadRow, holds};
use crate::http::error::HttpError;

/// Indices that are read under one lock of the board.
const INDICES: u32 = 500;

/// Lines are handed over when they have so many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Which lines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JobsQuery {
    /// The door that wished them, `htcjob` or `interlink`; any without.
    pub door: Option<String>,
    /// Only objects of this namespace.
    pub namespace: Option<String>,
    /// Only this object: a line for each index.
    pub name: Option<String>,
    /// Only the object with this UID: a line for each index.
    pub uid: Option<Uid>,
    /// Only objects in this phase.
    pub phase: Option<String>,
    /// Only indices in this state: a line for each, whatever object.
    pub state: Option<String>,
    /// At most so many lines.
    pub limit: Option<u64>,
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// The first line: why the others may be old.
    Trouble(TroubleLine),
    /// An object in numbers.
    Object(ObjectLine),
    /// An index of an object.
    Index(Box<IndexLine>),
    /// The last line, when there were more than asked for: how many more.
    More(u64),
}

/// An object in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the words are those of the table")]
pub struct ObjectLine {
    pub door: String,
    pub namespace: String,
    pub name: String,
    pub uid: Uid,
    pub phase: String,
    pub copies: u32,
    pub waiting: u32,
    pub submitting: u32,
    pub queued: u32,
    pub running: u32,
    pub held: u32,
    pub succeeded: u32,
    pub failed: u32,
}

/// An index of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexLine {
    /// The door that wished it.
    pub door: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
    /// The index.
    pub index: u32,
    /// One word for where it is.
    pub state: String,
    /// HTCondor's id, once it has one.
    pub job: Option<String>,
    /// How often the pool has started it.
    pub starts: u32,
    /// The exit code, where there is one.
    pub exit_code: Option<i32>,
    /// Since when it is in its state, where that is known.
    pub since: Option<Timestamp>,
    /// A word for why it is held or has ended.
    pub reason: Option<String>,
    /// A sentence for the same.
    pub message: Option<String>,
    /// The key of its job.
    pub key: Option<JobKey>,
    /// Where its files come home to.
    pub folder: Option<String>,
    /// Whether they are there.
    pub home: bool,
}

pub(super) async fn jobs(
    State(engine): State<Engine>,
    Query(query): Query<JobsQuery>,
) -> Result<Body, HttpError> {
    let uids = match (&query.uid, &query.namespace, &query.name) {
        (Some(uid), ..) => vec![uid.clone()],
        (None, Some(namespace), Some(name)) => {
            vec![find(&engine, query.door.as_deref(), namespace, name)?]
        }
        _ => engine.table(query.door.as_deref()),
    };
    let table = Table { engine, query, uids: uids.into_iter(), open: None, lines: 0 };
    let first = table.first();
    let lines = stream::unfold((Some(first), table), |(first, mut table)| async move {
        let piece = first.or_else(|| table.piece())?;
        Some((Ok::<_, Infallible>(Bytes::from(piece)), (None, table)))
    });
    Ok(Body::from_stream(lines))
}

/// A table on its way.
struct Table {
    engine: Engine,
    query: JobsQuery,
    uids: std::vec::IntoIter<Uid>,
    /// The object whose indices are being told, and the next of them.
    open: Option<(WorkloadRow, u32)>,
    /// Lines so far, those above the limit too.
    lines: u64,
}

impl Table {
    fn first(&self) -> Vec<u8> {
        text(&Line::Trouble(TroubleLine::of(&self.engine)))
    }

    /// The next lines; nothing when there are no more.
    fn piece(&mut self) -> Option<Vec<u8>> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES {
            if let Some((object, from)) = self.open.take() {
                self.indices(object, from, &mut piece);
            } else if let Some(uid) = self.uids.next() {
                self.object(&uid, &mut piece);
            } else {
                return if piece.is_empty() { self.last() } else { Some(piece) };
            }
        }
        Some(piece)
    }

    fn object(&mut self, uid: &Uid, piece: &mut Vec<u8>) {
        let Some(row) = self.engine.workload_row(uid).filter(|row| self.query.wants(row)) else { return };
        if self.query.is_of_indices() {
            self.open = Some((row, 0));
        } else {
            self.push(&Line::Object(object_line(&row)), piece);
        }
    }

    fn indices(&mut self, object: WorkloadRow, from: u32, piece: &mut Vec<u8>) {
        let rows = self.engine.index_rows(&object.uid, from, INDICES);
        for row in &rows {
            let line = index_line(&object, row);
            if self.query.state.as_ref().is_none_or(|state| state.eq_ignore_ascii_case(&line.state)) {
                self.push(&Line::Index(Box::new(line)), piece);
            }
        }
        if !rows.is_empty() {
            self.open = Some((object, from.saturating_add(INDICES)));
        }
    }

    fn push(&mut self, line: &Line, piece: &mut Vec<u8>) {
        self.lines += 1;
        if self.query.limit.is_none_or(|limit| self.lines <= limit) {
            piece.extend(text(line));
        }
    }

    fn last(&mut self) -> Option<Vec<u8>> {
        let more = self.lines.saturating_sub(self.query.limit.take()?);
        (more > 0).then(|| text(&Line::More(more)))
    }
}

impl JobsQuery {
    /// Whether the answer has a line for each index, and not one for each object.
    pub fn is_of_indices(&self) -> bool {
        self.name.is_some() || self.uid.is_some() || self.state.is_some()
    }

    fn wants(&self, row: &WorkloadRow) -> bool {
        let JobsQuery { door, namespace, name, uid: _, phase: wanted, state: _, limit: _ } = self;
        door.as_ref().is_none_or(|door| *door == row.door)
            && namespace.as_ref().is_none_or(|namespace| *namespace == row.namespace)
            && name.as_ref().is_none_or(|name| *name == row.name)
            && wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(phase(row)))
    }
}

fn text(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).expect("a line is plain data");
    text.push(b'\n');
    text
}

fn object_line(row: &WorkloadRow) -> ObjectLine {
    let WorkloadRow { uid, door, namespace, name, deleting: _, indices, counts } = row;
    let Counts { submitting, queued, running, held, succeeded, failed } = *counts;
    ObjectLine {
        door: door.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        uid: uid.clone(),
        phase: phase(row).to_owned(),
        copies: *indices,
        waiting: indices.saturating_sub(counts.jobs()),
        submitting,
        queued,
        running,
        held,
        succeeded,
        failed,
    }
}

/// The phase that its status shows.
fn phase(row: &WorkloadRow) -> &'static str {
    let Counts { submitting: _, queued, running, held, succeeded, failed } = row.counts;
    let over = succeeded + failed;
    match () {
        () if row.deleting => "Deleting",
        // What cannot be read has no copies.
        () if row.indices == 0 => "Pending",
        () if over == row.indices && failed > 0 => "Failed",
        () if over == row.indices => "Succeeded",
        () if running > 0 => "Running",
        () if held > 0 => "Held",
        () if queued + over > 0 => "Submitted",
        () => "Pending",
    }
}

fn index_line(object: &WorkloadRow, row: &IndexRow) -> IndexLine {
    let IndexRow { index, job } = row;
    let end = job.as_ref().and_then(|job| job.progress.end());
    let (reason, message) = why(job.as_ref());
    IndexLine {
        door: object.door.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        uid: object.uid.clone(),
        index: *index,
        state: state(job.as_ref()).to_owned(),
        job: job.as_ref().and_then(JobRow::id).map(|id| id.to_string()),
        starts: job.as_ref().map_or(0, |job| job.starts),
        exit_code: end.and_then(|end| end.outcome.exit_code()),
        since: job.as_ref().and_then(JobRow::since),
        reason,
        message,
        key: job.as_ref().map(|job| job.key.clone()),
        folder: job.as_ref().map(|job| job.folder.clone()),
        home: job.as_ref().is_some_and(|job| job.home),
    }
}

fn state(job: Option<&JobRow>) -> &'static str {
    match job.map(|job| &job.progress) {
        None => "Waiting",
        Some(Progress::Submitting { .. }) => "Submitting",
        Some(Progress::Queued { .. }) => "Queued",
        Some(Progress::Running { .. }) => "Running",
        Some(Progress::Suspended { .. }) => "Suspended",
        Some(Progress::Held { .. }) => "Held",
        Some(Progress::Ended { end, .. }) if end.outcome == Outcome::Succeeded => "Succeeded",
        Some(Progress::Ended { .. }) => "Failed",
    }
}

fn why(job: Option<&JobRow>) -> (Option<String>, Option<String>) {
    let words =
        |reason: String, message: &str| (Some(reason), (!message.is_empty()).then(|| message.to_owned()));
    match job.map(|job| &job.tracking) {
        Some(Tracking::Missing) => return words("Missing".to_owned(), "it is not in HTCondor's queue"),
        Some(Tracking::Unreadable(attribute)) => {
            return words("AdUnreadable".to_owned(), &format!("{attribute} of its ad cannot be read"));
        }
        Some(Tracking::Good | Tracking::Partly(_)) | None => {}
    }
    match job.map(|job| &job.progress) {
        Some(Progress::Held { code, subcode, reason, .. }) => {
            let (sentence, remedy) = (reason.trim_end_matches('.'), holds::remedy(*code, *subcode));
            let told = format!("{sentence} (hold code {code}, subcode {subcode}). {remedy}");
            words(holds::name(*code).into_owned(), &told)
        }
        Some(Progress::Ended { end, .. }) => words(end.outcome.reason().to_owned(), &end.message),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use htc_core::workload::progress::{End, JobId};

    use super::*;

    const ID: JobId = JobId { cluster: 12, proc: 3 };

    fn object(indices: u32, counts: Counts, deleting: bool) -> WorkloadRow {
        let (namespace, name) = ("default".to_owned(), "x".to_owned());
        let door = "test".to_owned();
        WorkloadRow { uid: "u".parse().unwrap(), door, namespace, name, deleting, indices, counts }
    }

    fn index(progress: Option<Progress>) -> IndexLine {
        let job = progress.map(|progress| JobRow {
            key: "u/4/0/0".parse().unwrap(),
            progress,
            starts: 2,
            folder: "/data/jobs/u/4.0.0".into(),
            home: true,
            tracking: Tracking::Good,
        });
        index_line(&object(9, Counts::default(), false), &IndexRow { index: 4, job })
    }

    #[test]
    fn an_object_is_told_in_the_numbers_of_its_indices() {
        let counts = Counts { submitting: 1, queued: 2, running: 0, held: 3, succeeded: 4, failed: 5 };
        let line = object_line(&object(20, counts, false));
        assert_eq!((line.copies, line.waiting, line.phase.as_str()), (20, 5, "Held"));
        assert_eq!((line.submitting, line.queued, line.held, line.succeeded, line.failed), (1, 2, 3, 4, 5));
        let phase = |indices, counts, deleting| phase(&object(indices, counts, deleting));
        let all = |succeeded, failed| Counts { succeeded, failed, ..Counts::default() };
        assert_eq!(phase(3, all(3, 0), false), "Succeeded");
        assert_eq!(phase(3, all(2, 1), false), "Failed");
        assert_eq!(phase(3, all(2, 0), false), "Submitted");
        assert_eq!(phase(3, all(0, 0), false), "Pending");
        assert_eq!(phase(3, Counts { running: 1, ..all(0, 1) }, false), "Running");
        assert_eq!(phase(3, all(3, 0), true), "Deleting");
    }

    #[test]
    fn an_index_is_told_with_what_exists_in_its_state() {
        let waiting = index(None);
        assert_eq!((waiting.state.as_str(), waiting.job, waiting.key), ("Waiting", None, None));
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let end = End { outcome: Outcome::ExitCode(4), message: "it said no".into(), at };
        let line = index(Some(Progress::Ended { job: Some(ID), end }));
        assert_eq!((line.state.as_str(), line.job.as_deref()), ("Failed", Some("12.3")));
        assert_eq!((line.exit_code, line.since, line.starts), (Some(4), Some(at), 2));
        assert_eq!((line.reason.as_deref(), line.message.as_deref()), (Some("Error"), Some("it said no")));
        let held = Progress::Held { job: ID, code: 33, subcode: 7, reason: "too much".into(), since: at };
        let held = index(Some(held));
        assert_eq!(held.reason.as_deref(), Some(&*holds::name(33)));
        let told = held.message.unwrap();
        assert!(told.starts_with("too much (hold code 33, subcode 7). ") && told.len() > 50, "{told}");
        assert_eq!(index(Some(Progress::Queued { job: ID })).reason, None);
    }
}
