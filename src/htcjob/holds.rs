//! What is on hold of an HTCJob: by HTCondor's hold code, and in words.

use std::collections::BTreeMap;

use htc_core::workload::progress::Progress;

use super::status::{Draft, intervals};
use super::types::{HTCJobStatus, Hold};
use crate::engine::{View, holds};

/// The type of the condition.
pub const HELD: &str = "Held";
/// Its reason when nothing is on hold any more.
pub const RELEASED: &str = "Released";

/// A message tells of so many holds; the status lists all.
const TOLD: usize = 3;
/// Intervals of indices that a hold names.
const INTERVALS: usize = 5;

/// The holds, one for each code and remedy; those of most copies first. The sentence is that of the
/// lowest index.
pub fn list(view: &View) -> Vec<Hold> {
    let mut found: BTreeMap<(i64, &str), (i64, &str, Vec<u32>)> = BTreeMap::new();
    for job in &view.jobs {
        if let Progress::Held { code, subcode, reason, .. } = &job.progress {
            let key = (*code, holds::remedy(*code, *subcode));
            found.entry(key).or_insert((*subcode, reason, Vec::new())).2.push(job.index);
        }
    }
    let mut groups: Vec<_> = found.into_iter().collect();
    groups.sort_by_key(|(_, (_, _, indices))| (std::cmp::Reverse(indices.len()), indices.first().copied()));
    let hold = |((code, remedy), (subcode, reason, indices)): ((i64, &str), (i64, &str, Vec<u32>))| Hold {
        reason: holds::name(code).into_owned(),
        code,
        subcode,
        copies: indices.len() as i64,
        indexes: few(&intervals(indices.into_iter()).unwrap_or_default()),
        message: reason.trim_end_matches('.').to_owned(),
        remedy: remedy.to_owned(),
    };
    groups.into_iter().map(hold).collect()
}

/// The condition; nothing for an HTCJob that was never on hold.
pub fn condition(holds: &[Hold], indices: u32, old: &HTCJobStatus) -> Option<Draft> {
    match holds.first() {
        Some(first) => {
            let copies: i64 = holds.iter().map(|hold| hold.copies).sum();
            let told: Vec<String> = holds.iter().take(TOLD).map(sentence).collect();
            let message = format!("{copies} of {indices} on hold; {}", told.join("; "));
            Some((HELD, true, first.reason.clone(), message))
        }
        None if old.conditions.iter().any(|c| c.type_ == HELD) => {
            Some((HELD, false, RELEASED.to_owned(), "nothing is on hold any more".to_owned()))
        }
        None => None,
    }
}

/// What HTCondor says of a hold, and who can do what.
pub fn sentence(hold: &Hold) -> String {
    let Hold { reason: _, code, subcode, copies: _, indexes, message, remedy } = hold;
    format!("index {indexes}: {message} (hold code {code}, subcode {subcode}). {remedy}")
}

/// The first few of many intervals.
pub(super) fn few(intervals: &str) -> String {
    match intervals.match_indices(',').nth(INTERVALS - 1) {
        Some((end, _)) => format!("{},…", &intervals[..end]),
        None => intervals.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HOLD_REASON_MAX;

    #[test]
    fn of_many_intervals_the_first_few_are_named() {
        assert_eq!(few("1,3,5,7-8,10"), "1,3,5,7-8,10");
        assert_eq!(few("1,3,5,7-8,10,12"), "1,3,5,7-8,10,…");
    }

    #[test]
    fn every_hold_fits_in_an_event() {
        for code in 0..50 {
            for subcode in [0, 102, 104] {
                let hold = Hold {
                    reason: holds::name(code).into_owned(),
                    code,
                    subcode,
                    copies: 1,
                    indexes: "10000-10001,".repeat(INTERVALS) + "…",
                    message: "x".repeat(HOLD_REASON_MAX) + "…",
                    remedy: holds::remedy(code, subcode).to_owned(),
                };
                let note = format!("{}: {}", hold.reason, sentence(&hold));
                assert!(note.len() < 1_000, "{} bytes: {note}", note.len());
            }
        }
    }
}
