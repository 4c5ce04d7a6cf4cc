//! The endpoint as a process, on scripted tools: started with flags of its own, killed, started again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use htc_core::workload::report::{ContainerState, ContainerStatus, Phase, Report};
use htc_core::{chirp, events};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::client::dialect::Dialect;
use crate::client::kubelet::VirtualKubelet;
use crate::client::transport::{Answer, Request, Transport};
use crate::pool::{Ad, Scripted};
use crate::tools::{NAMES, STATE_VARIABLE, job};

const PROGRAM: &str = env!("CARGO_BIN_EXE_htc-operator");

/// How long a test waits for what must happen: other work may load the machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint with a folder and a pool of its own. When it goes away it fails the test if the program
/// panicked.
pub struct Door {
    /// The pool.
    pub scripted: Scripted,
    /// Its environment besides the tools'.
    pub settings: BTreeMap<String, String>,
    /// Its flags.
    pub arguments: Vec<String>,
    process: Option<Child>,
}

impl Door {
    /// One that does not run yet.
    pub fn closed(arguments: &[&str]) -> Door {
        let scripted = Scripted::new();
        scripted.change(|state| state.slots = slots());
        let tools = scripted.path().join("tools");
        fs::create_dir(&tools).unwrap();
        // The program hands its tools only the variables that HTCondor knows.
        let state = scripted.path().join("state.json");
        for name in NAMES {
            let real = scripted.path().join("bin").join(name);
            let (tool, state) = (tools.join(name), state.display());
            let script = format!("#!/bin/sh\n{STATE_VARIABLE}='{state}' exec '{}' \"$@\"\n", real.display());
            fs::write(&tool, script).unwrap();
            fs::set_permissions(&tool, Permissions::from_mode(0o755)).unwrap();
        }
        let settings = [
            ("HTC_DATA_DIR", scripted.path().join("data").display().to_string()),
            ("HTC_SENDER", "/bin/true".to_owned()),
            ("HTC_MASTER_KEY_FILE", key_file(scripted.path()).display().to_string()),
            ("HTC_POLL_SECONDS", "0.1".to_owned()),
            ("HTC_HEALTH_LISTEN", format!("127.0.0.1:{}", free_port())),
            ("HTC_LOG", "info,htc_operator=debug".to_owned()),
            ("PATH", format!("{}:/usr/bin:/bin", tools.display())),
            ("HOME", scripted.path().display().to_string()),
        ];
        Door {
            settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            scripted,
            process: None,
        }
    }

    /// One that answers, on its unix socket.
    pub async fn open() -> Door {
        let mut door = Door::closed(&[]);
        door.start().await;
        door
    }

