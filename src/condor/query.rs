//! One question for all jobs: a projected `condor_q` over our instance.

use htc_core::workload::names::{JobKey, Uid};
use serde_json::{Map, Value};

use super::ad::{Ad, INSTANCE, KEY, PROJECTION, UID};
use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::quote;
use crate::limits::QUERY_DEADLINE;

const TOOL: &str = "condor_q";

/// All jobs of our instance. Only a complete answer is one: the tool ended well and what it wrote
/// is whole (nothing at all means that there are none).
pub async fn all(pool: &Pool, instance: &str) -> Result<Vec<Ad>, CallError> {
    let constraint = format!("{INSTANCE} == {}", quote::string(instance));
    let arguments = ["-allusers", "-json", "-attributes", &PROJECTION.join(","), "-constraint", &constraint]
        .map(str::to_owned)
        .to_vec();
    parse(&run(Call { tool: TOOL, arguments, pool, deadline: QUERY_DEADLINE }).await?)
}

fn parse(answer: &[u8]) -> Result<Vec<Ad>, CallError> {
    if answer.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let ads: Vec<Map<String, Value>> = serde_json::from_slice(answer)
        .map_err(|e| CallError::Unreadable { tool: TOOL, message: e.to_string() })?;
    // An ad without a key of ours is a stranger with our instance id. One of ours that cannot be
    // read must not pass for absent: then the whole answer is none.
    let ours = ads.iter().filter(|ad| ad.get(KEY).and_then(Value::as_str).is_some_and(is_key));
    ours.map(Ad::parse)
        .collect::<Result<_, _>>()
        .map_err(|message| CallError::Unreadable { tool: TOOL, message })
}

fn is_key(text: &str) -> bool {
    text.parse::<JobKey>().is_ok()
}

/// The constraint for all jobs of some workloads.
pub fn of_workloads<'a>(uids: impl IntoIterator<Item = &'a Uid>) -> String {
    format!("member({UID}, {})", quote::list(uids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_mean_no_jobs_and_a_cut_answer_means_nothing() {
        assert_eq!(parse(b"").unwrap(), []);
        assert_eq!(parse(b"\n").unwrap(), []);
        assert!(parse(b"[\n").is_err());
        assert!(parse(b"[\n{\"ClusterId\": 1,").is_err());
    }
}
