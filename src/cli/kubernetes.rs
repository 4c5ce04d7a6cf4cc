//! The client of Kubernetes: every silence of the API server has an end, and watches have a pace.

use std::collections::HashMap;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::http::{Request, Uri};
use futures::future::BoxFuture;
use kube::client::{Body, ClientBuilder};
use kube::config::InferConfigError;
use kube::{Client, Config};
use thiserror::Error;
use tokio::time::sleep;
use tower::{Layer, Service};

use crate::limits::{API_SILENCE, WATCH_GAP};

/// Why there is no client.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    /// No settings were found.
    #[error("failed to find a Kubernetes cluster; set KUBECONFIG: {0}")]
    Infer(#[from] InferConfigError),
    /// They cannot be used.
    #[error("the settings of the Kubernetes cluster cannot be used: {0}")]
    Settings(#[from] kube::Error),
}

/// A client of the cluster that kubectl would find.
pub(super) async fn client() -> Result<Client, ClientError> {
    let mut config = Config::infer().await?;
    // By default a request that is never answered is waited for without end.
    config.read_timeout = Some(API_SILENCE);
    config.reset_reader_on_write = true;
    // By default a request that is refused for now is kept for up to a quarter of an hour at a time, and nothing
    // is told. Who asked tries again, with pauses of its own.
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(&Pace).build())
}

/// Watches of a path begin [`WATCH_GAP`] apart: the library asks again at once for one that ended well, and some
/// proxies end each at once.
struct Pace;

struct Paced<S> {
    inner: S,
    next: HashMap<String, Instant>,
}

impl<S> Layer<S> for Pace {
    type Service = Paced<S>;

    fn layer(&self, inner: S) -> Paced<S> {
        Paced { inner, next: HashMap::new() }
    }
}

impl<S> Service<Request<Body>> for Paced<S>
where
    S: Service<Request<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pause = pause(&mut self.next, request.uri(), Instant::now());
        // Nothing is sent before it is polled.
        let answer = self.inner.call(request);
        Box::pin(async move {
            sleep(pause).await;
            answer.await
        })
    }
}

/// How long a request waits; `next` says when a watch of each path may begin.
fn pause(next: &mut HashMap<String, Instant>, uri: &Uri, now: Instant) -> Duration {
    if !uri.query().is_some_and(|query| query.split('&').any(|word| word == "watch=true")) {
        return Duration::ZERO;
    }
    let at = next.get(uri.path()).map_or(now, |at| now.max(*at));
    next.insert(uri.path().to_owned(), at + WATCH_GAP);
    at - now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_of_a_path_begin_apart_and_nothing_else_waits() {
        let (now, mut next) = (Instant::now(), HashMap::new());
        let mut pause = |uri: &str, now| pause(&mut next, &uri.parse().unwrap(), now);
        let (a, b) = ("/apis/a/htcjobs?limit=5&watch=true", "/apis/b/htcjobs?watch=true");
        assert_eq!([pause(a, now), pause(b, now)], [Duration::ZERO; 2]);
        assert_eq!([pause(a, now), pause(a, now)], [WATCH_GAP, WATCH_GAP * 2]);
        assert_eq!(pause(b, now + WATCH_GAP), Duration::ZERO);
        assert_eq!(pause("/apis/a/htcjobs?limit=5", now), Duration::ZERO);
        assert_eq!(pause("/apis/a/htcjobs", now), Duration::ZERO);
    }
}
