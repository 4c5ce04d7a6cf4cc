//! Whether the schedd knows attributes that we do not: users could set those.

use super::finding::Finding;
use crate::condor::attributes::release;
use crate::condor::inspect;
use crate::condor::pool::Pool;

const CHECK: &str = "attributes";

/// Compares the schedd's version with the release whose attributes we know. That the pool does not answer is
/// told by other checks.
pub async fn check(pool: &Pool) -> Option<Finding> {
    let version = match &pool.schedd {
        Some(_) => inspect::schedd_version(pool).await,
        // It is of the same installation as the tools.
        None => inspect::version(pool).await.ok(),
    };
    version.map(|version| judge(&version, release()))
}

fn judge(version: &str, known: &str) -> Finding {
    if number(version) <= number(known) {
        return Finding::ok(
            CHECK,
            format!("those of HTCondor {known} and before are known, the schedd has {version}"),
        );
    }
    let remedy = "upgrade the operator; until then look in HTCondor's version history for new attributes of jobs, \
                  and name them in HTC_DENY_ATTRIBUTES";
    let found = format!(
        "the schedd has HTCondor {version}, and only the attributes of {known} and before are known: users can set \
         newer ones by which jobs act on others"
    );
    Finding::warning(CHECK, found, remedy)
}

fn number(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_schedd_is_warned_of() {
        for (version, is_newer) in
            [("23.9.6", false), ("25.14.1", false), ("9.0.17", false), ("25.14.2", true), ("26.0.0", true)]
        {
            let finding = judge(version, "25.14.1");
            assert_eq!(finding != Finding::ok(CHECK, finding.found.clone()), is_newer, "{finding}");
            assert!(finding.found.contains(version) && !finding.has_failed());
        }
    }
}
