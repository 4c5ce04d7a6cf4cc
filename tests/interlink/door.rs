//! The endpoint as a process, on scripted tools: started with flags of its own, killed, started again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::client::dialect::Dialect;
use crate::client::kubelet::VirtualKubelet;
use crate::client::transport::{Answer, Transport};
use crate::pool::Scripted;
use crate::tools::{NAMES, STATE_VARIABLE};

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

    /// Waits for the end of a program that refuses to start.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        tokio::time::timeout(PATIENCE, process.wait()).await.expect("it should end").unwrap()
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

    /// Waits until a pod's job is in the queue; gives its key.
    pub async fn until_queued(&self, uid: &str) -> String {
        self.until("the job is queued", || {
            let keys = self.scripted.jobs().into_iter();
            let mut keys = keys.filter_map(|ad| ad.get("HTCOperatorKey")?.as_str().map(str::to_owned));
            keys.find(|key| key.starts_with(uid))
        })
        .await
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

/// A port that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
