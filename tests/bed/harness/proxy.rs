//! Between the operator and the API server: passes everything on until a test wants a fault.

use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use futures::{Stream, StreamExt, stream};
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch::{self, Receiver, Sender};

use super::bed::Bed;
use super::cluster;
use super::patience::until;

/// What the API server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It refuses everything with this code, and ends what is open.
    Refuses(u16),
    /// Something else answers in its place, with a page for people and this code.
    Page(u16),
    /// It has forgotten the versions that watches begin at; all else is well.
    Forgets,
    /// It ends each watch at once; all else is well.
    EndsWatches,
    /// It has vanished without a word: what is open stays open, and nothing comes. What was caught by that is
    /// never answered, also later.
    Silent,
}

/// What the test and the proxy share.
struct Shared {
    upstream: Client,
    fault: Sender<Fault>,
    requests: AtomicU64,
    caught: AtomicU64,
}

/// The API server as the operator sees it.
pub struct Proxy(Arc<Shared>);

impl Bed {
    /// Lets the operator, from its next start on, see the API server through a proxy.
    pub async fn behind_proxy(&mut self) -> Proxy {
        let shared = Arc::new(Shared {
            upstream: cluster::client("operator").await,
            fault: watch::channel(Fault::None).0,
            requests: AtomicU64::new(0),
            caught: AtomicU64::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        // Who the operator is, the proxy tells the real one.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy", "users": [],
            "clusters": [{ "name": "proxy", "cluster": { "server": server } }],
            "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "" } }],
        });
        let file = self.folder.join("proxy.conf");
        fs::write(&file, config.to_string()).unwrap();
        self.set("KUBECONFIG", file.to_str());
        Proxy(shared)
    }
}

impl Proxy {
    /// From now on the API server has this fault.
    pub fn set(&self, fault: Fault) {
        self.0.fault.send_replace(fault);
    }

    /// How many requests have come so far.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Waits until so many requests and watches hang for ever.
    pub async fn until_caught(&self, count: u64) {
        until(&format!("{count} requests to hang"), async || {
            let caught = self.0.caught.load(Ordering::Relaxed);
            if caught >= count { Ok(()) } else { Err(format!("{caught} hang")) }
        })
        .await;
    }
}

async fn answer(State(proxy): State<Arc<Shared>>, request: Request) -> Response<Body> {
    proxy.requests.fetch_add(1, Ordering::Relaxed);
    let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let faults = proxy.fault.subscribe();
    let fault = *faults.borrow();
    match fault {
        Fault::Silent => hang(&proxy).await,
        Fault::Refuses(code) => respond(code, "application/json", refusal(code).to_string()),
        Fault::Page(code) => respond(code, "text/html", "<html><h1>It works!</h1></html>".to_owned()),
        Fault::Forgets if is_watch => {
            let event = json!({ "type": "ERROR", "object": refusal(410) });
            respond(200, "application/json", format!("{event}\n"))
        }
        Fault::EndsWatches if is_watch => respond(200, "application/json", String::new()),
        Fault::None | Fault::Forgets | Fault::EndsWatches => pass_on(proxy, request, faults).await,
    }
}

/// What it says that refuses.
fn refusal(code: u16) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
        "reason": "Injected", "message": "injected by a test",
    })
}

fn respond(code: u16, kind: &str, text: String) -> Response<Body> {
    let response = Response::builder().status(code).header(CONTENT_TYPE, kind).header(RETRY_AFTER, "1");
    response.body(Body::from(text)).unwrap()
}

async fn hang<T>(proxy: &Shared) -> T {
    proxy.caught.fetch_add(1, Ordering::Relaxed);
    pending().await
}

async fn pass_on(proxy: Arc<Shared>, request: Request, faults: Receiver<Fault>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    head.headers.remove(HOST);
    head.uri = head.uri.path_and_query().unwrap().as_str().parse().unwrap();
    let body = to_bytes(body, 16 << 20).await.unwrap_or_default();
    let request = Request::from_parts(head, kube::client::Body::from(body));
    match proxy.upstream.send(request).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let pieces = Box::pin(Body::new(body).into_data_stream());
            Response::from_parts(head, Body::from_stream(until_fault(proxy, pieces, faults)))
        }
        Err(why) => respond(StatusCode::BAD_GATEWAY.as_u16(), "text/plain", why.to_string()),
    }
}

/// An answer, as far as it comes before the next fault.
fn until_fault(
    proxy: Arc<Shared>,
    pieces: Pin<Box<BodyDataStream>>,
    faults: Receiver<Fault>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold((proxy, pieces, faults), |(proxy, mut pieces, mut faults)| async move {
        loop {
            tokio::select! {
                biased;
                changed = faults.changed() => {
                    changed.ok()?;
                    let fault = *faults.borrow();
                    match fault {
                        Fault::None => {}
                        Fault::Silent => return hang(&proxy).await,
                        _ => return None,
                    }
                }
                piece = pieces.next() => {
                    let piece = piece?.ok()?;
                    return Some((Ok(piece), (proxy, pieces, faults)));
                }
            }
        }
    })
}