    /// Sets a setting for the next start.
    pub fn set(mut self, name: &str, value: &str) -> Door {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The socket that it listens on without any flag.
    pub fn socket(&self) -> PathBuf {
        self.scripted.path().join("data/interlink.sock")
    }

    /// To that socket.
    pub fn transport(&self) -> Transport {
        Transport::unix(&self.socket())
    }

    /// The newest virtual kubelet, on that socket.
    pub fn kubelet(&self) -> VirtualKubelet {
        self.kubelet_of(Dialect::NEWEST)
    }

    /// Some caller on that socket.
    pub fn kubelet_of(&self, dialect: Dialect) -> VirtualKubelet {
        VirtualKubelet::new(self.transport(), dialect)
    }

    /// Starts it and waits until it answers on its socket.
    pub async fn start(&mut self) {
        self.start_on(&self.transport()).await;
    }

    /// Starts it and waits until it answers a ping there.
    pub async fn start_on(&mut self, transport: &Transport) {
        self.spawn();
        self.until_answers(transport).await;
    }

    /// Waits until it answers a ping there.
    pub async fn until_answers(&mut self, transport: &Transport) -> Answer {
        let began = Instant::now();
        loop {
            let answer = transport.send(&Dialect::NEWEST.ping()).await;
            match answer {
                Ok(answer) => return answer,
                Err(why) => {
                    let ended = self.process.as_mut().unwrap().try_wait().unwrap();
                    assert_eq!(ended, None, "it ended: {}", self.log());
                    assert!(began.elapsed() < PATIENCE, "{why}: {}", self.log());
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Starts it.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = self.command();
        command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
    }

    /// What it is started as.
    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("interlink").args(&self.arguments).env_clear().envs(&self.settings);
        command.current_dir(self.scripted.path()).stdin(std::process::Stdio::null());
        command
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.start_kill().unwrap();
        process.wait().await.unwrap();
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let id = self.process.as_ref().and_then(Child::id).expect("it runs");
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// The value of a metric.
    pub async fn metric(&self, name: &str) -> u64 {
        let request = Request::bytes("GET", "/metrics", Vec::new());
        let text = Transport::tcp(&self.settings["HTC_HEALTH_LISTEN"]).send(&request).await.unwrap().text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a metric has this value.
    pub async fn until_metric(&self, name: &str, wanted: u64) {
        let began = Instant::now();
        loop {
            let value = self.metric(name).await;
            if value == wanted {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{name} is {value}, not {wanted}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the end of a program that was asked to end, or refuses to start.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        tokio::time::timeout(PATIENCE, process.wait()).await.expect("it should end").unwrap()
    }

    /// The most memory that it has had at a time, in MiB.
    pub fn peak(&self) -> u64 {
        let pid = self.process.as_ref().unwrap().id().unwrap();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim_end_matches("kB").trim().parse::<u64>().unwrap() >> 10
    }

    /// Fails if it has ended.
    pub fn assert_alive(&mut self) {
        let ended = self.process.as_mut().unwrap().try_wait().unwrap();
        assert_eq!(ended, None, "it ended: {}", self.log());
    }

    /// What it has written, in all its lives.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.scripted.path().join("interlink.log")
    }

    /// The UIDs whose jobs were committed, each as often as it was.
    pub fn committed(&self) -> Vec<String> {
        let uid = |key: String| key.split('/').next().unwrap_or_default().to_owned();
        self.scripted.committed().into_iter().map(uid).collect()
    }

    /// Waits until a pod's job is in the queue with its files; gives its key.
    pub async fn until_queued(&self, uid: &str) -> String {
        self.until("the job is queued", || {
            let ads = self.scripted.jobs();
            let ad = ads.iter().find(|ad| job::text(ad, "HTCOperatorUid") == uid)?;
            let has_files = ad.contains_key("StageInFinish") && ad["JobStatus"] != 5;
            has_files.then(|| job::text(ad, job::KEY).to_owned())
        })
        .await
    }

    /// Starts all idle jobs, and each says that its containers run.
    pub fn run_jobs(&self) {
        self.scripted.start_jobs();
        for ad in self.scripted.jobs().iter().filter(|ad| ad["JobStatus"] == 2) {
            self.says(&running(&self.scripted, ad));
        }
    }

    /// A running job says that this container has ended; the others run on.
    pub fn end_container(&self, key: &str, name: &str) {
        let mut report = running(&self.scripted, &self.scripted.job(key).unwrap());
        report.seq += 1;
        let status = report.containers.iter_mut().find(|status| status.name == name).unwrap();
        status.state = ended();
        self.says(&report);
    }

    fn says(&self, report: &Report) {
        let signer = events::job_key(MASTER_KEY, &report.key);
        let value = chirp::encode(KEY_ID, &signer, report).expect("few containers fit");
        self.scripted.set(&report.key.to_string(), json!({ chirp::ATTRIBUTE: value }));
    }

    /// Waits until a pod's job has left the queue, doing something meanwhile; gives the UIDs of the others.
    pub async fn until_left(&self, uid: &str, mut meanwhile: impl AsyncFnMut()) -> Vec<String> {
        let began = Instant::now();
        loop {
            let ads = self.scripted.jobs().into_iter();
            let uids = ads.filter_map(|ad| Some(ad.get("HTCOperatorUid")?.as_str()?.to_owned()));
            let uids: Vec<String> = uids.collect();
            if !uids.iter().any(|there| there == uid) {
                return uids;
            }
            assert!(began.elapsed() < PATIENCE, "{uid} is still in the queue\n{}", self.log());
            meanwhile().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it has looked at the pool so many times more.
    pub async fn looks(&self, more: usize) {
        let before = self.scripted.calls("condor_q").len();
        let enough = || (self.scripted.calls("condor_q").len() >= before + more).then_some(());
        self.until("some looks at the pool", enough).await;
    }

    /// Looks until there is something.
    pub async fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "did not happen: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("--- the log of the endpoint ---\n{log}");
        } else {
            assert!(!log.contains("panicked at"), "it panicked:\n{log}");
        }
    }
}

/// What the pool has.
fn slots() -> Vec<Ad> {
    let slots = json!([
        { "Name": "slot1@a", "TotalSlotCpus": 40, "TotalSlotMemory": 65_536, "TotalSlotGPUs": 0 },
        { "Name": "slot1@b", "TotalSlotCpus": 8, "TotalSlotMemory": 1_024, "TotalSlotGPUs": 2,
          "GPUs_DeviceName": "NVIDIA A100-PCIE-40GB" },
    ]);
    serde_json::from_value(slots).unwrap()
}

/// The key that signs reports.
const MASTER_KEY: &[u8] = b"only for tests: 32 bytes or more";
const KEY_ID: &str = "k1";

fn key_file(folder: &Path) -> PathBuf {
    let file = folder.join("master.key");
    fs::write(&file, format!("{KEY_ID}:{}\n", STANDARD.encode(MASTER_KEY))).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    file
}

/// What a job says whose init containers have ended and whose containers run.
fn running(scripted: &Scripted, ad: &Ad) -> Report {
    let folder = job::spool(&scripted.path().join("spool"), ad);
    let told: Value = serde_json::from_slice(&fs::read(folder.join("job.json")).unwrap()).unwrap();
    let now = Timestamp::now();
    let all = |list: &str, state: ContainerState| {
        let containers = told[list].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let name = |container: &Value| container["name"].as_str().unwrap().to_owned();
        containers.map(|container| ContainerStatus { name: name(container), state: state.clone() }).collect()
    };
    Report {
        name: String::new(),
        namespace: String::new(),
        jobid: Some(job::id(ad)),
        retcode: None,
        key: job::text(ad, job::KEY).parse().unwrap(),
        start: ad["NumShadowStarts"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        seq: 1,
        now,
        phase: Phase::Running,
        cut: None,
        worker_fault: None,
        left_out: None,
        init_containers: all("initContainers", ended()),
        containers: all("containers", ContainerState::Running { started_at: now }),
    }
}

fn ended() -> ContainerState {
    let now = Timestamp::now();
    ContainerState::Terminated {
        exit_code: 0,
        signal: None,
        reason: "Completed".to_owned(),
        message: String::new(),
        started_at: Some(now),
        finished_at: now,
    }
}

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
