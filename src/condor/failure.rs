//! What a failed `condor_submit` is about, by the words of the tool: they tell an outage from a limit
//! and a limit from a refusal. Words that are on no list may mean one row, or everything.

use super::cli::CallError;

/// What a failed `condor_submit` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The schedd is away, or does not let us in.
    Pool,
    /// The tool could not do its work, whatever it was asked for.
    Ours,
    /// The jobs are committed, but their files did not all arrive.
    Spool,
    /// The schedd takes fewer jobs in one submission.
    Batch,
    /// The schedd has as many jobs as it takes, of us or of all.
    Queue,
    /// It was answered: what was asked for is refused.
    Refused,
    /// Nobody knows: one of the jobs may be to blame, or none.
    Unknown,
}

/// How the first `ERROR:` begins when the schedd is away, or lost in between.
const POOL: &[&str] = &[
    "Can't find address",
    "Failed to connect",
    "Failed submission for job",
    "Failed to end classad",
    "SECMAN:",
    "AUTHENTICATE:",
    "CEDAR:",
];

/// How it begins when something is missing that all submissions need. `create cluster` and `create proc`
/// are the schedd's words for a lost connection, where no limit stands behind them.
const OURS: &[&str] = &[
    "Failed to create cluster",
    "Failed to create proc",
    "Can't access executable file",
    "Executable file",
    "Failed to open command file",
    "No such directory",
];

/// How it begins when the tool cannot read a value of the description.
const DESCRIPTION: &[&str] =
    &["Parse error in expression", "Invalid concurrency limit", "Invalid accounting_group", "invalid signal"];

/// What it has in it then, behind the user's own value.
const INVALID: &[&str] = &["is invalid, must eval to", "must contain a units suffix"];

/// Limits of one submission: the schedd's and the tool's own.
/// <https://htcondor.readthedocs.io/en/latest/admin-manual/configuration-macros.html#MAX_JOBS_PER_SUBMISSION>
const BATCH: &[&str] = &[
    "Number of submitted jobs would exceed MAX_JOBS_PER_SUBMISSION",
    "number of procs exceeds SUBMIT_MAX_PROCS_IN_CLUSTER",
];

/// Limits of the queue: for one owner, and for all.
const QUEUE: &[&str] = &[
    "Number of submitted jobs would exceed MAX_JOBS_PER_OWNER",
    "Number of submitted jobs would exceed MAX_JOBS_SUBMITTED",
];

impl Failure {
    /// What a failure is about; `committed` when the tool had printed an id before.
    pub fn of(error: &CallError, committed: bool) -> Failure {
        match error {
            CallError::Deadline { .. } if committed => Failure::Spool,
            CallError::Deadline { .. } => Failure::Pool,
            CallError::Start { .. } | CallError::TooLong { .. } | CallError::Unreadable { .. } => {
                Failure::Ours
            }
            CallError::Died { .. } if committed => Failure::Spool,
            CallError::Died { .. } => Failure::Unknown,
            CallError::Failed { message, .. } => of_words(message, committed),
        }
    }

    /// A label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Failure::Pool => "pool",
            Failure::Ours => "ours",
            Failure::Spool => "spool",
            Failure::Batch => "batch",
            Failure::Queue => "queue",
            Failure::Refused => "refused",
            Failure::Unknown => "unknown",
        }
    }
}

