//! What HTCondor remembers of jobs that have left the queue.

use htc_core::workload::progress::JobId;

use super::ad::PROJECTION;
use super::cli::{Call, CallError, run};
use super::pool::Pool;
use super::query::{self, Answer, Strangers};
use super::whose::Whose;
use crate::limits::HISTORY_DEADLINE;

const TOOL: &str = "condor_history";

/// Looks for jobs of ours by their ids, and for the strangers. The tool reads its files from their ends and
/// stops when it has found as many as were asked for, so this is for few jobs at a time. What is not found
/// proves nothing: the files are cut.
pub async fn of(
    pool: &Pool,
    whose: &Whose,
    ids: &[JobId],
    strangers: &Strangers,
) -> Result<Answer, CallError> {
    let strange = query::with_ids_of_strangers(strangers.keys());
    let constraint = format!("({}) || ({strange})", whose.with_ids(ids));
    let limit = (ids.len() + strangers.len()).to_string();
    let arguments =
        ["-json", "-attributes", &PROJECTION.join(","), "-limit", &limit, "-constraint", &constraint];
    let arguments = arguments.map(str::to_owned).to_vec();
    let answer = run(Call { tool: TOOL, arguments, pool, deadline: HISTORY_DEADLINE }).await?;
    query::read(whose, strangers, &answer).map_err(|message| CallError::Unreadable { tool: TOOL, message })
}
