//! The event: its names, and the signature that proves which job it came from.
//!
//! `HTC-Signature: v1,<key id>,base64(HMAC-SHA256(K, "htc1\n" + body))` over the raw body. K is the
//! job's own key: HMAC-SHA256(master, "htc1-key\n" + job key). The receiver learns which K to use
//! from the header `HTC-Job-Key`, so it can check the raw bytes before it parses any of them; a
//! wrong header only picks a wrong K. Where there is little room the signature is cut to
//! [`SHORT`] bytes (see [`crate::chirp`]).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::workload::names::JobKey;

/// CloudEvents `type`.
pub const TYPE: &str = "htcjob.cloudevent";
/// The type of a test of the way to the receiver, which answers it with 204 and forgets it.
pub const PROBE_TYPE: &str = "htcjob.probe";
/// What such a test sends, signed: its type stands in a header, which nobody signs.
pub const PROBE_BODY: &[u8] = b"{}";
/// CloudEvents `source` unless a setting says otherwise.
pub const DEFAULT_SOURCE: &str = "cern.ch";
/// The path of the receiver.
pub const PATH: &str = "/cloudevents";
/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "HTC-Signature";
/// The header that names the job whose key signed.
pub const JOB_KEY_HEADER: &str = "HTC-Job-Key";

/// How many bytes of a signature are kept where there is little room: nobody guesses 128 bits.
pub const SHORT: usize = 16;

/// The signing key of one job.
pub fn job_key(master: &[u8], key: &JobKey) -> Vec<u8> {
    let mut mac = hmac(master);
    mac.update(b"htc1-key\n");
    mac.update(key.to_string().as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The value of [`SIGNATURE_HEADER`] for a body.
pub fn sign(key_id: &str, key: &[u8], body: &[u8]) -> String {
    written(key_id, &mac_of(key, body).finalize().into_bytes())
}

/// The same, cut to [`SHORT`] bytes.
pub fn sign_short(key_id: &str, key: &[u8], body: &[u8]) -> String {
    written(key_id, &mac_of(key, body).finalize().into_bytes()[..SHORT])
}

/// A signature as it was sent: which master key it wants, and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The id of the master key.
    pub key_id: String,
    mac: Vec<u8>,
}

impl Signature {
    /// Reads the header; `None` when it has another shape.
    pub fn parse(header: &str) -> Option<Signature> {
        let mut parts = header.split(',');
        let (version, key_id, mac) = (parts.next()?, parts.next()?, parts.next()?);
        (version == "v1" && parts.next().is_none()).then_some(())?;
        Some(Signature { key_id: key_id.to_owned(), mac: STANDARD.decode(mac).ok()? })
    }

    /// Whether this is the signature of the body, compared in constant time.
    pub fn is_of(&self, key: &[u8], body: &[u8]) -> bool {
        mac_of(key, body).verify_slice(&self.mac).is_ok()
    }

    /// Whether this is the short signature of the body, compared in constant time.
    pub fn is_short_of(&self, key: &[u8], body: &[u8]) -> bool {
        self.mac.len() == SHORT && mac_of(key, body).verify_truncated_left(&self.mac).is_ok()
    }
}

fn written(key_id: &str, mac: &[u8]) -> String {
    format!("v1,{key_id},{}", STANDARD.encode(mac))
}

fn mac_of(key: &[u8], body: &[u8]) -> Hmac<Sha256> {
    let mut mac = hmac(key);
    mac.update(b"htc1\n");
    mac.update(body);
    mac
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Vec<u8> {
        job_key(b"master", &"u/0/0/0".parse().unwrap())
    }

    #[test]
    fn a_signature_holds_for_its_body_and_its_job_only() {
        let signature = Signature::parse(&sign("k1", &key(), b"body")).unwrap();
        assert_eq!(signature.key_id, "k1");
        assert!(signature.is_of(&key(), b"body"));
        assert!(!signature.is_of(&key(), b"Body"));
        let other = job_key(b"master", &"u/1/0/0".parse().unwrap());
        assert!(!signature.is_of(&other, b"body"));
    }

    #[test]
    fn a_short_signature_holds_only_where_a_short_one_is_asked_for() {
        let short = Signature::parse(&sign_short("k1", &key(), b"body")).unwrap();
        assert!(short.is_short_of(&key(), b"body") && !short.is_of(&key(), b"body"));
        assert!(!short.is_short_of(&key(), b"Body"));
        let long = Signature::parse(&sign("k1", &key(), b"body")).unwrap();
        assert!(!long.is_short_of(&key(), b"body"));
        let empty = Signature::parse("v1,k1,").unwrap();
        assert!(!empty.is_short_of(&key(), b"body"));
    }

    #[test]
    fn a_header_of_another_shape_is_no_signature() {
        for bad in ["", "v1", "v1,k", "v2,k,AAAA", "v1,k,???", "v1,k,AAAA,x"] {
            assert_eq!(Signature::parse(bad), None, "{bad:?}");
        }
        let short = Signature::parse("v1,k,AAAA").unwrap();
        assert!(!short.is_of(&key(), b"body"));
    }
}
