//! Connections that callers leave open: closed in time, in the clear and with TLS, never under a question,
//! and no reason to keep anybody out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures::StreamExt;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::callers::{Callers, guard};
use super::guests::Guests;
use super::serving::serve;
use super::tls::{Tls, TlsFiles, TlsListener};
use crate::limits::{CALLER_SILENCE, CONNECTION_BUFFER};

/// How long something may take that must happen.
const SOON: Duration = Duration::from_secs(60);
/// Longer than any test: nobody is closed for his silence.
const NEVER: Duration = Duration::from_secs(3_600);

/// A listener of callers: `/` is answered at once, `/slow` and the end of `/follow` when there is a permit.
struct Site {
    address: SocketAddr,
    go: Arc<Semaphore>,
    /// Whom callers must trust, where there is TLS.
    connector: Option<TlsConnector>,
    _folder: tempfile::TempDir,
}

/// How the listener is.
struct Manner {
    tls: bool,
    seats: usize,
    silence: Duration,
    handshake: Duration,
}

/// Any connection.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl Wire for TcpStream {}
impl Wire for TlsStream<TcpStream> {}

impl Site {
    async fn open(manner: Manner) -> Site {
        let Manner { tls, seats, silence, handshake } = manner;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, go) = (listener.local_addr().unwrap(), Arc::new(Semaphore::new(0)));
        let permits = go.clone();
        let slow = move || async move { permits.acquire().await.map(|_| "late").unwrap() };
        let permits = go.clone();
        // A log that is followed: its first piece at once, its last with a permit.
        let follow = move || {
            let last = async move { permits.acquire().await.map(|_| "late").unwrap() };
            let first = futures::stream::once(async { "first" });
            let pieces = first.chain(futures::stream::once(last)).map(Ok::<_, std::convert::Infallible>);
            async move { axum::body::Body::from_stream(pieces) }
        };
        let router = Router::new().route("/", get(|| async { "here" }));
        let router = router.route("/slow", get(slow)).route("/follow", get(follow));
        let router = guard(router, Callers { ourselves: true, ..Callers::default() });
        let (guests, folder) = (Guests::new(listener, seats, silence), tempfile::tempdir().unwrap());
        let connector = tls.then(|| certified(folder.path()));
        match &connector {
            None => drop(tokio::spawn(serve(guests, router, CancellationToken::new()))),
            Some((tls, _)) => {
                let listener = TlsListener::new(guests, tls.clone(), handshake);
                tokio::spawn(serve(listener, router, CancellationToken::new()));
            }
        }
        Site { address, go, connector: connector.map(|(_, connector)| connector), _folder: folder }
    }

    async fn connect(&self) -> Box<dyn Wire> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        match &self.connector {
            None => Box::new(stream),
            Some(connector) => {
                let name = ServerName::try_from("127.0.0.1").unwrap();
                Box::new(timeout(SOON, connector.connect(name, stream)).await.unwrap().unwrap())
            }
        }
    }

    /// A connection that has been served once and is left open, as virtual kubelets leave theirs.
    async fn served(&self) -> Box<dyn Wire> {
        let mut stream = self.connect().await;
        say(&mut stream, "/").await;
        hears(&mut stream, "here").await;
        stream
    }
}

