//! TLS in front of a listener: certificates that are read again when they change, client certificates
//! where they are asked for, and handshakes beside one another, so that a slow one holds up nobody.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::fresh::Fresh;

/// The files of a TLS listener.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain of the certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authority of client certificates, PEM, if any are asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate gets through.
    pub client_optional: bool,
}

/// TLS as the files say now.
#[derive(Clone)]
pub struct Tls(Arc<Fresh<Arc<ServerConfig>>>);

impl Tls {
    /// Reads the files.
    pub fn new(files: TlsFiles) -> Result<Tls, String> {
        let TlsFiles { certificate, key, client_ca, client_optional } = files;
        let read = if client_optional { optional } else { required };
        let files = [certificate, key].into_iter().chain(client_ca).collect();
        Ok(Tls(Arc::new(Fresh::new(files, read)?)))
    }
}

fn required(files: &[PathBuf]) -> Result<Arc<ServerConfig>, String> {
    config(files, false)
}

fn optional(files: &[PathBuf]) -> Result<Arc<ServerConfig>, String> {
    config(files, true)
}

/// From certificate, key and perhaps the authority of client certificates.
fn config(files: &[PathBuf], optional: bool) -> Result<Arc<ServerConfig>, String> {
    let (certificate, key, authority) = match files {
        [certificate, key] => (certificate, key, None),
        [certificate, key, authority] => (certificate, key, Some(authority)),
        _ => return Err("a certificate and a key are needed".to_owned()),
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    // 1.2 and 1.3: the library has no older ones.
    let builder = builder.with_safe_default_protocol_versions().map_err(|why| why.to_string())?;
    let verifier: Arc<dyn ClientCertVerifier> = match authority {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|why| format!("{}: {why}", file.display()))?;
            }
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let builder = if optional { builder.allow_unauthenticated() } else { builder };
            builder.build().map_err(|why| format!("{}: {why}", file.display()))?
        }
    };
    let chain = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|why| format!("failed to read the key {}: {why}", key.display()))?;
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|why| format!("{} and {}: {why}", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: String| format!("failed to read the certificates of {}: {why}", file.display());
    let found = CertificateDer::pem_file_iter(file).map_err(|why| failed(why.to_string()))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|why| failed(why.to_string()))?;
    if found.is_empty() { Err(failed("there are none".to_owned())) } else { Ok(found) }
}

/// One whose handshake is done.
type Accepted<L> = (TlsStream<<L as Listener>::Io>, <L as Listener>::Addr);

/// A listener behind TLS.
pub struct TlsListener<L: Listener> {
    listener: L,
    tls: Tls,
    patience: Duration,
    handshakes: JoinSet<Option<Accepted<L>>>,
}

impl<L: Listener> TlsListener<L> {
    /// Whoever comes to the listener must begin with a handshake, and be done with it in so long.
    pub fn new(listener: L, tls: Tls, patience: Duration) -> TlsListener<L> {
        TlsListener { listener, tls, patience, handshakes: JoinSet::new() }
    }
}

impl<L> Listener for TlsListener<L>
where
    L: Listener,
    L::Addr: 'static,
{
    type Io = TlsStream<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (TlsStream<L::Io>, L::Addr) {
        loop {
            tokio::select! {
                (stream, address) = self.listener.accept() => {
                    let (acceptor, patience) = (TlsAcceptor::from(self.tls.0.get()), self.patience);
                    self.handshakes.spawn(async move {
                        match timeout(patience, acceptor.accept(stream)).await {
                            Ok(Ok(stream)) => Some((stream, address)),
                            Ok(Err(why)) => {
                                tracing::debug!(%why, "a TLS handshake failed");
                                None
                            }
                            Err(_) => None,
                        }
                    });
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(done)) = done {
                        return done;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}