/// Lines stand one behind the other, with `; ` between. A value of a user may be in them, and may read
/// like one of our signs: only how the first error begins, and the whole line after it, count.
fn of_words(message: &str, committed: bool) -> Failure {
    let without = |line: &'_ str| line.trim_start_matches("ERROR:").trim_start().to_owned();
    let mut lines = message.split("; ").skip_while(|line| !line.starts_with("ERROR:"));
    let first = without(lines.next().or_else(|| message.split("; ").next()).unwrap_or_default());
    let rest: Vec<&str> = lines.collect();
    let next = without(rest.first().copied().unwrap_or_default());
    let begins = |signs: &[&str]| signs.iter().any(|sign| first.starts_with(sign));
    let counted =
        begins(&["Failed to create cluster", "Failed to create proc", "MAX_JOBS_SUBMITTED exceeded"]);
    let is_limit = |signs: &[&str]| begins(signs) || (counted && signs.contains(&next.as_str()));
    let is_disabled = begins(&["User "]) && next == "User is disabled";
    match () {
        () if committed || begins(&["Failed to spool"]) => Failure::Spool,
        // With an error of its own behind it, the schedd answered and said no.
        () if begins(&["Failed to commit job submission"]) => {
            let said_no = rest.iter().any(|line| line.starts_with("ERROR:"));
            if said_no { Failure::Refused } else { Failure::Pool }
        }
        () if is_limit(BATCH) => Failure::Batch,
        () if is_limit(QUEUE) => Failure::Queue,
        () if begins(POOL) => Failure::Pool,
        () if begins(OURS) || is_disabled => Failure::Ours,
        () if begins(DESCRIPTION) || INVALID.iter().any(|sign| first.contains(sign)) => Failure::Refused,
        () => Failure::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    const TOOL: &str = "condor_submit";

    /// The texts are those of condor_submit 23.9.6 and 25.14.1.
    #[rstest]
    #[case::no_schedd("ERROR: Can't find address of schedd a@b", Failure::Pool)]
    #[case::killed(
        "ERROR: Failed to connect to queue manager a@b; SECMAN:2011:Connection closed",
        Failure::Pool
    )]
    #[case::lost("ERROR: Failed to commit job submission into the queue.", Failure::Pool)]
    #[case::lost_with_words(
        "ERROR: Failed to commit job submission into the queue.; SECMAN:2007:Failed to end classad message.",
        Failure::Pool
    )]
    #[case::no(
        "ERROR: Failed to commit job submission into the queue.; ERROR: No memory, no job.",
        Failure::Refused
    )]
    #[case::cluster("ERROR: Failed to create cluster", Failure::Ours)]
    #[case::proc("ERROR: Failed to create proc", Failure::Ours)]
    #[case::upgrade("ERROR: Executable file /opt/htc-sender does not exist", Failure::Ours)]
    #[case::disabled("ERROR: User alice is disabled; User is disabled", Failure::Ours)]
    #[case::submission(
        "ERROR: Failed to create proc; Number of submitted jobs would exceed MAX_JOBS_PER_SUBMISSION",
        Failure::Batch
    )]
    #[case::procs("ERROR: number of procs exceeds SUBMIT_MAX_PROCS_IN_CLUSTER", Failure::Batch)]
    #[case::owner(
        "ERROR: Failed to create proc; Number of submitted jobs would exceed MAX_JOBS_PER_OWNER",
        Failure::Queue
    )]
    #[case::all(
        "ERROR: MAX_JOBS_SUBMITTED exceeded. Current=9, Limit=9; Number of submitted jobs would exceed \
         MAX_JOBS_SUBMITTED",
        Failure::Queue
    )]
    #[case::expression("ERROR: Parse error in expression: ; Requirements = (((", Failure::Refused)]
    #[case::memory("ERROR: request_memory=x is invalid, must eval to an integer.", Failure::Refused)]
    #[case::disk_full("ERROR: write: No space left on device", Failure::Unknown)]
    #[case::nothing("it gave no reason", Failure::Unknown)]
    #[case::spool(
        "DCSchedd::spoolJobFiles:7002:File transfer failed for target job 1.0: x; ERROR: Failed to spool job \
         files.",
        Failure::Spool
    )]
    fn a_failure_is_known_by_the_words_of_the_tool(#[case] words: &str, #[case] about: Failure) {
        let error = CallError::Failed { tool: TOOL, message: words.to_owned() };
        assert_eq!(Failure::of(&error, false), about);
    }

    #[test]
    fn a_value_of_a_user_that_reads_like_an_outage_is_none() {
        for sign in ["Can't find address", "ERROR: Can't find address of schedd", QUEUE[0], BATCH[0]] {
            for words in [
                format!("ERROR: Parse error in expression: ; Requirements = (x; {sign}"),
                format!("ERROR: Parse error in expression: {sign}"),
                format!("ERROR: request_memory=is invalid, must eval to; {sign}; is invalid, must eval to"),
            ] {
                let error = CallError::Failed { tool: TOOL, message: words };
                assert_eq!(Failure::of(&error, false), Failure::Refused, "{error}");
            }
        }
    }

    #[test]
    fn a_tool_that_could_not_work_says_nothing_about_jobs() {
        let start = CallError::Start { tool: TOOL, source: std::io::Error::other("x") };
        assert_eq!(Failure::of(&start, false), Failure::Ours);
        let late = CallError::Deadline {
            tool: TOOL,
            deadline: Duration::from_secs(120),
            after: Duration::from_secs(120),
        };
        assert_eq!((Failure::of(&late, false), Failure::of(&late, true)), (Failure::Pool, Failure::Spool));
        let died = CallError::Died { tool: TOOL, signal: 11, message: String::new() };
        assert_eq!((Failure::of(&died, false), Failure::of(&died, true)), (Failure::Unknown, Failure::Spool));
    }
}
