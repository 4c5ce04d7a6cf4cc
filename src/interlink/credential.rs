//! Whether the proxy or token that HTCondor's tools show is there and still good. The plugin said so in its
//! ping; here a setting asks for it.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::http::fresh::Fresh;

/// A proxy or token, as its file is now.
pub struct Credential {
    file: PathBuf,
    /// When it ends, in seconds since the epoch; why nobody knows otherwise.
    end: Fresh<Result<i64, String>>,
}

impl Credential {
    /// Reads the file, which need not be good yet, and watches it.
    pub fn new(file: PathBuf) -> Result<Credential, String> {
        // What is wrong with it is news too.
        let read = |files: &[PathBuf]| Ok(read(&files[0]));
        Ok(Credential { end: Fresh::new(vec![file.clone()], read)?, file })
    }

    /// Why it is no good now, in one sentence, if it is not.
    pub fn trouble(&self, now: Timestamp) -> Option<String> {
        match self.end.get() {
            Ok(end) if end > now.as_second() => None,
            Ok(end) => {
                let (shown, ago) = (self.file.display(), now.as_second() - end);
                Some(format!("the proxy or token {shown} expired {ago} s ago; renew it"))
            }
            Err(why) => Some(why),
        }
    }
}

fn read(file: &Path) -> Result<i64, String> {
    let shown = file.display();
    let bytes = fs::read(file).map_err(|why| format!("the proxy or token {shown} cannot be read: {why}"))?;
    end(&bytes).ok_or_else(|| format!("{shown} is neither a proxy nor a token"))
}

/// When it ends, in seconds since the epoch; the end of time for a token that does not say.
fn end(bytes: &[u8]) -> Option<i64> {
    let is_pem = bytes.windows(10).any(|window| window == b"-----BEGIN");
    if is_pem { certificate_end(bytes) } else { token_end(bytes) }
}

/// A chain is good for as long as all of it is.
pub fn certificate_end(pem: &[u8]) -> Option<i64> {
    let end = |der: CertificateDer<'_>| {
        let certificate = Certificate::from_der(&der).ok()?;
        let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
        i64::try_from(end.as_secs()).ok()
    };
    let ends: Option<Vec<i64>> =
        CertificateDer::pem_slice_iter(pem).map(|der| der.ok().and_then(end)).collect();
    ends?.into_iter().min()
}

fn token_end(bytes: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: Option<i64>,
    }
    let token = std::str::from_utf8(bytes).ok()?.split_whitespace().next()?;
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(claims.exp.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn trouble(content: &str, now: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("credential");
        fs::write(&file, content).unwrap();
        Credential::new(file).unwrap().trouble(now.parse().unwrap())
    }

    #[test]
    fn a_proxy_is_good_until_it_or_its_issuer_ends() {
        let key = KeyPair::generate().unwrap();
        let until = |year| {
            let mut params = CertificateParams::default();
            params.not_after = date_time_ymd(year, 1, 1);
            params.self_signed(&key).unwrap().pem()
        };
        let proxy = format!("{}{}{}", until(2030), key.serialize_pem(), until(2031));
        assert_eq!(trouble(&proxy, "2029-12-31T00:00:00Z"), None);
        let why = trouble(&proxy, "2030-01-01T00:00:10Z").unwrap();
        assert!(why.contains("expired 10 s ago") && !why.contains("PRIVATE"), "{why}");
        let proxy = format!("{}{}", until(2031), until(2029));
        assert!(trouble(&proxy, "2029-12-31T00:00:00Z").is_some());
    }

    #[test]
    fn a_token_is_good_until_it_ends() {
        let token = |claims: &str| format!("e30.{}.c2ln\n", URL_SAFE_NO_PAD.encode(claims));
        let now = "2030-01-01T00:00:00Z";
        assert_eq!(trouble(&token(r#"{"exp": 1900000000}"#), now), None);
        assert_eq!(trouble(&token("{}"), now), None);
        assert!(trouble(&token(r#"{"exp": 1800000000}"#), now).unwrap().contains("renew"));
        for bad in ["", "nonsense", "a.b.c", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            assert!(trouble(bad, now).unwrap().contains("neither"), "{bad}");
        }
        let missing =
            Credential::new("/nowhere/proxy".into()).unwrap().trouble(Timestamp::UNIX_EPOCH).unwrap();
        assert!(missing.contains("cannot be read"), "{missing}");
    }
}
