//! One signed report by HTTP, as a CloudEvent in binary mode.

use std::time::Duration;

use htc_core::events::{self, JOB_KEY_HEADER, SIGNATURE_HEADER};
use htc_core::workload::report::Report;
use htc_core::workload::spec::Events;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::{Connector, RustlsConnector, TcpConnector};

use crate::resolve::Names;
use crate::tls;

/// A receiver that does not answer must not hold back the next report for long.
const CONNECT: Duration = Duration::from_secs(3);
const CALL: Duration = Duration::from_secs(5);

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

/// The receiver of a job's reports.
pub struct Receiver {
    agent: Agent,
    url: String,
    events: Events,
}

impl Receiver {
    /// Makes nothing but the settings; the first report connects.
    pub fn new(events: &Events) -> Result<Receiver, tls::Error> {
        let config = Config::builder()
            .tls_config(tls::config(events.ca.as_deref())?)
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(CALL))
            .user_agent(concat!("htc-sender/", env!("CARGO_PKG_VERSION")))
            .build();
        let connector = ().chain(TcpConnector::default()).chain(RustlsConnector::default());
        let agent = Agent::with_parts(config, connector, Names::of_this_machine());
        let url = format!("{}{}", events.url.trim_end_matches('/'), events::PATH);
        Ok(Receiver { agent, url, events: events.clone() })
    }

    /// Where reports go.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts one report.
    pub fn post(&self, report: &Report) -> Result<(), Error> {
        let body = serde_json::to_vec(report).map_err(|error| Error::Later(error.to_string()))?;
        let key = report.key.to_string();
        let (start, seq) = report.order();
        let answer = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", format!("{key}/{start}/{seq}"))
            .header("ce-type", events::TYPE)
            .header("ce-source", &self.events.source)
            .header("ce-subject", &key)
            .header("ce-time", report.now.to_string())
            .header(SIGNATURE_HEADER, events::sign(&self.events.key_id, &self.events.key, &body))
            .header(JOB_KEY_HEADER, &key)
            .send(&body);
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(200..=299) => Ok(()),
            // The receiver has read it and will never take it. Anything else may be somebody on the way.
            Ok(code @ (400 | 410 | 413)) => Err(Error::Never(code)),
            Ok(code) => Err(Error::Later(format!("the receiver answered {code}"))),
            Err(error) => Err(Error::Later(error.to_string())),
        }
    }
}
