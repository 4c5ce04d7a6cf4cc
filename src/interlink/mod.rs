//! The door for InterLink: virtual kubelets, or the InterLink API server in front of them, bring pods,
//! ask for them, and take them away. One route is one file. Whoever calls is answered 200, or one
//! plain sentence, whatever the method: the released clients differ in it.

mod allowance;
mod annotations;
mod bodies;
mod cache;
mod create;
pub mod credential;
mod delete;
mod dummy;
mod followers;
mod heard;
mod job_script;
mod keeper;
pub mod legacy;
mod logs;
mod owner;
mod ping;
mod refused;
pub mod run_files;
mod status;
mod system_info;
mod turns;
mod version;
pub mod words;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures::FutureExt;
use htc_core::workload::names::Uid;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinError;

use crate::engine::Engine;
use crate::http::descriptors::room_at_most;
use crate::http::error::HttpError;
use crate::limits::{
    CALLERS, FOLLOWERS_SHARE, GIVEN_UP_AFTER, ORPHAN_AFTER, SILENT_CALLERS, TAKING_PATIENCE, UNKNOWN_WAITS,
};
use crate::metrics::Metrics;
use crate::pod;
use allowance::Allowance;
use bodies::Bodies;
use followers::Followers;
use heard::Heard;
use turns::Turns;

/// The name of this door in wishes.
pub const DOOR: &str = "interlink";

/// What a site decides about this door.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it decides about pods. Whatever it says of the restart policy: this door takes any.
    pub pods: pod::Settings,
    /// How long a pod that nobody brought is told as waiting, from the first question after it, before
    /// it is told as lost: its `/create` may still be on its way.
    pub unknown_waits: Duration,
    /// A pod that nobody has asked for in so long, while others were asked for, is taken away; zero:
    /// never.
    pub orphan_after: Duration,
    /// The same for a pod whose `/create` had no good answer, and that nobody has asked for since: its
    /// caller takes it for failed, and something else runs in its place. Not longer than `orphan_after`.
    /// After the same time the end of a pod counts as told, also where nothing is ever taken away.
    pub given_up_after: Duration,
    /// When nobody has asked for anything for so long, callers are away, and no pod is taken away for want of
    /// questions.
    pub away_after: Duration,
    /// A `/create` is answered within this time, done or not.
    pub taking_patience: Duration,
    /// Whether containers of a pod that has not begun are told without any state: virtual kubelets before
    /// 0.6.1 show a pod as running whose containers wait. The reason why they wait is lost to them then.
    pub queued_without_state: bool,
    /// Says what is wrong with the credential of this process: the ping fails for as long.
    pub ping_check: Option<PingCheck>,
    /// Whether a `jobScript` that comes with a pod is run in the place of its containers.
    pub job_scripts: bool,
    /// Whether a sleep runs in the place of each pod's containers.
    pub dummy_job: bool,
    /// Whether each caller who is let in may do to a pod what the one may who brought it.
    pub shared_pods: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            pods: pod::Settings::default(),
            unknown_waits: UNKNOWN_WAITS,
            orphan_after: ORPHAN_AFTER,
            given_up_after: GIVEN_UP_AFTER,
            away_after: SILENT_CALLERS,
            taking_patience: TAKING_PATIENCE,
            queued_without_state: false,
            ping_check: None,
            job_scripts: false,
            dummy_job: false,
            shared_pods: false,
        }
    }
}

/// Says in a sentence why a ping must fail; nothing as long as it must not. It is asked at each ping.
#[derive(Clone)]
pub struct PingCheck(pub Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl fmt::Debug for PingCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PingCheck")
    }
}

/// What the routes share.
pub struct Door {
    engine: Engine,
    settings: Settings,
    metrics: Arc<Metrics>,
    /// The bodies of `/create`, which are there until the disk has them, and of all other calls.
    brought: Bodies,
    asked: Bodies,
    turns: Turns,
    heard: Heard,
    allowance: Allowance,
    followers: Followers,
    told: UnboundedSender<Uid>,
    /// The other end of `told`, until [`Door::run`] takes it.
    ends: tokio::sync::Mutex<UnboundedReceiver<Uid>>,
}

impl Door {
    /// A door into this engine.
    pub fn new(engine: Engine, mut settings: Settings, metrics: Arc<Metrics>) -> Arc<Door> {
        settings.pods.any_restart_policy = true;
        let (told, ends) = unbounded_channel();
        Arc::new(Door {
            engine,
            heard: Heard::new(settings.away_after, Instant::now()),
            settings,
            brought: Bodies::to_be_kept(),
            asked: Bodies::of_questions(),
            turns: Turns::default(),
            allowance: Allowance::default(),
            followers: Followers::new(room_at_most(CALLERS) / FOLLOWERS_SHARE, metrics.clone()),
            metrics,
            told,
            ends: tokio::sync::Mutex::new(ends),
        })
    }

    /// The caller knows the ends of these pods now, or will when he has read the answer.
    fn tell(&self, pods: Vec<Uid>) {
        for uid in pods {
            // Without housekeeping nobody listens: the next answer tells it again.
            let _ = self.told.send(uid);
        }
    }

    fn count(&self, what: &'static str) {
        self.metrics.interlink_calls.get_or_create(&what.into()).inc();
    }
}

/// All routes, for virtual kubelets and API servers alike.
pub fn router(door: Arc<Door>) -> Router {
    let nothing = || async {
        HttpError::NotFound(
            "nothing is here; InterLink has /create, /status, /delete and /getLogs".to_owned(),
        )
    };
    Router::new()
        .route("/create", any(create::create))
        .route("/status", any(status::status))
        .route("/delete", any(delete::delete))
        .route("/getLogs", any(logs::logs))
        .route("/pinglink", any(ping::ping))
        .route("/updateCache", any(cache::update))
        .route("/system-info", any(system_info::system_info))
        .route("/version", any(version::version))
        .fallback(nothing)
        .layer(from_fn(answer_always))
        .with_state(door)
}

/// A caller that gets no answer publishes its own token in the pod's status, so even a panic is answered.
async fn answer_always(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let answer = answer.unwrap_or_else(|_| {
        tracing::error!(path, "a call has panicked");
        HttpError::Internal.into_response()
    });
    tracing::debug!(path, status = answer.status().as_u16(), "answered");
    answer
}

/// The answer where a task of ours has panicked instead of doing this.
fn panicked(what: impl fmt::Display, why: &JoinError) -> HttpError {
    tracing::error!(%why, "{what} has panicked");
    HttpError::Internal
}

/// What callers know a pod's job by: it is told before the job is in the queue, and never changes.
fn jid(uid: &str) -> String {
    format!("htc-{uid}")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_call_that_panics_is_answered() {
        let broken = || async {
            if true {
                panic!("on purpose")
            }
        };
        let router: Router = Router::new().route("/", any(broken)).layer(from_fn(answer_always));
        let answer = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
