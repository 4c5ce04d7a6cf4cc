//! The operator's two open ports, as a worker and a monitoring system see them.

use htc_core::events;
use htc_core::workload::names::JobKey;

use super::bed::{Bed, KEY_ID, MASTER_KEY};
use super::patience::until;

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// What it said.
    pub text: String,
}

impl Bed {
    fn health(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.health_port)
    }

    /// GETs a path of the health listener.
    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        let response = self.http.get(self.health(path)).send().await.map_err(|e| format!("{e:?}"))?;
        let code = response.status().as_u16();
        Ok(Answer { code, text: response.text().await.map_err(|e| e.to_string())? })
    }

    /// Waits until the operator listens.
    pub async fn until_alive(&mut self) {
        until("the operator to listen", async || {
            self.assert_alive();
            self.get("/healthz").await
        })
        .await;
    }

    /// Waits until the operator is ready and the pool has answered.
    pub async fn until_ready(&mut self) {
        until("the operator to be ready", async || {
            self.assert_alive();
            let answer = self.get("/readyz").await?;
            if answer.text == "ready\n" { Ok(()) } else { Err(answer.text) }
        })
        .await;
    }

    /// A metric's value, with its labels as in the text; 0 when it is not there.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").await.unwrap().text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits for some more complete answers of the pool.
    pub async fn until_looks(&self, more: u64) {
        let looks = async || self.metric("htc_looks_total{kind=\"ok\"}").await;
        let before = looks().await;
        until("some looks at the pool", async || match looks().await - before {
            enough if enough >= more => Ok(()),
            n => Err(format!("{n}")),
        })
        .await;
    }

    /// POSTs an event, signed as the job of `key` would.
    pub async fn post_signed(&self, key: &JobKey, body: Vec<u8>) -> Answer {
        self.post_signed_to(events::PATH, key, body).await
    }

    /// POSTs an event.
    pub async fn post(&self, key: &JobKey, signature: &str, body: Vec<u8>) -> Answer {
        self.post_to(events::PATH, key, signature, body).await
    }

    /// POSTs a body to a path of the events listener, signed as the job of `key` would.
    pub async fn post_signed_to(&self, path: &str, key: &JobKey, body: Vec<u8>) -> Answer {
        let signature = events::sign(KEY_ID, &events::job_key(MASTER_KEY, key), &body);
        self.post_to(path, key, &signature, body).await
    }

    /// POSTs a body to a path of the events listener.
    pub async fn post_to(&self, path: &str, key: &JobKey, signature: &str, body: Vec<u8>) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.events_port);
        let request = self
            .http
            .post(url)
            .header("content-type", "application/cloudevents+json")
            .header(events::SIGNATURE_HEADER, signature)
            .header(events::JOB_KEY_HEADER, key.to_string());
        let response = request.body(body).send().await.unwrap();
        Answer { code: response.status().as_u16(), text: response.text().await.unwrap() }
    }
}
