//! `/delete`: nothing of a pod shall be left. Answered when that is durable: callers ask only once, and
//! some before they bring the pod.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use htc_core::workload::names::Uid;
use serde_json::json;
use tokio::time::timeout;

use super::allowance::Kind;
use super::bodies::Call;
use super::create::taken;
use super::words::Asked;
use super::{DOOR, Door, panicked};
use crate::http::callers::Caller;
use crate::http::error::HttpError;
use crate::limits::{DELETED_AT_ONCE, DELETED_KEPT};

pub(super) async fn delete(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, HttpError> {
    let Call { items: pods, share, is_large: _ } = door.asked.read::<Asked>(request).await?;
    let Some(first) = pods.first() else {
        return Err(HttpError::BadRequest("the request has no pod".to_owned()));
    };
    if pods.len() > DELETED_AT_ONCE {
        let (count, most) = (pods.len(), DELETED_AT_ONCE);
        return Err(HttpError::BadRequest(format!(
            "the request has {count} pods; delete at most {most} at once"
        )));
    }
    let answer = answer(first);
    let uid = |pod: &Asked| pod.metadata.uid.parse::<Uid>();
    let uids: Result<Vec<Uid>, _> = pods.iter().map(uid).collect();
    let uids = uids.map_err(|why| HttpError::BadRequest(format!("metadata.uid: {why}")))?;
    // What waits for the disk is in no question's way.
    drop((pods, share));
    for uid in uids {
        // It goes on when the caller leaves.
        let gone = tokio::spawn(take_away(door.clone(), caller.clone(), uid));
        match timeout(door.settings.taking_patience, gone).await {
            Ok(Ok(done)) => done?,
            Ok(Err(why)) => return Err(panicked("taking a pod away", &why)),
            Err(_) => return Err(HttpError::NotReady("the pod is still being taken away; the disk is slow")),
        }
    }
    door.count("deleted");
    Ok(answer)
}

async fn take_away(door: Arc<Door>, caller: Caller, uid: Uid) -> Result<(), HttpError> {
    let _turn = door.turns.take(&uid).await;
    if door.engine.door(&uid).is_some_and(|its| its != DOOR) {
        return Err(taken());
    }
    door.check_owner(&caller, &uid, door.engine.owner(&uid).as_deref())?;
    if door.engine.want(&uid).is_none() && !door.allowance.take(Kind::Unbrought, &caller) {
        // To say that it is gone would promise that it is refused when it comes.
        return Err(HttpError::Conflict(
            "this pod was never brought here, and this caller has deleted too many such pods today"
                .to_owned(),
        ));
    }
    // Who reads a log now shall read it to its end.
    door.engine.gone_later(&uid, DOOR, DELETED_KEPT).await.map_err(|why| {
        tracing::error!(%why, %uid, "failed to keep that a pod shall be gone");
        HttpError::Internal
    })?;
    tracing::info!(%uid, %caller, "a pod is taken away");
    Ok(())
}

/// An empty array is what every virtual kubelet can read; who sends less than a pod is a person with the
/// predecessor's recipe.
fn answer(pod: &Asked) -> Response {
    match &pod.spec {
        Some(_) => Json(json!([])).into_response(),
        None => {
            let (uid, name) = (&pod.metadata.uid, &pod.metadata.name);
            let answer = json!({ "message": "Pod successfully deleted", "podUID": uid, "podName": name });
            Json(answer).into_response()
        }
    }
}
