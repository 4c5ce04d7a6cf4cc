//! Outputs that do not come home, as the operator that runs knows them.

use std::path::Path;

use super::finding::Finding;
use crate::control::client;
use crate::control::outputs::LateOutputs;

const CHECK: &str = "outputs";

/// Asks the operator of this data folder; nothing where none runs.
pub async fn check(data: &Path) -> Vec<Finding> {
    if !super::data::is_in_use(data) {
        return Vec::new();
    }
    vec![match client::late_outputs(data).await {
        Ok(late) => judge(late),
        Err(why) => Finding::warning(CHECK, format!("{why:#}"), "see the log of the operator that runs"),
    }]
}

fn judge(late: LateOutputs) -> Finding {
    let LateOutputs { jobs, why } = late;
    if jobs == 0 {
        return Finding::ok(CHECK, "come home");
    }
    let found = format!("of {jobs} jobs cannot be fetched: {}", why.unwrap_or_default());
    let remedy = "see whether condor_transfer_data works as the user of the operator; the pool keeps them for \
                  10 days, or as long as --give-up-outputs-days says";
    Finding::warning(CHECK, found, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_that_wait_are_a_warning_with_the_words_of_the_tool() {
        let found = judge(LateOutputs { jobs: 3, why: Some("no READ".to_owned()) });
        assert_eq!(found.found, "of 3 jobs cannot be fetched: no READ");
        assert!(!found.has_failed());
        assert_eq!(judge(LateOutputs { jobs: 0, why: None }), Finding::ok(CHECK, "come home"));
    }
}
