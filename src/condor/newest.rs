//! The newest jobs of ours that HTCondor remembers: they tell a store that was lost, or put back from a backup.

use htc_core::workload::names::Uid;
use serde::Deserialize;
use serde_json::Value;

use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::whose::Whose;
use crate::limits::{HISTORY_LISTED, HISTORY_SCANNED, QUERY_DEADLINE};

const TOOL: &str = "condor_history";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Remembered {
    cluster_id: u32,
    #[serde(rename = "HTCOperatorUid")]
    uid: Option<Uid>,
}

/// Some jobs of ours in the history whose cluster is higher than this one: their clusters and workloads. Only
/// the newest records are looked at: without a match the tool would read all files that there are.
pub async fn above(pool: &Pool, whose: &Whose, known: u32) -> Result<Vec<(u32, Option<Uid>)>, CallError> {
    let constraint = whose.that(&format!("ClusterId > {known}"));
    let arguments = [
        "-json",
        "-attributes",
        "ClusterId,HTCOperatorUid",
        "-limit",
        HISTORY_LISTED,
        "-scanlimit",
        HISTORY_SCANNED,
        "-constraint",
        &constraint,
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    let answer = run(Call { tool: TOOL, arguments, pool, deadline: QUERY_DEADLINE }).await?;
    if answer.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let ads: Vec<Value> = serde_json::from_slice(&answer)
        .map_err(|why| CallError::Unreadable { tool: TOOL, message: why.to_string() })?;
    // One that somebody has spoilt says nothing, and hides no other.
    let found = ads.into_iter().filter_map(|ad| serde_json::from_value::<Remembered>(ad).ok());
    Ok(found.map(|job| (job.cluster_id, job.uid)).collect())
}
