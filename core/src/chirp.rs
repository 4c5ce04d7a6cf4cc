//! The report as one attribute of the job's ad, for jobs that cannot reach the receiver: HTCondor
//! carries it, a pool with the usual intervals every 5 to 15 minutes.
//!
//! The value is `v1,<key id>,base64(signature),base64(body)`. The attribute is for all to read and
//! is carried as a ClassAd string from which backslashes vanish, so the value holds only characters
//! that pass unchanged. The signature is that of [`crate::events`], cut short. The body is an array,
//! which no event is: neither can be passed off for the other. What the ad says anyway (whose report
//! it is) is left out; the job's key is in the signature, since every job has its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::events::{Signature, sign_short};
use crate::workload::names::JobKey;
use crate::workload::report::{ContainerStatus, Cut, Phase, Report};

/// The name of the attribute: a pool passes on only names that begin with `Chirp`.
pub const ATTRIBUTE: &str = "ChirpHTCReport";

/// The longest value, in bytes: HTCondor's own limit is a line of about 1,000.
pub const MAX: usize = 900;

/// What of a report travels: start, seq, clock, phase, exit code, init containers, containers, and
/// the cut where there is one (a sender of an earlier operator knows of none).
#[derive(Serialize, Deserialize)]
struct Body(
    u32,
    u64,
    Timestamp,
    Phase,
    Option<i32>,
    Vec<ContainerStatus>,
    Vec<ContainerStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")] Option<Cut>,
);

/// The value for a report, signed and never longer than [`MAX`].
///
/// Everybody can read the ad, so no message travels: it may be what the user's program said last. A report
/// that is too long loses, in this order, as much as it must: its init containers, its containers. A last
/// report travels whole or not at all: an end is judged by it, and `result.json` brings the whole one home.
/// What it left out of its outputs is the user's words too: it has names of files.
pub fn encode(key_id: &str, key: &[u8], report: &Report) -> Option<String> {
    let mut states = report.init_containers.iter().chain(&report.containers).map(|status| &status.state);
    let has_texts = report.worker_fault.is_some() || report.left_out.is_some();
    let has_words = has_texts || states.any(|state| !state.message().is_empty());
    if report.is_final() && has_words {
        return None;
    }
    let value = |body: &Body| {
        let body = serde_json::to_vec(body).ok()?;
        let value = format!("{},{}", sign_short(key_id, key, &body), STANDARD.encode(&body));
        (value.len() <= MAX).then_some(value)
    };
    let mut body = body_of(report);
    let mut shorten = SHORTENINGS.iter().take(if report.is_final() { 0 } else { SHORTENINGS.len() });
    loop {
        match value(&body) {
            Some(value) => return Some(value),
            None => shorten.next()?(&mut body),
        }
    }
}

/// The report in a value, where this job has signed it; none of anything else. `key` finds the job's
/// signing key by the id of the master key. The names of the outside object are not in it.
pub fn decode<'a>(
    text: &'a str,
    job: &JobKey,
    key: impl FnOnce(&'a str) -> Option<Vec<u8>>,
) -> Option<Report> {
    let (signature, body) = text.rsplit_once(',').filter(|_| text.len() <= MAX)?;
    let key = key(signature.split(',').nth(1)?)?;
    let body = STANDARD.decode(body).ok()?;
    Signature::parse(signature)?.is_short_of(&key, &body).then_some(())?;
    let Body(start, seq, now, phase, retcode, init_containers, containers, cut) =
        serde_json::from_slice(&body).ok()?;
    Some(Report {
        name: String::new(),
        namespace: String::new(),
        jobid: None,
        retcode,
        key: job.clone(),
        start,
        seq,
        now,
        phase,
        cut,
        worker_fault: None,
        left_out: None,
        init_containers,
        containers,
    })
}

fn body_of(report: &Report) -> Body {
    // No `..`: a field that is forgotten here would never arrive.
    let Report {
        name: _,
        namespace: _,
        jobid: _,
        retcode,
        key: _,
        start,
        seq,
        now,
        phase,
        cut,
        // Of a last report, which does not travel with one.
        worker_fault: _,
        left_out: _,
        init_containers,
        containers,
    } = report;
    let [inits, containers] = [init_containers, containers].map(|list| {
        let mut list = list.clone();
        list.iter_mut().for_each(|status| status.state.cut_message(0));
        list
    });
    Body(*start, *seq, *now, *phase, *retcode, inits, containers, cut.clone())
}

/// What a report that is too long loses, in this order.
const SHORTENINGS: [fn(&mut Body); 2] =
    [|Body(.., init_containers, _, _)| init_containers.clear(), |Body(.., containers, _)| containers.clear()];

#[cfg(test)]
#[path = "chirp_tests.rs"]
mod tests;
