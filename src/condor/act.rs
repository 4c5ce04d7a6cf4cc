//! What we do to many jobs at once: remove, acknowledge, fetch outputs.

use std::time::Duration;

use super::ad::{ACK, FOLDER};
use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::quote;
use crate::limits::ACT_DEADLINE;

/// Says that the jobs may leave the queue. That no job matches is no failure.
pub async fn acknowledge(pool: &Pool, constraint: &str) -> Result<(), CallError> {
    act(pool, "condor_qedit", ["-constraint", constraint, ACK, "true"]).await
}

/// Removes the jobs. That no job matches is no failure.
pub async fn remove(pool: &Pool, constraint: &str) -> Result<(), CallError> {
    act(pool, "condor_rm", ["-constraint", constraint]).await
}

/// Puts jobs on hold whose `JobStatus` somebody has made nonsense of: the schedd removes none of those, though
/// it says that it does. That no job matches is no failure.
pub async fn mend_status(pool: &Pool, constraint: &str) -> Result<(), CallError> {
    let nonsense = format!("({constraint}) && isInteger(JobStatus) =!= true");
    act(pool, "condor_qedit", ["-constraint", &nonsense, "JobStatus", "5"]).await
}

/// Has outputs of jobs brought to this folder, whatever folder they were submitted from.
pub async fn send_outputs_to(pool: &Pool, constraint: &str, folder: &str) -> Result<(), CallError> {
    act(pool, "condor_qedit", ["-constraint", constraint, FOLDER, &quote::string(folder)]).await
}

/// Brings the outputs of jobs home, each to the folder it was submitted from. The exit code proves
/// nothing: look for the files.
pub async fn transfer(pool: &Pool, constraint: &str, deadline: Duration) -> Result<(), CallError> {
    let arguments = ["-constraint", constraint].map(str::to_owned).to_vec();
    run(Call { tool: "condor_transfer_data", arguments, pool, deadline }).await.map(drop)
}

async fn act<const N: usize>(pool: &Pool, tool: &'static str, arguments: [&str; N]) -> Result<(), CallError> {
    let arguments = arguments.map(str::to_owned).to_vec();
    match run(Call { tool, arguments, pool, deadline: ACT_DEADLINE }).await {
        Err(CallError::Failed { message, .. }) if nothing_matched(&message) => Ok(()),
        other => other.map(drop),
    }
}

/// Whether a tool that failed has not got as far as asking: nobody has refused anything.
pub fn has_no_connection(message: &str) -> bool {
    ["SECMAN", "AUTHENTICATE", "Failed to connect", "Can't find address"]
        .iter()
        .any(|sign| message.contains(sign))
}

/// The tools' exit code is 1 when no job matches, as for an outage: only the text tells.
fn nothing_matched(message: &str) -> bool {
    // The same last line follows a refusal.
    let refused = ["DENIED", "ermission denied"];
    !has_no_connection(message)
        && !refused.iter().any(|sign| message.contains(sign))
        && (message.contains("all jobs matching constraint") || message.contains("No attributes were set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_schedd_that_answered_can_say_that_nothing_matched() {
        let qedit = "Failed to set attribute \"HTCAck\" by constraint: (false); \
                     Queue transaction failed.  No attributes were set.";
        assert!(nothing_matched(qedit));
        assert!(nothing_matched(
            "Couldn't find/remove all jobs matching constraint (member(HTCOperatorUid, {\"x\"}))"
        ));
        assert!(!nothing_matched(
            "SECMAN:2011:Connection closed; Couldn't find/remove all jobs matching constraint (x)"
        ));
        assert!(!nothing_matched("condor_rm: (null)"));
        assert!(!nothing_matched(
            "Permission denied to remove job 7.0; Couldn't find/remove all jobs matching constraint (x)"
        ));
        assert!(has_no_connection("AUTHENTICATE:1003:Failed to authenticate with any method"));
        assert!(!has_no_connection(
            "DCSchedd::receiveJobSandbox:7003:File transfer failed for target job 7.0"
        ));
    }
}
