//! `GET /logs`: the log of a container, as frames, as long as the caller stays.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use futures::StreamExt;
use htc_core::workload::names::Uid;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::find::find;
use super::frames::Frame;
use crate::engine::{Engine, LogError, LogOptions, Piece, Wanted};
use crate::http::error::HttpError;

/// Which log, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogQuery {
    /// The door that wished it, `htcjob` or `interlink`; any without.
    pub door: Option<String>,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The index; may be left out when there is only one.
    pub index: Option<u32>,
    /// The container; the first without.
    pub container: Option<String>,
    /// Only the last lines.
    pub tail: Option<u64>,
    /// Only what was written at this moment or later.
    pub since: Option<Timestamp>,
    /// Each line with its time.
    #[serde(default)]
    pub timestamps: bool,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// The log of the container's run before this one.
    #[serde(default)]
    pub previous: bool,
    /// Also what will be written.
    #[serde(default)]
    pub follow: bool,
}

pub(super) async fn logs(
    State(engine): State<Engine>,
    Query(query): Query<LogQuery>,
) -> Result<Body, HttpError> {
    let LogQuery {
        door,
        namespace,
        name,
        index,
        container,
        tail,
        since,
        timestamps,
        limit_bytes,
        previous,
        follow,
    } = query;
    let uid = find(&engine, door.as_deref(), &namespace, &name)?;
    let container = container.or_else(|| first_container(&engine, &uid)).unwrap_or_default();
    let index = index.map_or_else(|| only_index(&engine, &uid), Ok)?;
    let options = LogOptions { tail, since, timestamps, limit_bytes, previous, follow };
    let pieces = engine.logs(Wanted { uid, index, container, options });
    let frames = pieces.filter_map(async |piece| frame(piece));
    let frames = frames.map(|frame| Ok::<_, Infallible>(Bytes::from(frame.encode())));
    Ok(Body::from_stream(frames))
}

/// Who follows a log here follows it to the end of the job, which may start again.
fn frame(piece: Result<Piece, LogError>) -> Option<Frame> {
    match piece {
        Ok(Piece::Log(bytes)) => Some(Frame::Log(bytes)),
        Ok(Piece::Notice(text)) => Some(Frame::Notice(text)),
        Ok(Piece::Closed) => None,
        Err(why) => Some(Frame::Error(why.to_string())),
    }
}

fn first_container(engine: &Engine, uid: &Uid) -> Option<String> {
    let workload = engine.workload(uid)?;
    workload.containers.first().map(|container| container.name.clone())
}

fn only_index(engine: &Engine, uid: &Uid) -> Result<u32, HttpError> {
    let indices = engine.workload_row(uid).map_or(0, |row| row.indices);
    if indices > 1 {
        let why = format!(
            "the job has {indices} indices; say which one, from 0 to {}: <namespace>/<name>/<index>",
            indices - 1
        );
        return Err(HttpError::BadRequest(why));
    }
    Ok(0)
}
