//! `result.json`: the last report of a job as the file that HTCondor brings home.
//!
//! It is the JSON of the report with one field more in front, `{"signature":"v1,…",`. The signature is that
//! of [`crate::events`] over [`WORD`], a line break and the raw bytes of the report without that field. No
//! other body that a job signs begins with this word, so none passes for a result, and none of another job
//! does: whoever shares the worker with a job may write the file, but cannot sign it. Senders of earlier
//! releases did not sign; see [`read_unsigned`].

use serde_json::Deserializer;

use crate::events::{Signature, sign};
use crate::workload::names::JobKey;
use crate::workload::report::{self, Report};

/// What the signed bytes begin with.
pub const WORD: &[u8] = b"htc-result-1";

/// The longest file, in bytes: a report, and room for its signature. Nobody reads a longer one.
pub const FILE_MAX: usize = report::MAX + (1 << 10);

const FIELD: &[u8] = b"{\"signature\":";

/// Who signs: the id of the master key, and the key of the job.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The id of the master key.
    pub key_id: &'a str,
    /// The key of the job.
    pub key: &'a [u8],
}

/// The content of the file.
pub fn write(report: &Report, signer: Option<Signer<'_>>) -> Vec<u8> {
    let body = serde_json::to_vec(report).expect("our words have only strings as keys");
    let Some(Signer { key_id, key }) = signer else { return body };
    let signature = serde_json::Value::from(sign(key_id, key, &signed(&body))).to_string();
    [FIELD, signature.as_bytes(), b",", &body[1..]].concat()
}

/// The report in a file, where this job has signed it; `key` finds the job's key by the id of the master key.
pub fn read(bytes: &[u8], job: &JobKey, key: impl FnOnce(&str) -> Option<Vec<u8>>) -> Option<Report> {
    let bytes = fitting(bytes)?.strip_prefix(FIELD)?;
    let mut strings = Deserializer::from_slice(bytes).into_iter::<String>();
    let signature = Signature::parse(&strings.next()?.ok()?)?;
    let rest = bytes[strings.byte_offset()..].strip_prefix(b",")?;
    let body = [b"{", rest].concat();
    let key = key(&signature.key_id)?;
    signature.is_of(&key, &signed(&body)).then(|| parse(&body, job))?
}

/// The report in a file of a sender that did not sign: jobs of earlier releases may still run.
pub fn read_unsigned(bytes: &[u8], job: &JobKey) -> Option<Report> {
    parse(fitting(bytes)?, job)
}

fn signed(body: &[u8]) -> Vec<u8> {
    [WORD, b"\n", body].concat()
}

/// The bytes without the blanks at their end, unless there are more than a sender writes.
fn fitting(bytes: &[u8]) -> Option<&[u8]> {
    (bytes.len() <= FILE_MAX).then(|| bytes.trim_ascii_end())
}

fn parse(body: &[u8], job: &JobKey) -> Option<Report> {
    serde_json::from_slice(body).ok().filter(|report: &Report| report.key == *job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{job_key, sign};
    use crate::workload::report::{MESSAGE_MAX, tests::report};

    const KEY_ID: &str = "k\"1";

    fn job() -> JobKey {
        "u/0/0/0".parse().unwrap()
    }

    fn signer(key: &[u8]) -> Option<Signer<'_>> {
        Some(Signer { key_id: KEY_ID, key })
    }

    fn read_by(bytes: &[u8], job: &JobKey) -> Option<Report> {
        read(bytes, job, |id| (id == KEY_ID).then(|| job_key(b"master", job)))
    }

    #[test]
    fn a_signed_result_comes_out_as_it_went_in_for_its_own_job() {
        let report = report(2, "said \"}\", and more");
        let bytes = write(&report, signer(&job_key(b"master", &job())));
        assert_eq!(read_by(&bytes, &job()), Some(report.clone()));
        assert_eq!(read_by(&[&bytes, &b" \n\0"[..2]].concat(), &job()), Some(report.clone()));
        assert_eq!(read_by(&bytes, &"u/1/0/0".parse().unwrap()), None);
        // It is the report's JSON still: an operator of before reads it, and so does a person.
        assert_eq!(read_unsigned(&bytes, &job()), Some(report));
    }

    #[test]
    fn what_the_job_has_not_signed_as_its_result_says_nothing() {
        let key = job_key(b"master", &job());
        let body = write(&report(2, "m"), None);
        let with = |signature: String| {
            let signature = serde_json::Value::from(signature).to_string();
            [FIELD, signature.as_bytes(), b",", &body[1..]].concat()
        };
        assert_eq!(read_by(&body, &job()), None, "without a signature");
        assert_eq!(read_by(&with(sign(KEY_ID, &key, &body)), &job()), None, "the signature of an event");
        assert!(read_by(&with(sign(KEY_ID, &key, &signed(&body))), &job()).is_some());
        assert_eq!(read_by(&with(sign("other", &key, &signed(&body))), &job()), None);
        for bytes in [&b""[..], b" ", b"{}", b"{\"signature\":", b"{\"signature\":\"v1,k,AAAA\"", b"\xff"] {
            assert_eq!(read_by(bytes, &job()), None);
        }
        let mut forged = write(&report(2, "m"), signer(&key));
        let at = forged.len() - 20;
        forged[at] ^= 1;
        assert_eq!(read_by(&forged, &job()), None);
    }

    #[test]
    fn every_report_that_fits_makes_a_file_that_fits_and_a_longer_file_says_nothing() {
        let largest = report(20, &"\u{1}".repeat(MESSAGE_MAX)).fitted();
        let bytes = write(&largest, signer(&job_key(b"master", &job())));
        assert!(bytes.len() <= FILE_MAX && read_by(&bytes, &job()).is_some());
        let long = [bytes.as_slice(), &vec![b' '; FILE_MAX]].concat();
        assert!(read_by(&long, &job()).is_none() && read_unsigned(&long, &job()).is_none());
    }
}
