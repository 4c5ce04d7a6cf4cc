//! Running jobs, as far as an endpoint sees them: they write logs, and some hold their poll, by the sender's
//! own code.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use htc_core::workload::spec::JobSpec;
use htc_sender::log::Closed;
use htc_sender::poll::{Logs, Poller};

use crate::client::pods::plain;
use crate::door::{Door, free_port};
use crate::tools::job;

/// A pod whose job runs.
pub struct Running {
    /// The pod.
    pub pod: serde_json::Value,
    /// Its job's folder.
    folder: PathBuf,
    /// What becomes closed there.
    pub closed: Closed,
    _poller: Option<Poller>,
}

/// A door with a route for jobs.
pub async fn open_with_route() -> Door {
    let address = format!("127.0.0.1:{}", free_port());
    let door = Door::closed(&[]).set("HTC_EVENTS_LISTEN", &address).set("HTC_POLL_SECONDS", "1");
    let mut door = door.set("HTC_EVENTS_URL", &format!("http://{address}"));
    door.start().await;
    door
}

/// Brings so many pods and starts their jobs, with empty logs; where there is a route, they poll.
pub async fn run(door: &Door, pods: usize) -> Vec<Running> {
    run_these(door, (0..pods).map(|n| plain(&format!("running-{n}"))).collect()).await
}

/// The same with these pods, each with a container `main`. Their init containers have ended.
pub async fn run_these(door: &Door, all: Vec<serde_json::Value>) -> Vec<Running> {
    let (mut kubelet, pods) = (door.kubelet(), all.len());
    for pod in &all {
        kubelet.create(pod).await.unwrap();
    }
    let are_queued = || {
        let ads = door.scripted.jobs();
        let ready = ads.iter().filter(|ad| ad.contains_key("StageInFinish") && ad["JobStatus"] != 5);
        (ready.count() == pods).then_some(ads.clone())
    };
    let ads = door.until("all jobs are queued", are_queued).await;
    door.run_jobs();
    let running = |pod: serde_json::Value| {
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let ad = ads.iter().find(|ad| job::text(ad, "HTCOperatorUid") == uid).unwrap();
        let folder = job::spool(&door.scripted.path().join("spool"), ad);
        for name in ["log.main", "log.main.prev"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let spec: JobSpec = serde_json::from_slice(&fs::read(folder.join("job.json")).unwrap()).unwrap();
        let closed = Closed::default();
        let logs = Logs::new(&folder, &spec, closed.clone());
        let events = spec.events.as_ref().unwrap();
        let _poller = events.route.is_some().then(|| Poller::start(events, &spec.key, 1, logs).unwrap());
        Running { pod, folder, closed, _poller }
    };
    all.into_iter().map(running).collect()
}

impl Running {
    /// Its container says something.
    pub fn say(&self, second: usize, text: &str) {
        self.says("main", second, text);
    }

    /// This container says something.
    pub fn says(&self, container: &str, second: usize, text: &str) {
        let log = self.folder.join(format!("log.{container}"));
        let mut log = OpenOptions::new().append(true).create(true).open(log).unwrap();
        let line = format!("2026-11-21T10:00:{second:02}.000000000Z stdout F {text}\n");
        log.write_all(line.as_bytes()).unwrap();
    }
}
