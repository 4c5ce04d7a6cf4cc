//! The newest job of ours that HTCondor remembers: it tells a store that was lost, or put back from a backup.

use serde::Deserialize;

use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::whose::Whose;
use crate::limits::{HISTORY_SCANNED, QUERY_DEADLINE};

const TOOL: &str = "condor_history";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Remembered {
    cluster_id: u32,
}

/// A cluster of ours in the history that is higher than this one; 0 without. Only the newest records are
/// looked at: without a match the tool would read all files that there are.
pub async fn cluster_above(pool: &Pool, whose: &Whose, known: u32) -> Result<u32, CallError> {
    let constraint = whose.that(&format!("ClusterId > {known}"));
    let arguments = [
        "-json",
        "-attributes",
        "ClusterId",
        "-limit",
        "1",
        "-scanlimit",
        HISTORY_SCANNED,
        "-constraint",
        &constraint,
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    let answer = run(Call { tool: TOOL, arguments, pool, deadline: QUERY_DEADLINE }).await?;
    if answer.trim_ascii().is_empty() {
        return Ok(0);
    }
    let found: Vec<Remembered> = serde_json::from_slice(&answer)
        .map_err(|why| CallError::Unreadable { tool: TOOL, message: why.to_string() })?;
    Ok(found.first().map_or(0, |job| job.cluster_id))
}
