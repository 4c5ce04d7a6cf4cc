//! One signed report by HTTP, as a CloudEvent in binary mode.

use std::time::Duration;

use htc_core::events::{self, JOB_KEY_HEADER, SIGNATURE_HEADER};
use htc_core::workload::names::JobKey;
use htc_core::workload::report::Report;
use htc_core::workload::spec::{Events, Route};
use jiff::Timestamp;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::{Connector, RustlsConnector, TcpConnector};

use crate::resolve::Names;
use crate::tls;

/// A receiver that does not answer must not hold back the next report for long.
const CONNECT: Duration = Duration::from_secs(3);
const CALL: Duration = Duration::from_secs(5);
/// Each connection has two of this size: the job's memory is not ours.
const BUFFER: usize = 16 << 10;

/// Why a report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another try may help.
    #[error("{0}")]
    Later(String),
    /// The receiver will never take it: the job is unknown to it, or the signature is wrong.
    #[error("the receiver answered {0}")]
    Never(u16),
}

/// Speaks to the operator, with so much time for each call.
pub fn agent(route: &Route, call: Duration) -> Result<Agent, tls::Error> {
    let config = Config::builder()
        .tls_config(tls::config(route.ca.as_deref())?)
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(call))
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .user_agent(concat!("htc-sender/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = ().chain(TcpConnector::default()).chain(RustlsConnector::default());
    Ok(Agent::with_parts(config, connector, Names::of_this_machine()))
}

/// The receiver of a job's reports.
pub struct Receiver {
    agent: Agent,
    url: String,
    source: String,
    key_id: String,
    key: Vec<u8>,
}

impl Receiver {
    /// Makes nothing but the settings; the first report connects.
    pub fn new(route: &Route, events: &Events) -> Result<Receiver, tls::Error> {
        let agent = agent(route, CALL)?;
        let url = format!("{}{}", route.url.trim_end_matches('/'), events::PATH);
        let Events { key_id, key, route: _ } = events.clone();
        Ok(Receiver { agent, url, source: route.source.clone(), key_id, key })
    }

    /// Where reports go.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts one report.
    pub fn post(&self, report: &Report) -> Result<(), Error> {
        let body = serde_json::to_vec(report).map_err(|error| Error::Later(error.to_string()))?;
        let (start, seq) = report.order();
        let id = format!("{}/{start}/{seq}", report.key);
        match self.send(events::TYPE, &id, &report.key, report.now, &body) {
            Ok(200..=299) => Ok(()),
            // The receiver has read it and will never take it. Anything else may be somebody on the way.
            Ok(code @ (400 | 410 | 413)) => Err(Error::Never(code)),
            Ok(code) => Err(Error::Later(format!("the receiver answered {code}"))),
            Err(error) => Err(Error::Later(error.to_string())),
        }
    }

    /// Asks for nothing but an answer; gives its code.
    pub fn probe(&self, key: &JobKey) -> Result<u16, ureq::Error> {
        self.send(events::PROBE_TYPE, &key.to_string(), key, Timestamp::now(), events::PROBE_BODY)
    }

    fn send(
        &self,
        kind: &str,
        id: &str,
        key: &JobKey,
        now: Timestamp,
        body: &[u8],
    ) -> Result<u16, ureq::Error> {
        let key = key.to_string();
        let answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", id)
            .header("ce-type", kind)
            .header("ce-source", &self.source)
            .header("ce-subject", &key)
            .header("ce-time", now.to_string())
            .header(SIGNATURE_HEADER, events::sign(&self.key_id, &self.key, body))
            .header(JOB_KEY_HEADER, &key)
            .send(body)?;
        Ok(answer.status().as_u16())
    }
}
