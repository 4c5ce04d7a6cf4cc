//! `/create`: a pod is taken in. What is answered with 200 is durable, and so is a refusal: callers ask
//! for a pod that was refused, and bring it again after a restart. Nothing of it hangs on the caller's
//! staying.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::{Extension, Json};
use htc_core::workload::names::Uid;
use htc_core::workload::progress::{End, Outcome, Progress};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde_json::Value;
use tokio::time::timeout;

use super::allowance::Kind;
use super::bodies::Call;
use super::owner::check_namespace;
use super::words::{Brought, CreateStruct};
use super::{DOOR, Door, annotations, dummy, jid, job_script, panicked, refused};
use crate::engine::{Settled, View, Want, Wish, WishError};
use crate::http::callers::Caller;
use crate::http::error::HttpError;
use crate::pod::delivered::Delivered;
use crate::pod::{Refusal, Translated, in_brief, translate};

pub(super) async fn create(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<CreateStruct>, HttpError> {
    let Call { items: mut pods, share, is_large } = door.brought.read::<Brought>(request).await?;
    let (Some(brought), true) = (pods.pop(), pods.is_empty()) else {
        return Err(HttpError::BadRequest("one pod is brought at a time".to_owned()));
    };
    let taking = take(door.clone(), caller, brought, is_large);
    let taken = tokio::spawn(async move {
        let answer = taking.await;
        drop(share);
        answer
    });
    let answer = match timeout(door.settings.taking_patience, taken).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => Err(panicked("taking a pod in", &why)),
        // It goes on, and who brings the pod again learns what became of it.
        Err(_) => Err(HttpError::NotReady("the pod is still being taken in; the disk is slow")),
    };
    door.count(match &answer {
        Ok(_) => "created",
        Err(HttpError::BadRequest(_) | HttpError::Conflict(_) | HttpError::Forbidden(_)) => "refused",
        Err(_) => "failed",
    });
    let uid = answer?;
    door.heard.answered(&uid);
    Ok(Json(CreateStruct { pod_jid: jid(uid.as_str()), pod_uid: uid.into() }))
}

/// Lines in the log about one pod: it may have any number of annotations and settings that have no effect.
const NOTES_LOGGED: usize = 20;

/// A pod that has what nothing can be done without.
struct Named {
    uid: Uid,
    namespace: String,
    name: String,
    pod: Pod,
}

/// Takes a pod in, or finds it taken in.
async fn take(door: Arc<Door>, caller: Caller, brought: Brought, is_large: bool) -> Result<Uid, HttpError> {
    let Brought { pod, container, configmaps, secrets, projectedvolumesmaps, job_script, job_config } =
        brought;
    let named = named(pod)?;
    check_namespace(&caller, &named.namespace)?;
    let mut delivered = Delivered::default();
    for list in container {
        configs(&mut delivered, list.config_maps, list.secrets, list.projected);
    }
    configs(&mut delivered, configmaps, secrets, projectedvolumesmaps);
    let uid = named.uid.clone();
    door.heard.brought(&uid, Instant::now());
    let _turn = door.turns.take(&uid).await;
    if let Some(view) = door.engine.view(&uid) {
        door.check_owner(&caller, &uid, view.owner.as_deref())?;
        return repeated(&view).map(|()| uid);
    }
    if door.heard.is_lost(&uid) {
        return Err(lost());
    }
    let (namespace, name) = (named.namespace.clone(), named.name.clone());
    let carried = Carried { named, owner: caller.owner(), delivered, job_script, job_config };
    let Decided { wish, refusal, notes } = if is_large {
        let door = door.clone();
        let decided = tokio::task::spawn_blocking(move || decide(&door, carried)).await;
        decided.map_err(|why| panicked(format_args!("translating the pod {uid}"), &why))?
    } else {
        decide(&door, carried)
    };
    if let Some(sentence) = refusal.as_ref().filter(|_| !door.allowance.take(Kind::Refused, &caller)) {
        // It is not kept, so questions after it are answered as those after a pod that nobody brought.
        door.heard.turned_away(&uid);
        tracing::warn!(%uid, namespace, name, %caller, sentence, "of this caller too many pods were refused today");
        return Err(HttpError::BadRequest(sentence.clone()));
    }
    door.engine.run(wish).await.map_err(|why| match why {
        WishError::Deleted(_) => deleted(),
        WishError::Taken(..) => taken(),
        why @ (WishError::Full | WishError::Store(_)) => {
            tracing::error!(%why, %uid, namespace, name, "failed to keep a pod");
            HttpError::Internal
        }
    })?;
    let more = notes.len().saturating_sub(NOTES_LOGGED);
    for note in notes.into_iter().take(NOTES_LOGGED).map(in_brief) {
        tracing::info!(%uid, namespace, name, note, "of this pod something is left out");
    }
    if more > 0 {
        tracing::info!(%uid, namespace, name, more, "of this pod more is left out");
    }
    match refusal {
        None => {
            tracing::info!(%uid, namespace, name, %caller, "took a pod in");
            Ok(uid)
        }
        Some(sentence) => {
            tracing::info!(%uid, namespace, name, %caller, sentence, "refused a pod");
            Err(HttpError::BadRequest(sentence))
        }
    }
}

