//! The test job: does a job get to a worker, and does the worker reach the receiver of reports?

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use htc_core::events;
use htc_core::workload::names::JobKey;
use htc_core::workload::spec::{self, Events, JobSpec};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::operator;
use super::data::is_in_use;
use super::finding::Finding;
use crate::condor::pool::Pool;
use crate::condor::probe::{self, OUTPUT, State};
use crate::config::{EVENTS_LISTEN, Settings};
use crate::engine::files::{make_folder, remove_folder, write_private};
use crate::engine::keys::MasterKeys;
use crate::limits::{PROBE_LOOK, PROBE_PATIENCE};
use crate::{callbacks, http};

/// What it is called in findings.
pub const CHECK: &str = "test job";

/// Runs the job and says what came of it. Where no operator runs with this data folder, we take its
/// place at the address of reports for so long.
pub async fn check(settings: &Settings, pool: &Pool) -> Vec<Finding> {
    let keys = match MasterKeys::read(&settings.master_key_file) {
        Ok(keys) => Arc::new(keys),
        Err(why) => return vec![Finding::failed(CHECK, why.to_string(), "see above")],
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut findings = Vec::new();
    if settings.operator.events.events_url.is_none() {
        findings.push(Finding::warning(
            "events URL",
            "is not set: jobs do not report, and their ends are seen a little later",
            "set --events-url to what workers can reach",
        ));
    } else if !is_in_use(&settings.data.data_dir) {
        let address = settings.operator.events.events_listen.unwrap_or(EVENTS_LISTEN);
        let router = callbacks::probe_router(keys.clone());
        if let Err(why) = http::serve_tcp("test jobs", address, router, &tasks, &stop).await {
            findings.push(Finding::failed("events URL", why.to_string(), "choose another --events-listen"));
        }
    }
    let job = TestJob::new(settings, pool);
    findings.push(match job.prepare(settings, &keys) {
        Ok(()) => job.run(settings.operator.events.events_url.is_some()).await,
        Err(why) => {
            Finding::failed(CHECK, format!("its files cannot be written: {why}"), "see the data folder above")
        }
    });
    // Whatever came of it, nothing of it stays.
    let _ = probe::remove(pool, &job.id).await;
    let _ = remove_folder(&job.folder);
    stop.cancel();
    findings
}

struct TestJob<'a> {
    id: String,
    folder: PathBuf,
    pool: &'a Pool,
}

impl TestJob<'_> {
    fn new<'a>(settings: &Settings, pool: &'a Pool) -> TestJob<'a> {
        let id = format!("doctor-{}-{}", jiff::Timestamp::now().as_millisecond(), std::process::id());
        let data = settings.data.data_dir.canonicalize().unwrap_or_else(|_| settings.data.data_dir.clone());
        TestJob { folder: data.join(&id), id, pool }
    }

    fn prepare(&self, settings: &Settings, keys: &MasterKeys) -> anyhow::Result<()> {
        let key: JobKey = format!("{}/0/0/0", self.id).parse()?;
        let (key_id, master) = keys.signing();
        let events = Events {
            key_id: key_id.to_owned(),
            key: events::job_key(master, &key),
            route: operator::route(&settings.operator.events)?,
        };
        let job = JobSpec {
            version: spec::VERSION,
            key,
            name: "doctor".to_owned(),
            namespace: String::new(),
            init_containers: Vec::new(),
            containers: Vec::new(),
            volumes: Vec::new(),
            grace_seconds: 0,
            events: Some(events),
            deadline_seconds: None,
            hostname: None,
            registries: Vec::new(),
            max_output_files: spec::MAX_OUTPUT_FILES,
            images: Default::default(),
        };
        let description = probe::description(&self.id, &operator::sender(&settings.operator)?, &self.folder);
        make_folder(&self.folder)?;
        write_private(&self.folder.join(spec::FILE), &serde_json::to_vec(&job)?)?;
        Ok(write_private(&self.description(), description.as_bytes())?)
    }

    fn description(&self) -> PathBuf {
        self.folder.join("submit")
    }

    async fn run(&self, reports: bool) -> Finding {
        if let Err(why) = probe::submit(self.pool, &self.description()).await {
            return Finding::failed(
                CHECK,
                why.to_string(),
                "see the schedd above; this is what each job would get",
            );
        }
        let began = Instant::now();
        loop {
            match probe::look(self.pool, &self.id).await {
                Ok(State::Ended { code, worker }) => return self.ended(code, &worker, reports).await,
                Ok(State::Held(why)) => {
                    return Finding::failed(
                        CHECK,
                        format!("is on hold: {why}"),
                        "ask the pool's admin; each job would be",
                    );
                }
                Ok(State::Absent) => {
                    let found = "has left the queue before it ended";
                    return Finding::failed(CHECK, found, "ask the pool's admin who removes jobs");
                }
                Ok(State::Underway) if began.elapsed() < PROBE_PATIENCE => sleep(PROBE_LOOK).await,
                Ok(State::Underway) => {
                    let found = format!("has not ended within {} s", PROBE_PATIENCE.as_secs());
                    let remedy = "the pool may be busy: look with condor_q -better-analyze, and try again";
                    return Finding::warning(CHECK, found, remedy);
                }
                Err(_) if began.elapsed() < PROBE_PATIENCE => sleep(PROBE_LOOK).await,
                Err(why) => return Finding::failed(CHECK, why.to_string(), "see the schedd above"),
            }
        }
    }

    async fn ended(&self, code: Option<i64>, worker: &str, reports: bool) -> Finding {
        let fetched = probe::fetch(self.pool, &self.id).await;
        let said = said(&self.folder.join(OUTPUT));
        match (fetched, said, code) {
            (Err(why), _, _) => Finding::failed(
                CHECK,
                format!("its files do not come home: {why}"),
                "run condor_transfer_data by hand",
            ),
            (_, Some(said), Some(0)) if reports => Finding::ok("events URL", format!("{worker} {said}")),
            (_, Some(said), Some(0)) => Finding::ok(CHECK, format!("ran on {worker}: {said}")),
            (_, Some(said), _) => Finding::failed(
                "events URL",
                format!("{worker} {said}"),
                "let workers reach --events-url (firewall, Ingress, --events-listen, --events-ca), or unset it",
            ),
            (_, None, code) => Finding::failed(
                CHECK,
                match code {
                    Some(code) => format!("ended on {worker} with exit code {code} and said nothing"),
                    None => format!("ended on {worker} without an exit code and said nothing"),
                },
                "see that --sender runs on the workers: same architecture, static",
            ),
        }
    }
}

/// The one sentence of the job.
fn said(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().next().map(str::to_owned)
}
