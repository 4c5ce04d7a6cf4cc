//! The operator with 1,000 live jobs, alone and beside 100,000 copies that have ended: what is over takes little
//! memory, and nothing of a look.

use std::time::Instant;

use htc_core::workload::Workload;
use rusqlite::{Connection, params};

use crate::harness::Bed;
use crate::queue::Queue;
use crate::scale::{LOOK, cpu, never_runs, until_looks};
use crate::table::Row;
use crate::work::{htcjob, workload};
use crate::{Rows, api, operator};

const LIVE_HTCJOBS: usize = 100;
const LIVE_COPIES: i64 = 10;
const LIVE: usize = 1_000;
const ENDED_WORKLOADS: usize = 100;
const ENDED_COPIES: u32 = 1_000;
/// Looks whose cost is counted: the kernel counts in hundredths of a second.
const LOOKS: u64 = 60;

/// The rows of this subject.
pub async fn rows(bed: &mut Bed) -> Rows {
    let before = bed.settings.clone();
    never_runs(bed)?;
    bed.set("HTC_POLL_SECONDS", Some("0.3"));
    let rows = measure(bed).await;
    bed.settings = before;
    rows
}

async fn measure(bed: &mut Bed) -> Rows {
    operator::start(bed).await;
    for n in 0..LIVE_HTCJOBS {
        let mut job = htcjob(&format!("live-{n}"));
        job.spec.queue = Some(LIVE_COPIES);
        bed.apply(job).await;
    }
    Queue::of(bed.id.clone()).until_staged(LIVE, &bed.data().join("intents")).await?;
    until_looks(bed, 5).await;
    operator::stop(bed).await;
    let (alone, alone_look) = life(bed).await;
    let began = Instant::now();
    seed(bed).map_err(|e| e.to_string())?;
    tracing::debug!(took = ?began.elapsed(), "wrote the ended copies");
    let (beside, beside_look) = life(bed).await;
    operator::start(bed).await;
    api::clear(bed).await?;
    operator::stop(bed).await;
    let row = |name: &str, unit, raw, ours, note: String| Row {
        name: name.to_owned(),
        unit,
        raw: Some(raw),
        ours: Some(ours),
        n: ENDED_WORKLOADS * ENDED_COPIES as usize,
        note,
        failed: false,
    };
    let note = format!("{:.1} MiB more; raw: 1,000 live alone; both after a restart", beside - alone);
    let shared = format!("the operator's own CPU of a look, {LOOKS} looks; raw: 1,000 live alone");
    Ok(vec![
        row("memory, 100,000 ended beside 1,000 live", "MiB", alone, beside, note),
        row("look at 1,000 live beside 100,000 ended", "ms", alone_look, beside_look, shared),
    ])
}

/// A life of the operator: its memory, and milliseconds of its own CPU that a look takes.
async fn life(bed: &mut Bed) -> (f64, f64) {
    operator::start(bed).await;
    until_looks(bed, 10).await;
    let pid = bed.process.as_ref().and_then(tokio::process::Child::id).expect("it runs");
    let before = (cpu(pid).own, bed.metric(LOOK).await);
    until_looks(bed, LOOKS).await;
    let looks = bed.metric(LOOK).await - before.1;
    let look = (cpu(pid).own - before.0) * 1_000.0 / looks as f64;
    let memory = operator::memory(bed).now;
    operator::stop(bed).await;
    (memory, look)
}

/// Writes ended copies into the store, of a door that nobody has opened, as if they had been here for a while.
fn seed(bed: &Bed) -> Result<(), rusqlite::Error> {
    let mut store = Connection::open(bed.data().join("htcjobs.db"))?;
    let t = store.transaction()?;
    let live: String = t.query_row("SELECT tempDir FROM htcjobs LIMIT 1", [], |row| row.get(0))?;
    let jobs = live.rsplitn(3, '/').nth(2).expect("a job's folder is <jobs>/<uid>/<key>").to_owned();
    for n in 0..ENDED_WORKLOADS {
        let uid = format!("{n:08}-ended-0000-0000-000000000000");
        let workload = Workload { indices: ENDED_COPIES, ..workload("ended") };
        t.execute(
            "INSERT INTO wishes (uid, door, namespace, name, workload, want, since, not_before)
             VALUES (?1, 'bench', 'default', ?2, ?3, 'run', 1, 1)",
            params![uid, format!("ended-{n}"), serde_json::to_string(&workload).unwrap()],
        )?;
        for index in 0..ENDED_COPIES {
            one(&t, &uid, index, &jobs)?;
        }
    }
    t.commit()
}

fn one(t: &rusqlite::Transaction<'_>, uid: &str, index: u32, jobs: &str) -> Result<(), rusqlite::Error> {
    let (end, status) = match index % 10 {
        0 => (
            r#"{"outcome":{"exitCode":3},"message":"container main: exit code 3","at":"2026-01-01T00:00:00Z"}"#,
            17,
        ),
        _ => (r#"{"outcome":"succeeded","message":"","at":"2026-01-01T00:00:00Z"}"#, 14),
    };
    t.prepare_cached(
        "INSERT INTO htcjobs (htcjobName, jobId, status, tempDir, uniqid, uid, idx, attempt, submission, ending, published)
         VALUES ('ended', ?1, ?2, ?3, ?4, ?4, ?5, 0, 0, ?6, 1)",
    )?
    .execute(params![format!("7.{index}"), status, format!("{jobs}/{uid}/{index}.0.0"), uid, index, end])?;
    let report = serde_json::json!({
        "name": "ended", "namespace": "default", "jobid": format!("7.{index}"), "retcode": 0,
        "key": format!("{uid}/{index}/0/0"), "start": 1, "seq": 4, "now": "2026-01-01T00:00:00Z", "phase": "done",
        "initContainers": [],
        "containers": [{ "name": "main", "state": { "terminated": {
            "exitCode": 0, "signal": null, "reason": "Completed", "message": "",
            "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z" } } }],
    });
    t.prepare_cached("INSERT INTO inbox VALUES (?1, ?2, 0, 0, 1, 4, ?3)")?.execute(params![
        uid,
        index,
        report.to_string()
    ])?;
    Ok(())
}
