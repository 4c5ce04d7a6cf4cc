//! What a receiver gets to see of a job.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier};

use htc_core::events::{PROBE_TYPE, Signature, TYPE, job_key};
use htc_core::poll::POLL_PATH;
use htc_core::workload::container::Image;
use htc_core::workload::report::{Phase, Report};
use htc_core::workload::spec::{Events, Route};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::scratch::{Scratch, container, job};

pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).unwrap()
    }

    pub fn report(&self) -> Report {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers the n-th request with the n-th code, and all later ones with the last.
pub fn receiver(codes: &'static [u16]) -> (String, Receiver<Request>) {
    let (address, requests) = serve(codes, |stream| stream);
    (format!("http://{address}/base/"), requests)
}

/// The same behind TLS, with the certificate for 127.0.0.1 that `tls/` holds.
fn tls_receiver() -> (String, Receiver<Request>) {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let (address, requests) =
        serve(&[202], move |stream| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream));
    (format!("https://{address}"), requests)
}

fn serve<S: Read + Write>(
    codes: &'static [u16],
    mut wrap: impl FnMut(TcpStream) -> S + Send + 'static,
) -> (SocketAddr, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let mut codes = codes.iter();
        let mut code = 0;
        for stream in listener.incoming() {
            let mut stream = BufReader::new(wrap(stream.unwrap()));
            let Ok(request) = read(&mut stream) else { continue };
            if request.head.contains(POLL_PATH) {
                // This receiver takes reports only.
                let gone = b"HTTP/1.1 410 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.get_mut().write_all(gone);
                continue;
            }
            code = *codes.next().unwrap_or(&code);
            let answer = format!("HTTP/1.1 {code} x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let _ = sender.send(request);
        }
    });
    (address, requests)
}

pub fn read(stream: &mut impl BufRead) -> io::Result<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut request = Request { head, body: Vec::new() };
    request.body = vec![0; request.header("content-length").parse().unwrap()];
    stream.read_exact(&mut request.body)?;
    Ok(request)
}

/// How a job of these tests reports: to this URL, or by HTCondor alone.
pub fn events(url: Option<String>, ca: Option<&str>) -> Events {
    let key = job_key(b"master", &"u/7/0/0".parse().unwrap());
    let ca = ca.map(str::to_owned);
    let route = url.map(|url| Route { url, source: "cern.ch".to_owned(), ca });
    Events { key_id: "k".to_owned(), key, route }
}

/// Runs a job that reports to this URL and ends with code 3.
fn run(url: String, ca: Option<&str>) -> Scratch {
    let mut job = job(Image::Host, &["sh", "-c", "exit 3"], "");
    job.events = Some(events(Some(url), ca));
    let scratch = Scratch::of(&job);
    scratch.write("ad", b"ClusterId = 12\nProcId = 3\nNumShadowStarts = 2\n");
    let status = scratch.command().env("_CONDOR_JOB_AD", scratch.path().join("ad")).status().unwrap();
    assert_eq!(status.code(), Some(3));
    scratch
}

fn run_with(codes: &'static [u16]) -> (Scratch, Vec<Request>) {
    let (url, requests) = receiver(codes);
    let scratch = run(url, None);
    (scratch, requests.try_iter().collect())
}

#[test]
fn every_report_is_signed_and_the_last_one_is_that_of_result_json() {
    let (scratch, requests) = run_with(&[202]);
    for request in &requests {
        assert!(request.head.starts_with("POST /base/cloudevents HTTP/1.1\r\n"), "{}", request.head);
        assert_eq!(request.header("ce-type"), TYPE);
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.header("HTC-Job-Key"), "u/7/0/0");
        let signature = Signature::parse(request.header("HTC-Signature")).unwrap();
        assert!(signature.is_of(&job_key(b"master", &"u/7/0/0".parse().unwrap()), &request.body));
    }
    let reports: Vec<_> = requests.iter().map(Request::report).collect();
    assert!(reports.windows(2).all(|pair| pair[0].order() < pair[1].order()));
    let last = reports.last().unwrap();
    assert_eq!((last.phase, last.retcode, last.start), (Phase::Done, Some(3), 2));
    assert_eq!(last.jobid.as_deref(), Some("12.3"));
    assert_eq!(*last, scratch.report());
}

