//! Slow tests, and those that disturb the bed: the schedd is stopped, killed, started again, sent another queue or kept
//! from its spool, the API server answers badly, disks are full. Too slow and too rude for a pool that others use.
//! `make soak` runs this module by itself, one test at a time, and lets the tests act as root inside the bed meanwhile.

mod admin;
mod api;
mod empty;
mod full;
mod key;
mod kubelet;
mod large;
mod limits;
mod outputs;
mod policies;
mod queue;
mod restart;
mod second;
mod stopped;
mod upgrading;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use htc_operator::htcjob::types::{HTCJobStatus, Phase};
use serde_json::Value;

use crate::client::dialect::Dialect;
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::{container, pod};
use crate::client::transport::Transport;
use crate::harness::{Bed, Job};
use crate::interlink::living::free_port;

const TOKEN: &str = "a-token-of-some-length";

/// Lets the operator serve InterLink too, from its next start on; gives a virtual kubelet that calls it.
fn with_interlink(bed: &mut Bed) -> VirtualKubelet {
    let file = bed.folder.join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    bed.set("HTC_INTERLINK_LISTEN", Some(&address));
    bed.set("HTC_INTERLINK_TOKEN_FILE", file.to_str());
    VirtualKubelet::new(Transport::tcp(&address).with_token(TOKEN), Dialect::NEWEST)
}

/// A pod that runs a script without an image.
fn quick(name: &str, script: &str) -> Value {
    pod(name, &[], &[container("main", "host", &["bash", "-c", script])])
}

/// Waits until the status says that something is in the way, by this word.
async fn until_reason(bed: &Bed, job: &Job, reason: &str) -> String {
    let status = bed.until_status(job, reason, |s| s.reason.as_deref() == Some(reason)).await;
    status.message.unwrap_or_default()
}

/// Waits until a condition of an HTCJob has this status.
async fn until_condition(bed: &Bed, job: &Job, kind: &str, wanted: &str) {
    let is_so = |s: &HTCJobStatus| s.conditions.iter().any(|c| c.type_ == kind && c.status == wanted);
    bed.until_status(job, &format!("{kind}={wanted}"), is_so).await;
}

/// Everything has ended well and left the queue, and each copy was committed once.
async fn ends_well(bed: &Bed, jobs: &[(&Job, u32)]) {
    for (job, _) in jobs {
        bed.until_phase(job, Phase::Succeeded).await;
    }
    bed.until_queue_empty().await;
    bed.assert_all_committed_once(jobs).await;
}

/// The pod's job was committed once.
async fn assert_pod_committed_once(bed: &Bed, uid: &str) {
    let jobs = bed.every_job().await;
    let committed = jobs.iter().filter(|ad| ad["HTCOperatorUid"] == uid && ad.contains_key("StageInFinish"));
    assert_eq!(committed.count(), 1, "{jobs:?}");
}
