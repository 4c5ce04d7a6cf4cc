//! `GET /logs`: the log of a container of an ended job, as bytes.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use htc_core::workload::names::Uid;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::engine::{Engine, LogError, LogOptions, logs};
use crate::http::error::HttpError;

/// Which log, and how.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogQuery {
    /// The door that wished it: `htcjob`.
    pub door: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The index; may be left out when there is only one.
    pub index: Option<u32>,
    /// The container; `main` if left out.
    pub container: Option<String>,
    /// Only the last lines.
    pub tail: Option<u64>,
    /// Each line with its time.
    #[serde(default)]
    pub timestamps: bool,
}

pub(super) async fn logs(
    State(engine): State<Engine>,
    Query(query): Query<LogQuery>,
) -> Result<Body, HttpError> {
    let LogQuery { door, namespace, name, index, container, tail, timestamps } = query;
    let uid = engine
        .find(&door, &namespace, &name)
        .ok_or_else(|| HttpError::NotFound(format!("{namespace}/{name}: {}", LogError::UnknownWorkload)))?;
    let index = match index {
        Some(index) => index,
        None => only_index(&engine, &uid)?,
    };
    let container = container.as_deref().unwrap_or("main");
    let path = engine.log(&uid, index, container).await.map_err(|why| match why {
        LogError::NotEnded(_) | LogError::NoIndex(_) => HttpError::Conflict(why.to_string()),
        LogError::UnknownWorkload | LogError::NoFiles { .. } | LogError::NoContainer { .. } => {
            HttpError::NotFound(why.to_string())
        }
    })?;
    let file = std::fs::File::open(&path).map_err(|why| {
        tracing::error!(%why, path = %path.display(), "failed to open a log");
        HttpError::Internal
    })?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(64 << 10, Pipe(sender));
        // The only failure is that the caller has gone, or that the disk has: the body just ends.
        let _ = logs::copy(file, LogOptions { tail, timestamps }, &mut out);
    });
    let chunks = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|bytes| (Ok::<Bytes, io::Error>(bytes), receiver))
    });
    Ok(Body::from_stream(chunks))
}

fn only_index(engine: &Engine, uid: &Uid) -> Result<u32, HttpError> {
    let view = engine.view(uid);
    let count = view.map_or(0, |view| view.waiting + view.jobs.len() as u64);
    if count > 1 {
        let why = format!("the job has {count} indices; say which one: <namespace>/<name>/<index>");
        return Err(HttpError::BadRequest(why));
    }
    Ok(0)
}

/// Hands what is written to the response.
struct Pipe(mpsc::Sender<Bytes>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Bytes::copy_from_slice(bytes)).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
