//! Submission: ours and by hand, in turns on one schedd; and what memory the operator takes for it.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{Bed, bed_folder};
use crate::queue::Corner;
use crate::table::{Row, median};
use crate::work::{JOBS, ROUNDS, SINGLE_CALLS};
use crate::{Rows, api, engine, operator, raw};

/// The metric that counts calls of `condor_submit`.
pub const CALLS: &str = "htc_submission_seconds_count";

/// Committed jobs per second, one value a round.
#[derive(Default)]
struct Rates {
    raw: Vec<f64>,
    single: Vec<f64>,
    engine: Vec<f64>,
    api: Vec<f64>,
    /// Calls of `condor_submit` that the engine made for a round.
    calls: Vec<u64>,
    /// The same of the operator.
    api_calls: Vec<u64>,
}

/// The rows of this subject.
pub async fn rows(bed: &mut Bed) -> Rows {
    let hand = Corner::beside(bed, "raw");
    let own = Corner::beside(bed, "engine");
    let measured = measure(bed, &hand, &own).await;
    let cleared = [hand.clear().await, own.clear().await];
    let (rates, mut rows) = measured?;
    cleared.into_iter().collect::<Result<Vec<()>, _>>()?;
    let Rates { raw, single, engine, api, calls, api_calls } = rates;
    let (raw, raw_range) = median(raw);
    let (single, single_range) = median(single);
    let row = |name: &str, raw, ours: Vec<f64>, n, note: &dyn Fn(&str) -> String| {
        let (ours, range) = median(ours);
        let (name, note) = (name.to_owned(), note(&range));
        Row { name, unit: "jobs/s", raw: Some(raw), ours: Some(ours), n, note, failed: false }
    };
    let mut first = vec![
        row("wish -> committed", raw, engine.clone(), JOBS, &|range| {
            format!("ours {range} in {calls:?} calls; raw {raw_range}: one condor_submit of the same rows")
        }),
        row("kubectl apply -> committed", raw, api, JOBS, &|range| {
            format!("ours {range} in {api_calls:?} calls; {JOBS} HTCJobs created at once; raw as above")
        }),
        row("wish -> committed, one call a job", single, engine, SINGLE_CALLS, &|_| {
            format!("raw {single_range}: one condor_submit for each of {SINGLE_CALLS} rows; ours as above")
        }),
    ];
    first.append(&mut rows);
    Ok(first)
}

async fn measure(bed: &mut Bed, hand: &Corner, own: &Corner) -> Result<(Rates, Vec<Row>), String> {
    let sender: PathBuf = bed_folder().join("bin/htc-sender");
    operator::start(bed).await;
    let idle = operator::memory(bed);
    let mut rates = Rates::default();
    let rate = |n: usize, time: Duration| n as f64 / time.as_secs_f64();
    for round in 0..ROUNDS {
        let name = |way: &str| format!("{way}-{round}");
        let time = told("raw", raw::submit(hand, &sender, &name("batch"), JOBS, JOBS).await)?;
        rates.raw.push(rate(JOBS, time));
        hand.queue.clear().await?;

        let (time, calls) = told("engine", engine::submit(own, &sender, &name("engine"), JOBS).await)?;
        rates.engine.push(rate(JOBS, time));
        rates.calls.push(calls);
        own.queue.clear().await?;

        let before = bed.metric(CALLS).await;
        let time = told("HTCJobs", api::submit(bed, &name("api"), JOBS).await)?;
        rates.api.push(rate(JOBS, time));
        rates.api_calls.push(bed.metric(CALLS).await - before);
        api::clear(bed).await?;

        let single = raw::submit(hand, &sender, &name("single"), SINGLE_CALLS, 1).await;
        let time = told("one call a job", single)?;
        rates.single.push(rate(SINGLE_CALLS, time));
        hand.queue.clear().await?;
        eprintln!("  round {} of {ROUNDS}", round + 1);
    }
    let after = operator::memory(bed);
    Ok((rates, vec![idle.row("memory, idle", 0), after.row("memory, after the jobs", ROUNDS * JOBS)]))
}

/// What did not come about, before the reason.
fn told<T>(way: &str, result: Result<T, String>) -> Result<T, String> {
    result.map_err(|why| format!("{way}: {why}"))
}
