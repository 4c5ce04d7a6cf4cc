//! As much of TLS as a client needs that sends small reports: every server has these ciphers, and
//! what is left out makes the program smaller.

use std::sync::Arc;

use rustls::crypto::ring::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256,
    TLS13_AES_256_GCM_SHA384,
};
use rustls::crypto::ring::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// The given authority cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the CA certificate for events cannot be read: {0}")]
pub struct Error(String);

/// Trusts the authorities of this PEM text, or without one those that browsers trust.
pub fn config(ca: Option<&str>) -> Result<TlsConfig, Error> {
    let roots = ca.map_or(Ok(RootCerts::WebPki), roots)?;
    let provider = TlsConfig::builder().provider(TlsProvider::Rustls);
    Ok(provider.unversioned_rustls_crypto_provider(Arc::new(crypto())).root_certs(roots).build())
}

fn crypto() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        key_provider: &NoClientKeys,
        ..default_provider()
    }
}

/// We sign reports, not connections.
#[derive(Debug)]
struct NoClientKeys;

impl KeyProvider for NoClientKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("client certificates are not used".to_owned()))
    }
}

fn roots(pem: &str) -> Result<RootCerts, Error> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| Error(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    match certificates.is_empty() {
        true => Err(Error("there is no certificate in it".to_owned())),
        false => Ok(RootCerts::from(certificates)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_certificate_is_no_authority() {
        assert!(config(None).is_ok());
        assert_eq!(
            config(Some("nothing")).unwrap_err().to_string(),
            "the CA certificate for events cannot be read: there is no certificate in it"
        );
    }
}
