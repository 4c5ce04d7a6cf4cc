//! The requests of a poll, and what comes back: signed in both directions.

use std::time::Duration;

use htc_core::events::{self, JOB_KEY_HEADER, SIGNATURE_HEADER, Signature};
use htc_core::poll::{ANSWER_PATH, Asks, POLL_PATH, Poll, WORDS_MAX};
use htc_core::workload::names::JobKey;
use htc_core::workload::spec::{Events, Route};
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

use crate::{http, tls};

/// Longer than any operator holds a poll.
const POLL: Duration = Duration::from_secs(90);
/// A piece of a log over a slow line.
const ANSWER: Duration = Duration::from_secs(30);
/// Whatever the operator says, it is asked again after this time.
const LATEST: Duration = Duration::from_secs(900);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another try may help.
    #[error("{why}")]
    Later {
        /// What was wrong.
        why: String,
        /// When to try again, if the other side has said it.
        after: Option<Duration>,
    },
    /// The operator does not know the job, or does not want this.
    #[error("the operator answered {0}")]
    Never(u16),
}

/// The way to the operator.
pub struct Line {
    agent: Agent,
    url: String,
    job: JobKey,
    key_id: String,
    key: Vec<u8>,
}

impl Line {
    /// Makes nothing but the settings.
    pub fn new(route: &Route, events: &Events, job: &JobKey) -> Result<Line, tls::Error> {
        let Events { key_id, key, route: _ } = events.clone();
        let url = route.url.trim_end_matches('/').to_owned();
        Ok(Line { agent: http::agent(route, POLL)?, url, job: job.clone(), key_id, key })
    }

    /// The job that speaks.
    pub fn key(&self) -> &JobKey {
        &self.job
    }

    /// Where it speaks to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks what is wanted; the operator takes its time.
    pub fn poll(&self, poll: &Poll) -> Result<Asks, Error> {
        let mut response = self.post(POLL_PATH, &poll.write(), POLL)?;
        let body = response.body_mut().with_config().limit(2 * WORDS_MAX as u64).read_to_vec();
        let body = body.map_err(|error| later(error.to_string()))?;
        let signature = header(response.headers(), SIGNATURE_HEADER).and_then(Signature::parse);
        if !signature.is_some_and(|signature| signature.is_of(&self.key, &body)) {
            return Err(later("what it wants is not signed by the operator".to_owned()));
        }
        Asks::read(&body)
            .filter(|asks| asks.seq == poll.seq)
            .ok_or_else(|| later("it answered another poll".to_owned()))
    }

    /// Sends an answer.
    pub fn answer(&self, body: &[u8]) -> Result<(), Error> {
        self.post(ANSWER_PATH, body, ANSWER).map(drop)
    }

    fn post(&self, path: &str, body: &[u8], limit: Duration) -> Result<Response<Body>, Error> {
        let request = self.agent.post(format!("{}{path}", self.url)).config();
        let request = request.timeout_global(Some(limit)).build();
        let answer = request
            .header("content-type", "application/octet-stream")
            .header(SIGNATURE_HEADER, events::sign(&self.key_id, &self.key, body))
            .header(JOB_KEY_HEADER, self.job.to_string())
            .send(body)
            .map_err(|error| later(error.to_string()))?;
        match answer.status().as_u16() {
            200..=299 => Ok(answer),
            code @ (400 | 410 | 413) => Err(Error::Never(code)),
            code => {
                let after = header(answer.headers(), "retry-after").and_then(|text| text.parse().ok());
                let after = after.map(|seconds| Duration::from_secs(seconds).min(LATEST));
                Err(Error::Later { why: format!("it answered {code}"), after })
            }
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn later(why: String) -> Error {
    Error::Later { why, after: None }
}
