//! The newest jobs of ours that HTCondor remembers: they tell a store that was lost, or put back from a backup.

use htc_core::workload::names::Uid;

use super::ad::UID;
use super::answer;
use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::whose::Whose;
use crate::limits::{HISTORY_LISTED, HISTORY_SCANNED, QUERY_DEADLINE};

const TOOL: &str = "condor_history";

const CLUSTER: &str = "ClusterId";

const PROJECTION: &[&str] = &[CLUSTER, UID];

/// Some jobs of ours in the history whose cluster is higher than this one: their clusters and workloads. Only
/// the newest records are looked at: without a match the tool would read all files that there are.
pub async fn above(pool: &Pool, whose: &Whose, known: u32) -> Result<Vec<(u32, Option<Uid>)>, CallError> {
    let constraint = whose.that(&format!("ClusterId > {known}"));
    let arguments = [
        "-json",
        "-attributes",
        &PROJECTION.join(","),
        "-limit",
        HISTORY_LISTED,
        "-scanlimit",
        HISTORY_SCANNED,
        "-constraint",
        &constraint,
    ];
    let arguments = arguments.map(str::to_owned).to_vec();
    let answer = run(Call { tool: TOOL, arguments, pool, deadline: QUERY_DEADLINE }).await?;
    read(&answer).map_err(|message| CallError::Unreadable { tool: TOOL, message })
}

/// One that somebody has spoilt says nothing, and hides no other.
fn read(answer: &[u8]) -> Result<Vec<(u32, Option<Uid>)>, String> {
    let mut found = Vec::new();
    answer::each(answer, PROJECTION, |job| {
        let cluster = job.int(CLUSTER).ok().flatten().and_then(|cluster| u32::try_from(cluster).ok());
        let uid = job.text(UID).map(|uid| uid.and_then(|uid| uid.parse().ok()));
        found.extend(cluster.zip(uid.ok()));
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_somebody_has_spoilt_hides_no_other() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        for odd in [deep.as_str(), "\"x\"", "-1", "99999999999", "/"] {
            let answer = format!(
                r#"[{{"ClusterId": {odd}, "HTCOperatorUid": "v"}}, {{"ClusterId": 7, "HTCOperatorUid": "u"}}]"#
            );
            assert_eq!(read(answer.as_bytes()), Ok(vec![(7, Some("u".parse().unwrap()))]), "{odd:.60}");
        }
        let odd_uid = format!(r#"[{{"ClusterId": 9, "HTCOperatorUid": {deep}}}, {{"ClusterId": 8}}]"#);
        assert_eq!(read(odd_uid.as_bytes()), Ok(vec![(8, None)]));
        assert_eq!(read(b"\n"), Ok(Vec::new()));
    }
}