/// A pod, and all that came with it.
struct Carried {
    named: Named,
    /// Whose it is.
    owner: Option<String>,
    delivered: Delivered,
    job_script: String,
    job_config: Value,
}

/// What is to be done for a pod.
struct Decided {
    wish: Wish,
    /// Why it is refused, if it is.
    refusal: Option<String>,
    /// What of it is left out.
    notes: Vec<String>,
}

fn decide(door: &Door, carried: Carried) -> Decided {
    let Carried { mut named, owner, delivered, job_script, job_config } = carried;
    let mut notes = job_script::ignored(&job_config);
    match translated(door, &mut named, &delivered, &job_script, &mut notes) {
        Ok(wish) => Decided { wish: Wish { owner, ..wish }, refusal: None, notes },
        Err(refusal) => {
            let sentence = refusal.to_string();
            let wish = Wish { owner, ..refused_wish(&named, &sentence) };
            Decided { wish, refusal: Some(sentence), notes }
        }
    }
}

/// Whether a pod that is known is taken in.
fn repeated(view: &View) -> Result<(), HttpError> {
    if view.door != DOOR {
        return Err(taken());
    }
    if view.want != Want::Run {
        return Err(deleted());
    }
    match view.jobs.first().map(|job| &job.progress) {
        // By us before it was one, or by the pool: nobody wants to wait to hear it again.
        Some(Progress::Ended { job: None, end: End { outcome: Outcome::SubmitRefused, message, .. } }) => {
            Err(HttpError::BadRequest(message.clone()))
        }
        _ => Ok(()),
    }
}

/// An HTCJob has this UID.
pub(super) fn taken() -> HttpError {
    HttpError::Conflict("this UID belongs to something that is no pod".to_owned())
}

/// The pod was taken away before it came, or for ever: to accept it would start what nobody will end.
fn deleted() -> HttpError {
    HttpError::Conflict("this pod has been deleted here, and a UID is not used twice".to_owned())
}

/// Its caller has made something else of it by now, and would not hear what becomes of it here.
fn lost() -> HttpError {
    HttpError::Conflict(
        "this pod has been told as lost, since it was asked for and not brought for too long; make a new one"
            .to_owned(),
    )
}

fn named(pod: Option<Pod>) -> Result<Named, HttpError> {
    let bad = |why: String| HttpError::BadRequest(why);
    let pod = pod.ok_or_else(|| bad("the request has no pod".to_owned()))?;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let uid: Uid = uid.parse().map_err(|why| bad(format!("metadata.uid: {why}")))?;
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let name = pod.metadata.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| uid.to_string());
    for (field, text) in [("namespace", &namespace), ("name", &name)] {
        // It is shown in HTCondor's queue, and split at blanks on its way there.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if text.len() > 253 || !text.chars().all(plain) {
            return Err(bad(format!("metadata.{field}: this is no name of Kubernetes")));
        }
    }
    Ok(Named { uid, namespace, name, pod })
}

fn configs(
    delivered: &mut Delivered,
    config_maps: Vec<ConfigMap>,
    secrets: Vec<Secret>,
    projected: Vec<ConfigMap>,
) {
    config_maps.into_iter().for_each(|map| delivered.add_config_map(map));
    secrets.into_iter().for_each(|secret| delivered.add_secret(secret));
    projected.into_iter().for_each(|map| delivered.add_projected(map));
}

fn translated(
    door: &Door,
    named: &mut Named,
    delivered: &Delivered,
    script: &str,
    notes: &mut Vec<String>,
) -> Result<Wish, Refusal> {
    annotations::apply(&mut named.pod, notes)?;
    let Translated { mut workload, notes: more } = translate(&named.pod, delivered, &door.settings.pods)?;
    notes.extend(more);
    if !script.trim().is_empty() {
        job_script::replace(&mut workload, script, door.settings.job_scripts)?;
    }
    if door.settings.dummy_job {
        dummy::replace(&mut workload);
    }
    Ok(wish(named, workload, Vec::new()))
}

/// A wish that nothing is left to do for: it says for ever why.
fn refused_wish(named: &Named, sentence: &str) -> Wish {
    let end = End { outcome: Outcome::SubmitRefused, message: sentence.to_owned(), at: Timestamp::now() };
    let settled = Settled { index: 0, end };
    wish(named, refused::workload(&named.pod), vec![settled])
}

fn wish(named: &Named, workload: htc_core::workload::Workload, settled: Vec<Settled>) -> Wish {
    Wish {
        uid: named.uid.clone(),
        door: DOOR,
        namespace: named.namespace.clone(),
        name: named.name.clone(),
        workload,
        // Callers bring a pod again without saying so; the first look adopts what is in the queue.
        seen_before: false,
        settled,
        owner: None,
    }
}
