//! What the operator asks of the API server, by the server's own audit log: bounded for one copy, and
//! bounded in time for many.

use std::collections::BTreeSet;
use std::fs;

use htc_operator::htcjob::types::Phase;
use htc_operator::limits::STATUS_GAP;
use jiff::Timestamp;
use serde::Deserialize;

use crate::harness::{Bed, bed_folder, host, until, with_operator};

/// Finalizer, a status for each state, an event for each condition.
const FOR_ONE: usize = 8;

/// What the operator asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    verb: String,
    object_ref: Option<Object>,
    request_received_timestamp: Timestamp,
    #[serde(rename = "auditID")]
    id: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Object {
    resource: String,
    namespace: Option<String>,
    #[serde(default)]
    subresource: String,
}

impl Request {
    /// That of the list and watch of the whole namespace is no request for an HTCJob.
    fn is_about_one(&self, namespace: &str) -> bool {
        let about = self.object_ref.as_ref().and_then(|object| object.namespace.as_deref());
        about == Some(namespace) && !matches!(self.verb.as_str(), "list" | "watch")
    }

    fn is_status(&self) -> bool {
        self.object_ref.as_ref().is_some_and(|object| object.subresource == "status")
    }
}

/// All of this bed's namespace so far, in order.
fn requests(bed: &Bed) -> Vec<Request> {
    let folder = bed_folder().join("log/audit");
    let files = fs::read_dir(folder).expect("the API server of the bed has an audit log");
    let texts: Vec<String> = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert_whole(bed, &texts);
    let mut known = BTreeSet::new();
    let mut requests: Vec<Request> = texts
        .iter()
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.contains(&bed.namespace))
        // The last line may be at half.
        .filter_map(|line| serde_json::from_str(&line).ok())
        .filter(|request: &Request| request.is_about_one(&bed.namespace) && known.insert(request.id.clone()))
        .collect();
    requests.sort_by_key(|request| request.request_received_timestamp);
    requests
}

/// The server keeps only the newest files of its log: what is left must begin before this test did.
fn assert_whole(bed: &Bed, texts: &[String]) {
    let born = bed.id.split('-').nth(1).and_then(|millis| millis.parse().ok());
    let born = Timestamp::from_millisecond(born.expect("a bed's id has its time")).unwrap();
    let first = |text: &String| serde_json::from_str(text.lines().next()?).ok();
    let oldest = texts.iter().filter_map(first).map(|r: Request| r.request_received_timestamp).min();
    let is_whole = texts.len() == 1 || oldest.is_some_and(|oldest| oldest < born);
    assert!(is_whole, "the beginning of the audit log is gone: {oldest:?}, and the test began at {born}");
}

/// Waits until the operator has no more to say: the event of the end is written, and the jobs have
/// left the queue.
async fn all_requests(bed: &Bed, events: usize) -> Vec<Request> {
    bed.until_queue_empty().await;
    until("the last event", async || {
        let all = requests(bed);
        let is_event = |r: &&Request| r.object_ref.as_ref().is_some_and(|o| o.resource == "events");
        if all.iter().filter(is_event).count() >= events { Ok(all) } else { Err(format!("{all:#?}")) }
    })
    .await
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_job_of_one_copy_takes_eight_at_most_however_long_it_is_in_each_state() {
    with_operator(async |bed| {
        let mut job = host("one", &(bed.gate("go") + "echo done"));
        job.spec.htcopts = Some("+JobFlavour = \"kept\"\nrequirements = MY.JobFlavour == \"go\"".into());
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Submitted).await;
        bed.until_queued(&job, 1, 1).await;
        bed.edit(&job, "JobFlavour", "\"go\"").await;
        bed.until_phase(&job, Phase::Running).await;
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        let all = all_requests(bed, 2).await;
        assert!((3..=FOR_ONE).contains(&all.len()), "{all:#?}");
        assert!(all.iter().filter(|request| request.is_status()).count() >= 3, "{all:#?}");
    })
    .await;
}

/// However many copies: the finalizer once, an event for each of two conditions, and in between a
/// status a second. The end is told at once, however short ago the last status was written.
pub async fn assert_bounded_in_time(bed: &Bed) {
    let (statuses, others): (Vec<_>, Vec<_>) =
        all_requests(bed, 2).await.into_iter().partition(Request::is_status);
    let at: Vec<Timestamp> = statuses.iter().map(|request| request.request_received_timestamp).collect();
    let gaps: Vec<_> = at[..at.len() - 1].windows(2).map(|two| two[1].duration_since(two[0])).collect();
    assert!(gaps.iter().all(|gap| gap.unsigned_abs() >= STATUS_GAP), "{gaps:?}");
    assert!(others.len() <= 3, "beside the status: {others:#?}");
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_hundred_copies_write_the_status_once_a_second_at_most() {
    with_operator(async |bed| {
        let mut job = host("many", "echo \"$1\"");
        job.spec.queue = Some(100);
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Succeeded).await;
        assert_bounded_in_time(bed).await;
    })
    .await;
}
