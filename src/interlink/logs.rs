//! `/getLogs`: the log of a container, as plain text, headers at once. A code other than 200 reaches the
//! user as a number only, so what concerns a pod that is known here is said in a line of text instead.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use futures::{StreamExt, stream};
use htc_core::workload::names::Uid;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::{Sender, channel};
use tokio_util::task::AbortOnDropHandle;

use super::followers::Follower;
use super::words::{LogOpts, LogStruct};
use super::{DOOR, Door};
use crate::engine::{LogOptions, Piece, View, Wanted};
use crate::http::callers::Caller;
use crate::http::error::HttpError;

/// Pieces that wait for a slow caller.
const PIECES: usize = 4;

pub(super) async fn logs(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Body, HttpError> {
    let mut asked = door.asked.read::<LogStruct>(request).await?.items;
    let asked = asked.pop().ok_or_else(|| HttpError::BadRequest("the request names no log".to_owned()))?;
    let wanted = find(&door, &caller, asked, Timestamp::now())?;
    door.count("logs");
    let follower = wanted.options.follow.then(|| door.followers.join(&wanted.uid, &wanted.container));
    let (out, pieces) = channel(PIECES);
    let work = AbortOnDropHandle::new(tokio::spawn(read(door, wanted, follower, out)));
    let pieces = stream::unfold((pieces, work), |(mut pieces, work)| async move {
        let piece: Option<Bytes> = pieces.recv().await;
        piece.map(|piece| (Ok::<_, Infallible>(piece), (pieces, work)))
    });
    Ok(Body::from_stream(pieces))
}

/// The log that is asked for; a sentence where there is none and will be none.
fn find(door: &Door, caller: &Caller, asked: LogStruct, now: Timestamp) -> Result<Wanted, HttpError> {
    let LogStruct { namespace, pod_uid, pod_name, container_name, opts } = asked;
    for (field, text) in
        [("Namespace", &namespace), ("PodName", &pod_name), ("ContainerName", &container_name)]
    {
        check(field, text)?;
    }
    let uid: Uid = pod_uid.parse().map_err(|why| HttpError::BadRequest(format!("PodUID: {why}")))?;
    let unknown = || HttpError::NotFound("no such pod is known here".to_owned());
    let view = door.engine.view(&uid).filter(|view| view.door == DOOR).ok_or_else(unknown)?;
    door.check_owner(caller, &uid, view.owner.as_deref())?;
    let container = container(&view, container_name)?;
    Ok(Wanted { uid, index: 0, container, options: options(&opts, now)? })
}

/// Names come from outside, and become parts of file names.
fn check(field: &str, text: &str) -> Result<(), HttpError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match text.len() <= 253 && text.chars().all(plain) && !text.starts_with('.') {
        true => Ok(()),
        false => Err(HttpError::BadRequest(format!("{field}: this is no name of Kubernetes"))),
    }
}

/// The container of this name; the first where none is named.
fn container(view: &View, name: String) -> Result<String, HttpError> {
    let Some(workload) = &view.workload else {
        return Err(HttpError::NotFound("the pod has been deleted here, and its logs with it".to_owned()));
    };
    let mut all = workload.containers.iter().chain(&workload.init_containers).map(|c| &c.name);
    let found = if name.is_empty() { all.next() } else { all.find(|known| **known == name) };
    found.cloned().ok_or_else(|| HttpError::NotFound("the pod has no such container here".to_owned()))
}

fn options(opts: &LogOpts, now: Timestamp) -> Result<LogOptions, HttpError> {
    let LogOpts { tail, bytes, timestamps, follow, previous, since_seconds, since_time } = opts;
    let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
    let moment = match since_time.as_str() {
        "" => None,
        text => {
            let moment: Timestamp = text.parse().map_err(|_| {
                HttpError::BadRequest("Opts.SinceTime: this is no time like 2026-01-01T00:00:00Z".to_owned())
            })?;
            // Go writes a time that is not set as the first of the year 1.
            (moment > Timestamp::UNIX_EPOCH).then_some(moment)
        }
    };
    let seconds = positive(*since_seconds).and_then(|seconds| i64::try_from(seconds).ok());
    let ago = seconds.and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds)).ok());
    Ok(LogOptions {
        tail: positive(*tail),
        since: moment.max(ago),
        timestamps: *timestamps,
        limit_bytes: positive(*bytes),
        previous: *previous,
        follow: *follow,
    })
}

/// Reads a log into `out`, as long as somebody takes it.
async fn read(door: Arc<Door>, wanted: Wanted, follower: Option<Follower>, out: Sender<Bytes>) {
    let mut pieces = pin!(door.engine.logs(wanted));
    loop {
        tokio::select! {
            piece = pieces.next() => {
                let text = match piece {
                    None | Some(Ok(Piece::Closed)) => return,
                    Some(piece) => text(piece, follower.is_some()),
                };
                if !text.is_empty() && !send(&out, text, follower.as_ref()).await {
                    return;
                }
            }
            () = left(follower.as_ref()) => return,
            () = out.closed() => return,
        }
    }
}

/// Gives it to the caller; false when he has left, or has to.
async fn send(out: &Sender<Bytes>, text: Bytes, follower: Option<&Follower>) -> bool {
    let taken = tokio::select! {
        sent = out.send(text) => sent.is_ok(),
        () = left(follower) => false,
    };
    if let Some(follower) = follower {
        follower.is_alive();
    }
    taken
}

/// What is sent of a piece. Who follows wants the log and nothing else; who does not is told why there
/// is none.
fn text(piece: Result<Piece, crate::engine::LogError>, follows: bool) -> Bytes {
    match piece {
        Ok(Piece::Log(bytes)) => bytes.into(),
        Ok(Piece::Notice(_) | Piece::Closed) => Bytes::new(),
        Err(_) if follows => Bytes::new(),
        // Pods have one index, and nobody counts it.
        Err(why) => format!("{}\n", why.to_string().replace("index 0", "the pod")).into(),
    }
}

async fn left(follower: Option<&Follower>) {
    match follower {
        Some(follower) => follower.must_leave().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_set_is_not_wanted() {
        let unset = LogOpts { since_time: "0001-01-01T00:00:00Z".to_owned(), ..LogOpts::default() };
        for opts in [LogOpts::default(), unset] {
            let options = options(&opts, at("2026-01-01T00:00:00Z")).unwrap();
            assert_eq!((options.tail, options.limit_bytes, options.since), (None, None, None));
        }
    }

    #[test]
    fn all_that_is_set_counts_together() {
        let opts = LogOpts {
            tail: 5,
            bytes: 100,
            timestamps: true,
            follow: true,
            previous: true,
            since_seconds: 60,
            since_time: "2025-12-31T23:59:30Z".to_owned(),
        };
        let now = at("2026-01-01T00:00:00Z");
        let options = options(&opts, now).unwrap();
        assert_eq!((options.tail, options.limit_bytes), (Some(5), Some(100)));
        assert!(options.timestamps && options.follow && options.previous);
        assert_eq!(options.since, Some(at("2025-12-31T23:59:30Z")), "the later of both");
        let earlier = LogOpts { since_time: "2020-01-01T00:00:00Z".to_owned(), ..opts };
        let options = super::options(&earlier, now).unwrap();
        assert_eq!(options.since, Some(at("2025-12-31T23:59:00Z")));
    }

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        for bad in ["../x", "a/b", "a b", ".hidden", "a\0b", &"x".repeat(300)] {
            assert!(check("ContainerName", bad).is_err(), "{bad:?}");
        }
        assert!(check("ContainerName", "").is_ok() && check("PodName", "a-b.c").is_ok());
    }
}
