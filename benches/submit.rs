//! Submission: ours and by hand, in turns on one schedd; and what memory the operator takes for it.

use crate::harness::{Bed, bed_folder};
use crate::queue::{Corner, Took};
use crate::table::{Row, median};
use crate::work::{JOBS, ROUNDS, SINGLE_CALLS};
use crate::{Rows, api, engine, operator, raw};

/// The metric that counts calls of `condor_submit`.
pub const CALLS: &str = "htc_submission_seconds_count";

/// How long the rounds of each way took.
#[derive(Default)]
struct Times {
    raw: Vec<Took>,
    single: Vec<Took>,
    engine: Vec<Took>,
    api: Vec<Took>,
    /// Calls of `condor_submit` that the engine made in its rounds.
    engine_calls: Vec<u64>,
    /// The same of the operator.
    api_calls: Vec<u64>,
}

/// The rows of this subject.
pub async fn rows(bed: &mut Bed) -> Rows {
    let hand = Corner::beside(bed, "raw");
    let own = Corner::beside(bed, "engine");
    operator::start(bed).await;
    let idle = operator::memory(bed).row("memory, idle", 0);
    let mut rows = compare(&measure(bed, &hand, &own).await?);
    rows.extend([idle, operator::memory(bed).row("memory, after the jobs", ROUNDS * JOBS)]);
    Ok(rows)
}

async fn measure(bed: &mut Bed, hand: &Corner, own: &Corner) -> Result<Times, String> {
    let sender = bed_folder().join("bin/htc-sender");
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let name = |way: &str| format!("{way}-{round}");
        let took = raw::submit(hand, &sender, &name("batch"), JOBS, JOBS).await;
        times.raw.push(told("raw", took)?);
        hand.queue.clear().await?;

        let (took, calls) = told("engine", engine::submit(own, &sender, &name("engine"), JOBS).await)?;
        times.engine.push(took);
        times.engine_calls.push(calls);
        own.queue.clear().await?;

        let before = bed.metric(CALLS).await;
        times.api.push(told("HTCJobs", api::submit(bed, &name("api"), JOBS).await)?);
        times.api_calls.push(bed.metric(CALLS).await - before);
        api::clear(bed).await?;

        let took = raw::submit(hand, &sender, &name("single"), SINGLE_CALLS, 1).await;
        times.single.push(told("one call a job", took)?);
        hand.queue.clear().await?;
        eprintln!("  round {} of {ROUNDS}", round + 1);
    }
    Ok(times)
}

/// What did not come about, before the reason.
fn told<T>(way: &str, result: Result<T, String>) -> Result<T, String> {
    result.map_err(|why| format!("{way}: {why}"))
}

fn compare(times: &Times) -> Vec<Row> {
    let Times { raw, single, engine, api, engine_calls, api_calls } = times;
    let rates = |n: usize, times: &[Took], end: fn(&Took) -> f64| {
        median(times.iter().map(|took| n as f64 / end(took)).collect())
    };
    let staged: fn(&Took) -> f64 = |took| took.staged;
    let spooled: fn(&Took) -> f64 = |took| took.spooled;
    let row = |name: &str, by_hand: (usize, &[Took]), ours: &[Took], end, what: &str| {
        let (n, by_hand) = by_hand;
        let ((raw, raw_range), (ours, range)) = (rates(n, by_hand, end), rates(JOBS, ours, end));
        let note = format!("raw {raw_range}, ours {range}; {what}");
        Row {
            name: name.to_owned(),
            unit: "jobs/s",
            raw: Some(raw),
            ours: Some(ours),
            n,
            note,
            failed: false,
        }
    };
    let batch: (usize, &[Took]) = (JOBS, raw);
    vec![
        row(
            "wish -> committed",
            batch,
            engine,
            staged,
            &format!("raw: one condor_submit of the same rows; ours in {engine_calls:?} calls"),
        ),
        row("wish -> end of the tool", batch, engine, spooled, "the same without the schedd's last second"),
        row(
            "kubectl apply -> committed",
            batch,
            api,
            staged,
            &format!("{JOBS} HTCJobs created at once; ours in {api_calls:?} calls"),
        ),
        row(
            "kubectl apply -> end of the tool",
            batch,
            api,
            spooled,
            "the same without the schedd's last second",
        ),
        row(
            "wish -> end of the tool, one call a job",
            (SINGLE_CALLS, single),
            engine,
            spooled,
            &format!("raw: a condor_submit for each of {SINGLE_CALLS} rows"),
        ),
    ]
}
