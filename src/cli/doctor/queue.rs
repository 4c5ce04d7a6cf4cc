//! The queue: what the operator that runs cannot follow there.

use std::path::Path;

use super::data::is_in_use;
use super::finding::Finding;
use crate::control::client::{self, JobsQuery, Line};
use crate::control::trouble::TroubleLine;

const CHECK: &str = "queue";

/// What the operator of this data folder has to tell of the queue; nothing where none runs.
pub async fn check(data: &Path) -> Vec<Finding> {
    if !is_in_use(data) {
        return Vec::new();
    }
    let query = JobsQuery { limit: Some(0), ..JobsQuery::default() };
    let mut told = TroubleLine::default();
    let answer = client::jobs(data, &query, |line| {
        if let Line::Trouble(trouble) = line {
            told = trouble;
        }
        Ok(())
    });
    match answer.await {
        Ok(()) => judge(&told),
        Err(why) => {
            let remedy = "look at the operator's log; is it of this version?";
            vec![Finding::warning(CHECK, format!("the operator does not say how it is: {why:#}"), remedy)]
        }
    }
}

fn judge(told: &TroubleLine) -> Vec<Finding> {
    let TroubleLine { missing, vanished, unreadable, foreign, mismatch, .. } = told;
    let mut findings = Vec::new();
    if !mismatch.is_empty() {
        let found = format!("the database was kept for another queue: {}", mismatch.join("; "));
        let remedy =
            "bring back what belongs together; if it does: htc-operator db accept (docs/reliability.md)";
        findings.push(Finding::failed(CHECK, found, remedy));
    }
    let lost = "see the condition Tracked of the HTCJobs and condor_history; a job that is back goes on";
    if *vanished {
        let found = format!("{missing} jobs have vanished at once, most of all");
        let remedy =
            format!("see that it is the right schedd (--schedd-name) and that its spool is mounted; {lost}");
        findings.push(Finding::failed(CHECK, found, remedy));
    } else if *missing > 0 {
        findings.push(Finding::warning(CHECK, format!("{missing} jobs are missing"), lost));
    }
    if *unreadable > 0 {
        let remedy = "the operator's log names them; mend them with condor_qedit, or remove them";
        let found = format!("{unreadable} ads of jobs cannot be read, so those are not followed");
        findings.push(Finding::warning(CHECK, found, remedy));
    }
    if *foreign > 0 {
        let found = format!("{foreign} jobs of other users bear our instance id; they are ignored");
        findings.push(Finding::warning(CHECK, found, "the operator's log names the first; ask who that is"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "all jobs can be followed"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_followed_is_told_with_what_to_do() {
        let of = |missing, vanished, unreadable| {
            judge(&TroubleLine { missing, vanished, unreadable, ..TroubleLine::default() })
        };
        assert!(!of(0, false, 0)[0].has_failed());
        assert!(of(9, true, 0)[0].has_failed() && of(9, true, 0)[0].found.contains("vanished at once"));
        let some = of(1, false, 2);
        assert_eq!(some.iter().map(Finding::has_failed).collect::<Vec<_>>(), [false, false]);
        assert!(some[1].found.starts_with("2 ads"));
        let strange = judge(&TroubleLine { foreign: 3, ..TroubleLine::default() });
        let apart = vec!["the schedd was a and is b".to_owned()];
        let other = judge(&TroubleLine { mismatch: apart, ..TroubleLine::default() });
        assert!(other[0].has_failed() && other[0].found.ends_with("was a and is b"), "{}", other[0]);
        assert!(strange[0].found.starts_with("3 jobs of other users") && !strange[0].has_failed());
    }
}
