//! The InterLink endpoint without Kubernetes, `htc-operator interlink`, with real HTCondor and apptainer. What
//! needs no real pool is in `tests/interlink/`.

mod following;
mod installed;
mod killing;
pub mod living;
mod reviewing;
mod scripting;
mod sweeping;
mod taking;

use std::path::PathBuf;

use serde_json::Value;

use crate::client::dialect::Dialect;
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::{container, pod};
use crate::client::transport::Transport;
use crate::harness::{Bed, on_bed, until};

/// Runs a test with an endpoint that answers on its unix socket.
async fn with_endpoint(claim: impl AsyncFnOnce(&mut Bed)) {
    on_bed(async |bed: &mut Bed| {
        start(bed).await;
        claim(bed).await;
    })
    .await;
}

/// Starts the endpoint and waits until it answers on its unix socket.
async fn start(bed: &mut Bed) {
    bed.spawn_as(&["interlink"]);
    until_answers(bed, &by_socket(bed)).await;
}

/// Waits until it answers a ping.
async fn until_answers(bed: &mut Bed, transport: &Transport) {
    until("the endpoint to answer", async || {
        bed.assert_alive();
        transport.send(&Dialect::NEWEST.ping()).await?.success().map(drop)
    })
    .await;
}

/// The way to it without any flag.
fn by_socket(bed: &Bed) -> Transport {
    Transport::unix(&socket(bed))
}

fn socket(bed: &Bed) -> PathBuf {
    bed.data().join("interlink.sock")
}

/// The newest virtual kubelet on the unix socket.
fn kubelet(bed: &Bed) -> VirtualKubelet {
    VirtualKubelet::new(by_socket(bed), Dialect::NEWEST)
}

/// A pod with one container `main` that runs a script without an image: the quickest there is.
fn quick(name: &str, script: &str) -> Value {
    pod(name, &[], &[container("main", "host", &["bash", "-c", script])])
}

/// Every job of this bed in queue and history with its files, as UID and `cluster.proc`.
async fn committed(bed: &Bed) -> Vec<(String, String)> {
    let ads = bed.every_job().await;
    ads.iter()
        .filter(|ad| ad.contains_key("StageInFinish"))
        .map(|ad| {
            let uid = ad["HTCOperatorUid"].as_str().unwrap().to_owned();
            (uid, format!("{}.{}", ad["ClusterId"], ad["ProcId"]))
        })
        .collect()
}
