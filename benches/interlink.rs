//! The InterLink endpoint: how quickly it takes pods, durably, and answers for them, and what it takes to
//! have 10,000 of them. They ask for a machine that nobody has, so that nothing else happens.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::{Value, json};

use crate::client::dialect::Dialect;
use crate::client::pods;
use crate::client::transport::{Answer, Request, Transport};
use crate::harness::{Bed, until};
use crate::scale::cpu;
use crate::table::Row;
use crate::{Rows, operator};

/// Bytes of the bodies of `/create`.
const LARGE: usize = 64_000;
/// Bytes of a pod in a question, as recorded.
const RECORDED: usize = 3_000;
/// Callers at once, and bodies that they bring together.
const CALLERS: (usize, usize) = (32, 3_000);
/// Bodies that one caller brings.
const ALONE: usize = 500;
/// Pods that live.
const LIVE: usize = 10_000;
/// Pods in one question.
const TOGETHER: usize = 1_000;
/// Questions after that many pods.
const SWEEPS: usize = 20;
/// Questions after one pod.
const QUESTIONS: usize = 20_000;

/// The rows of this subject.
pub async fn rows(bed: &mut Bed) -> Rows {
    // The schedd keeps the executable once a job.
    let sender = bed.folder.join("never-runs");
    fs::write(&sender, "#!/bin/sh\n").map_err(|e| e.to_string())?;
    fs::set_permissions(&sender, Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    let before = bed.settings.clone();
    bed.set("HTC_SENDER", sender.to_str());
    bed.set("HTC_MAX_JOBS_IN_QUEUE", Some(&LIVE.to_string()));
    let rows = measure(bed).await;
    bed.settings = before;
    rows
}

async fn measure(bed: &mut Bed) -> Rows {
    operator::start_as(bed, "interlink").await;
    let transport = Transport::unix(&bed.data().join("interlink.sock"));
    let live: Vec<Value> = (0..LIVE).map(|_| pod(RECORDED)).collect();
    bring(&transport, &live, CALLERS.0).await?;
    let sample: Vec<Value> = live.iter().step_by(LIVE / TOGETHER).cloned().collect();
    // While they are submitted the processor is elsewhere; what is measured is the answer.
    queued(&transport, &live).await;
    let mut rows = vec![together(&transport, &sample).await?];
    rows.extend(one_by_one(bed, &transport, &sample).await?);
    rows.push(operator::memory(bed).row(&format!("memory, {LIVE} pods of 3 kB"), LIVE));
    // The queue is full, so these wait.
    rows.push(create(bed, &transport, CALLERS.0, CALLERS.1, 1_000.0).await?);
    rows.push(create(bed, &transport, 1, ALONE, 100.0).await?);
    operator::stop(bed).await;
    Ok(rows)
}

/// A pod that is so large on the wire, with something in it that its job needs.
fn pod(bytes: usize) -> Value {
    let mut main = pods::container("main", "busybox", &["sleep", "60"]);
    main["resources"] = json!({ "requests": { "cpu": "10000" } });
    main["env"] = json!([{ "name": "PADDING", "value": "" }]);
    let mut pod = pods::pod("bench", &[], &[main]);
    let missing = bytes.saturating_sub(pod.to_string().len());
    pod["spec"]["containers"][0]["env"][0]["value"] = "x".repeat(missing).into();
    pod
}

/// Milliseconds of the endpoint's own processor time until now, which others on the machine do not change.
fn spent(bed: &Bed) -> f64 {
    cpu(bed.process.as_ref().and_then(tokio::process::Child::id).expect("it runs")).own * 1e3
}

async fn create(
    bed: &Bed,
    transport: &Transport,
    callers: usize,
    n: usize,
    budget: f64,
) -> Result<Row, String> {
    let pods: Vec<Value> = (0..n).map(|_| pod(LARGE)).collect();
    let before = spent(bed);
    let took = bring(transport, &pods, callers).await?;
    let each = (spent(bed) - before) / n as f64;
    let rate = n as f64 / took.as_secs_f64();
    let verdict = if rate >= budget { "within" } else { "UNDER" };
    let note = format!(
        "64 kB each, kept on disk before the answer, {each:.2} ms of CPU; {verdict} the budget of {budget}/s"
    );
    Ok(row(&format!("/create, callers: {callers}"), "pods/s", rate, n, note))
}

/// How long it took until all were answered.
async fn bring(transport: &Transport, pods: &[Value], callers: usize) -> Result<Duration, String> {
    let requests: Vec<Request> = pods.iter().map(|pod| Dialect::NEWEST.create(pod)).collect();
    let began = Instant::now();
    let mut answers =
        futures::stream::iter(&requests).map(|request| transport.send(request)).buffer_unordered(callers);
    while let Some(answer) = answers.next().await {
        answer?.success()?;
    }
    Ok(began.elapsed())
}

/// Waits until the last pods are in HTCondor's queue.
async fn queued(transport: &Transport, live: &[Value]) {
    let last = &live[live.len() - TOGETHER..];
    until("all to be in the queue", async || {
        let answer = ask(transport, last).await?;
        // Before it is in the queue a pod is known by a name of ours.
        let waiting = answer.text().matches("\"JID\":\"htc-").count();
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} of the last are not")) }
    })
    .await;
}

async fn ask(transport: &Transport, pods: &[Value]) -> Result<Answer, String> {
    let answer = transport.send(&Dialect::NEWEST.status(pods)).await?;
    answer.success()?;
    Ok(answer)
}

async fn together(transport: &Transport, sample: &[Value]) -> Result<Row, String> {
    let request = Dialect::NEWEST.status(sample);
    let mut times = Vec::new();
    for _ in 0..SWEEPS {
        let began = Instant::now();
        transport.send(&request).await?.success()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let (middle, budget) = (times[SWEEPS / 2], 20.0);
    let verdict = if middle < budget { "within" } else { "OVER" };
    let note = format!(
        "3 kB each; {:.1} to {:.1}; {verdict} the budget of {budget} ms",
        times[0],
        times[SWEEPS - 1]
    );
    Ok(row(&format!("/status of {} pods, {LIVE} live", sample.len()), "ms", middle, SWEEPS, note))
}

async fn one_by_one(bed: &Bed, transport: &Transport, sample: &[Value]) -> Rows {
    let requests: Vec<Request> =
        sample.iter().map(|pod| Dialect::NEWEST.status(std::slice::from_ref(pod))).collect();
    let looks = async || bed.metric("htc_look_seconds_count").await;
    let (before, used, mut times) = (looks().await, spent(bed), Vec::new());
    for request in requests.iter().cycle().take(QUESTIONS) {
        let began = Instant::now();
        transport.send(request).await?.success()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let looks = looks().await - before;
    let each = (spent(bed) - used) / QUESTIONS as f64;
    times.sort_by(f64::total_cmp);
    let (middle, late, budget) = (times[QUESTIONS / 2], times[QUESTIONS * 99 / 100], 1.0);
    let verdict = if late < budget { "within" } else { "OVER" };
    let note = format!(
        "99th percentile; median {middle:.2}; {each:.2} ms of CPU each; {looks} looks at the pool meanwhile; {verdict} the budget of \
         {budget} ms"
    );
    Ok(vec![row(&format!("/status of one pod, {LIVE} live"), "ms", late, QUESTIONS, note)])
}

fn row(name: &str, unit: &'static str, ours: f64, n: usize, note: String) -> Row {
    Row { name: name.to_owned(), unit, raw: None, ours: Some(ours), n, note, failed: false }
}
