//! What is told of outputs that do not come home, or never will.

use super::holds::few;
use super::status::{Draft, intervals};
use super::types::HTCJobStatus;
use crate::engine::{Obstacle, View};

/// The type of the condition.
pub const LATE: &str = "OutputsLate";
/// Its reason when nothing is late any more.
const FETCHED: &str = "NothingLate";

/// The condition; nothing for an HTCJob whose outputs never waited for long.
pub fn condition(view: &View, old: &HTCJobStatus) -> Option<Draft> {
    let mut late =
        view.jobs.iter().filter_map(|job| Some((job.index, job.outputs_late.as_ref()?))).peekable();
    let Some((_, Obstacle { reason, why })) = late.peek().copied() else {
        let was = old.conditions.iter().any(|c| c.type_ == LATE);
        return was.then(|| (LATE, false, FETCHED.to_owned(), "no outputs wait to be fetched".to_owned()));
    };
    let indices = few(&intervals(late.map(|(index, _)| index)).unwrap_or_default());
    let message = format!(
        "the outputs of index {indices} cannot be fetched from the pool, which keeps them; it is tried again: {why}"
    );
    Some((LATE, true, (*reason).to_owned(), message))
}

/// Outputs that will not come home are told, whatever else there is to say.
pub fn with_losses(message: String, view: &View) -> String {
    let lost = view.jobs.iter().filter(|job| job.outputs_lost).map(|job| job.index);
    let told = "could not be fetched from the pool and are lost";
    match intervals(lost) {
        Some(_) if message.contains(told) => message,
        Some(indices) => {
            let between = if message.is_empty() { "" } else { "; " };
            format!("{message}{between}the outputs of index {indices} {told}")
        }
        None => message,
    }
}
