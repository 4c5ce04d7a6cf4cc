//! The newest report as one attribute of the job's ad, by the starter's own little service: for jobs
//! that cannot reach the receiver.
//!
//! `$_CONDOR_CHIRP_CONFIG` names a file `host port cookie`. Over that connection goes
//! `cookie <cookie>`, then `set_job_attr_delayed <name> <value>`; each is answered by a number, which
//! is negative for a failure. The starter keeps the value and sends it along when it next speaks to
//! the shadow, so it costs nobody a message of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use htc_core::chirp::{ATTRIBUTE, encode};
use htc_core::workload::report::{Phase, Report};
use htc_core::workload::spec::Events;

use crate::words::say;

/// The service is on this machine: one that does not answer in this time will not.
const CALL: Duration = Duration::from_secs(1);

/// Between two values: the starter passes on only what it last got, every few seconds at the most.
pub const GAP: Duration = Duration::from_secs(5);

/// The way of a job's reports through HTCondor.
pub struct Chirp {
    address: SocketAddr,
    cookie: String,
    key_id: String,
    key: Vec<u8>,
    /// The order of the last report that was told, and when.
    told: Option<((u32, u64), Instant)>,
    /// A failure is said once.
    failed: bool,
}

impl Chirp {
    /// Reads the file before any process of the user could change it; none without such a service.
    pub fn find(config: Option<&Path>, events: &Events) -> Option<Chirp> {
        let text = std::fs::read_to_string(config?).ok()?;
        let mut words = text.split_whitespace();
        // Only an address: a static program must not look up names.
        let host: IpAddr = words.next()?.trim_matches(['[', ']']).parse().ok()?;
        let address = SocketAddr::new(host, words.next()?.parse().ok()?);
        let Events { key_id, key, route: _ } = events.clone();
        Some(Chirp { address, cookie: words.next()?.to_owned(), key_id, key, told: None, failed: false })
    }

    /// Tells a report, unless it was told or the last one was told just now. Words that may be the
    /// last do not wait.
    pub fn tell(&mut self, report: &Report) {
        let urgent = matches!(report.phase, Phase::Stopping | Phase::Done);
        let enough =
            |(order, at): ((u32, u64), Instant)| order == report.order() || (!urgent && at.elapsed() < GAP);
        if self.told.is_some_and(enough) {
            return;
        }
        let Some(value) = encode(&self.key_id, &self.key, report) else { return };
        match self.set(&value) {
            Ok(()) => self.told = Some((report.order(), Instant::now())),
            Err(error) if !self.failed => {
                self.failed = true;
                say(format_args!("HTCondor carries no report: {error}"));
            }
            Err(_) => {}
        }
    }

    fn set(&self, value: &str) -> io::Result<()> {
        let deadline = Instant::now() + CALL;
        let stream = TcpStream::connect_timeout(&self.address, CALL)?;
        stream.set_write_timeout(Some(CALL))?;
        let mut stream = BufReader::new(stream);
        ask(&mut stream, &format!("cookie {}\n", self.cookie), deadline)?;
        ask(&mut stream, &format!("set_job_attr_delayed {ATTRIBUTE} \"{value}\"\n"), deadline)
    }
}

/// Sends one line and waits for its number.
fn ask(stream: &mut BufReader<TcpStream>, line: &str, deadline: Instant) -> io::Result<()> {
    stream.get_mut().write_all(line.as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() > 20 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.get_mut().set_read_timeout(Some(left))?;
        let more = stream.fill_buf()?;
        if more.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = more.iter().position(|b| *b == b'\n').map_or(more.len(), |at| at + 1);
        answer.extend_from_slice(&more[..count]);
        stream.consume(count);
    }
    match str::from_utf8(&answer).unwrap_or_default().trim().parse::<i64>() {
        Ok(0..) => Ok(()),
        _ => Err(io::Error::other(format!("the starter answered {:?}", String::from_utf8_lossy(&answer)))),
    }
}