/// A certificate for the listener, and a caller that trusts it.
fn certified(folder: &std::path::Path) -> (Tls, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.join(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    let trusted = rustls::pki_types::CertificateDer::from_pem_file(&certificate).unwrap();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let files = TlsFiles { certificate, key, client_ca: None, client_optional: false };
    (Tls::new(files).unwrap(), TlsConnector::from(Arc::new(config)))
}

/// Asks, and keeps the connection.
async fn say(stream: &mut Box<dyn Wire>, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// Reads until these words have come.
async fn hears(stream: &mut Box<dyn Wire>, words: &str) {
    let mut heard = Vec::new();
    while !heard.ends_with(words.as_bytes()) {
        let mut buffer = [0; 1_024];
        let length = timeout(SOON, stream.read(&mut buffer)).await.expect("an answer").unwrap();
        assert!(length > 0, "closed after {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..length]);
    }
}

/// Waits until the other side has closed, saying nothing more.
async fn is_closed(stream: &mut (impl AsyncRead + Unpin + ?Sized)) {
    let mut rest = Vec::new();
    // A reset is an end too, and so is a TLS stream without its last word.
    let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("it is closed");
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn the_time_is_the_one_that_released_callers_need() {
    // They do not close their own; their pause between two pings is 30 s.
    assert!((60..=90).contains(&CALLER_SILENCE.as_secs()));
}

#[tokio::test]
async fn a_connection_left_idle_is_closed_and_one_that_waits_for_its_answer_is_not() {
    for (tls, path) in [(false, "/slow"), (true, "/slow"), (false, "/follow"), (true, "/follow")] {
        let silence = Duration::from_millis(200);
        let site = Site::open(Manner { tls, seats: 10, silence, handshake: NEVER }).await;
        let mut waits = site.served().await;
        say(&mut waits, path).await;
        // Twice the patience, at least: the second comes when the first has been closed.
        for _ in 0..2 {
            is_closed(&mut *site.served().await).await;
        }
        site.go.add_permits(1);
        // The end of the pieces has words of its own.
        hears(&mut waits, if path == "/follow" { "late\r\n0\r\n\r\n" } else { "late" }).await;
        // Its time begins with the answer, and ends too.
        is_closed(&mut *waits).await;
    }
}

#[tokio::test]
async fn each_question_begins_the_time_anew() {
    for tls in [false, true] {
        let silence = Duration::from_secs(2);
        let site = Site::open(Manner { tls, seats: 10, silence, handshake: NEVER }).await;
        let mut asks = site.served().await;
        // It outlives one that came later and asked nothing more.
        let mut left = site.served().await;
        let left_is_closed = is_closed(&mut *left);
        tokio::pin!(left_is_closed);
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                () = &mut left_is_closed => break,
                _ = ticks.tick() => {
                    say(&mut asks, "/").await;
                    hears(&mut asks, "here").await;
                }
            }
        }
        say(&mut asks, "/").await;
        hears(&mut asks, "here").await;
    }
}

#[tokio::test]
async fn a_room_full_of_idle_connections_has_a_seat_for_a_newcomer() {
    for tls in [false, true] {
        let site = Site::open(Manner { tls, seats: 4, silence: NEVER, handshake: NEVER }).await;
        let mut waits = site.served().await;
        say(&mut waits, "/slow").await;
        let (mut oldest, mut later) = (site.served().await, [site.served().await, site.served().await]);
        // All seats are taken. The newcomer's first words are its handshake, for which it needs one.
        let mut newcomer = site.served().await;
        is_closed(&mut *oldest).await;
        for stream in &mut later {
            say(stream, "/").await;
            hears(stream, "here").await;
        }
        say(&mut newcomer, "/").await;
        hears(&mut newcomer, "here").await;
        // Who waits for an answer has the oldest connection of all, and keeps it.
        site.go.add_permits(1);
        hears(&mut waits, "late").await;
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended_and_holds_up_nobody() {
    let handshake = Duration::from_millis(200);
    let site = Site::open(Manner { tls: true, seats: 10, silence: NEVER, handshake }).await;
    // Nothing at all, the beginning of a hello, and a byte now and then.
    let mut silent = TcpStream::connect(site.address).await.unwrap();
    let mut stops = TcpStream::connect(site.address).await.unwrap();
    stops.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    let (mut slow, mut trickle) = TcpStream::connect(site.address).await.unwrap().into_split();
    let trickles = tokio::spawn(async move {
        trickle.write_all(b"\x16\x03\x01\x3f\x00\x01").await.unwrap();
        while trickle.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    site.served().await;
    is_closed(&mut silent).await;
    is_closed(&mut stops).await;
    is_closed(&mut slow).await;
    timeout(SOON, trickles).await.expect("it notices").unwrap();
}

#[tokio::test]
async fn a_room_full_of_handshakes_has_a_seat_for_a_newcomer() {
    let site = Site::open(Manner { tls: true, seats: 4, silence: NEVER, handshake: NEVER }).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(site.address).await.unwrap());
    }
    site.served().await;
    is_closed(&mut silent[0]).await;
}

/// Each of thousands could hold 400 KiB of them.
#[tokio::test]
async fn headers_without_end_are_refused_at_32_kib() {
    for tls in [false, true] {
        let site = Site::open(Manner { tls, seats: 100, silence: NEVER, handshake: NEVER }).await;
        let mut endless = Vec::new();
        for _ in 0..20 {
            let mut stream = site.connect().await;
            let header = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(CONNECTION_BUFFER));
            stream.write_all(header.as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
            endless.push(stream);
        }
        for stream in &mut endless {
            hears(stream, "\r\n\r\n").await;
            is_closed(stream).await;
        }
        // A long token is taken.
        let mut stream = site.connect().await;
        let request =
            format!("GET / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", "y".repeat(24 << 10));
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        hears(&mut stream, "here").await;
    }
}