#[test]
fn a_receiver_that_is_busy_is_asked_again_until_it_has_the_last_report() {
    let (_, requests) = run_with(&[503, 429, 202]);
    assert_eq!(requests.last().unwrap().report().phase, Phase::Done);
}

#[test]
fn a_receiver_that_does_not_know_the_job_is_left_alone() {
    let (scratch, requests) = run_with(&[410]);
    assert_eq!(requests.len(), 1);
    assert!(scratch.read("sender.out").contains("no more reports"));
    assert_eq!(scratch.report().retcode, Some(3));
}

#[test]
fn https_trusts_the_authority_of_job_json_and_no_other() {
    let (url, requests) = tls_receiver();
    run(url, Some(include_str!("tls/ca.pem")));
    assert_eq!(requests.try_iter().last().unwrap().report().phase, Phase::Done);
    let (url, requests) = tls_receiver();
    let scratch = run(url, None);
    assert!(requests.try_iter().next().is_none());
    assert!(scratch.read("sender.out").contains("certificate"), "{}", scratch.read("sender.out"));
}

#[test]
fn without_a_route_the_job_ends_as_it_did() {
    let scratch = run("http://127.0.0.1:1".to_owned(), None);
    assert!(scratch.read("sender.out").contains("the last report did not get through"));
    assert_eq!(scratch.report().retcode, Some(3));
}

/// A test job of `doctor`: its exit code and its one sentence.
fn probe(events: Option<Events>) -> (Option<i32>, String) {
    let mut job = job(Image::Host, &["true"], "");
    job.events = events;
    let scratch = Scratch::of(&job);
    let status = scratch.bare().arg("probe").status().unwrap();
    assert!(!scratch.path().join("job.json").exists(), "it holds a key");
    (status.code(), scratch.read("sender.out"))
}

#[test]
fn a_probe_says_whether_the_right_receiver_is_reached() {
    let (url, requests) = receiver(&[204]);
    assert_eq!(
        probe(Some(events(Some(url.clone()), None))),
        (Some(0), format!("reached {url}cloudevents\n"))
    );
    let request = requests.recv().unwrap();
    assert_eq!(request.header("ce-type"), PROBE_TYPE);
    let signature = Signature::parse(request.header("HTC-Signature")).unwrap();
    assert!(signature.is_of(&job_key(b"master", &"u/7/0/0".parse().unwrap()), &request.body));

    for (codes, words) in [(&[401][..], "another master key"), (&[202], "no operator: it answered 202")] {
        let (code, said) = probe(Some(events(Some(receiver(codes).0), None)));
        assert!(code == Some(1) && said.contains(words), "{said}");
    }
    let (code, said) = probe(Some(events(Some("http://127.0.0.1:1".to_owned()), None)));
    assert!(code == Some(1) && said.starts_with("cannot reach http://127.0.0.1:1/cloudevents: "), "{said}");
    assert_eq!(probe(Some(events(None, None))), (Some(0), "has no receiver of reports\n".to_owned()));
}

#[test]
fn a_burst_of_changes_is_one_report_to_a_receiver_that_is_slow() {
    let gate = Arc::new(Barrier::new(2));
    let waits = gate.clone();
    // The first report is answered only when the job has nothing more to change.
    let mut first = true;
    let (address, requests) = serve(&[202], move |stream| {
        if std::mem::take(&mut first) {
            waits.wait();
        }
        stream
    });
    let script = "echo ready; until [ -e ../go ]; do sleep 0.02; done";
    let mut job = job(Image::Host, &["sh", "-c", script], "");
    job.init_containers = (0..20).map(|n| container(&format!("i{n}"), Image::Host, &["true"])).collect();
    job.events = Some(events(Some(format!("http://{address}")), None));
    let scratch = Scratch::of(&job);
    let mut running = scratch.start();
    running.until_it_says("ready");
    gate.wait();
    scratch.write("go", b"");
    assert_eq!(running.wait().code(), 0);
    let told = requests.try_iter().count();
    assert!(scratch.report().seq > 20 && told <= 4, "{told} of {}", scratch.report().seq);
}
