//! The log of a running job: from the question to its first line, and from the clock in the script to a
//! line that is followed; through the poll where jobs reach the operator, else by `condor_tail`.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use htc_operator::htcjob::types::Phase;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use crate::harness::{Bed, host};
use crate::table::{Row, median};
use crate::{Rows, api, operator, profile};

/// One after another.
const JOBS: usize = 3;
/// Each is written some time after the last.
const LATER: usize = 10;
const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds.
#[derive(Default)]
struct Times {
    first: Vec<f64>,
    later: Vec<f64>,
}

/// The rows: ours with a route, beside those without.
pub async fn rows(bed: &mut Bed) -> Rows {
    let ours = measure(bed, "polled").await?;
    let route = bed.settings.get("HTC_EVENTS_URL").cloned();
    bed.set("HTC_EVENTS_URL", None);
    let raw = measure(bed, "tailed").await;
    bed.set("HTC_EVENTS_URL", route.as_deref());
    let raw = raw?;
    Ok(vec![
        row("first live line", ours.first, raw.first, 1.0, 10.0),
        row("later live line", ours.later, raw.later, 1.0, 1.0),
    ])
}

fn row(name: &str, ours: Vec<f64>, raw: Vec<f64>, budget: f64, budget_of_raw: f64) -> Row {
    let n = ours.len();
    let ((ours, range), (raw, range_of_raw)) = (median(ours), median(raw));
    let verdict = |within| if within { "within" } else { "OVER" };
    let note = format!(
        "{range}, {} the budget of {budget} s; raw: without a route, by condor_tail: {range_of_raw}, {} that of {budget_of_raw} s",
        verdict(ours <= budget),
        verdict(raw <= budget_of_raw),
    );
    let name =
        if profile::is_production() { format!("{name}, production intervals") } else { name.to_owned() };
    Row { name, unit: "s", raw: Some(raw), ours: Some(ours), n, note, failed: false }
}

async fn measure(bed: &mut Bed, prefix: &str) -> Result<Times, String> {
    operator::start(bed).await;
    let mut times = Times::default();
    for n in 0..JOBS {
        let name = format!("{prefix}-{n}");
        let script = format!(
            "echo first\n{}for i in $(seq {LATER}); do date +%s.%N; sleep 0.7; done\n",
            bed.gate(&name)
        );
        let job = bed.apply(host(&name, &script)).await;
        bed.until_phase(&job, Phase::Running).await;
        let asked = Instant::now();
        let object = format!("{}/{}", job.namespace, job.name);
        let mut command = bed.command(&["logs", "-f", &object]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        next(&mut lines).await?;
        times.first.push(asked.elapsed().as_secs_f64());
        // The readers of a tool begin a second one that follows.
        bed.open(&name);
        for _ in 0..LATER {
            let written: f64 = next(&mut lines).await?.parse().map_err(|_| "no time in a line")?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            times.later.push(now - written);
        }
        bed.until_phase(&job, Phase::Succeeded).await;
    }
    api::clear(bed).await?;
    operator::stop(bed).await;
    Ok(times)
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String, String> {
    let line = timeout(PATIENCE, lines.next_line()).await.map_err(|_| "no line came")?;
    line.map_err(|e| e.to_string())?.ok_or_else(|| "the log ended".to_owned())
}
