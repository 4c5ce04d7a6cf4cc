//! The real binary as a process, `htc-operator interlink`, on a scripted pool: started as an administrator
//! would, in a folder with old configuration files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::life::PATIENCE;
use crate::pool::Scripted;
use crate::tools;

const PROGRAM: &str = env!("CARGO_BIN_EXE_htc-operator");

/// The binary with a folder to work in.
pub struct Endpoint {
    /// The pool.
    pub scripted: Scripted,
    environment: BTreeMap<String, String>,
    process: Option<Child>,
}

impl Endpoint {
    /// With an empty folder.
    pub fn new() -> Endpoint {
        // Once for all clients of this process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scripted = Scripted::new();
        let this = Endpoint { environment: BTreeMap::new(), scripted, process: None };
        for folder in ["work", "home", "tools"] {
            fs::create_dir(this.path(folder)).unwrap();
        }
        // The operator clears the environment of tools, so each sets what the script needs, and notes what
        // it was given.
        let environment = this.scripted.environment();
        let state = &environment.iter().find(|(name, _)| name == tools::STATE_VARIABLE).unwrap().1;
        for tool in tools::NAMES {
            let file = this.path("tools").join(tool);
            let script = format!(
                "#!/bin/sh\nenv > '{}'\n{}='{state}' exec '{}' \"$@\"\n",
                this.path("tools").join(format!("{tool}.env")).display(),
                tools::STATE_VARIABLE,
                this.path("bin").join(tool).display()
            );
            fs::write(&file, script).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        this
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scripted.path().join(name)
    }

    /// Writes a file, for us alone.
    pub fn write(&self, name: &str, text: &str) -> String {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        file.display().to_string()
    }

    /// Sets a variable for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// What `htc-operator` with these arguments would be started with, for a person beside the endpoint.
    pub fn beside(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "60", PROGRAM]).args(arguments).env_clear();
        command.current_dir(self.path("work")).stdin(Stdio::null());
        command
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        // It dies with the thread of its test, however that ends.
        command.args(["--pdeathsig", "KILL", "--", PROGRAM, "interlink"]).args(arguments);
        command.env_clear().current_dir(self.path("work")).stdin(Stdio::null());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path("tools").display()));
        command.env("HOME", self.path("home")).env("HTC_SENDER", "/bin/true").env("HTC_POLL_SECONDS", "0.1");
        command.env("HTC_HEALTH_LISTEN", "127.0.0.1:0").env("NO_COLOR", "1");
        command.envs(&self.environment);
        command
    }

    /// Starts it and waits until it listens on so many places.
    pub async fn start(&mut self, arguments: &[&str], places: usize) {
        assert!(self.process.is_none(), "it runs already");
        let before = self.places().len();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(arguments);
        self.process = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.eventually(&format!("it listens on {places} places"), |this| {
            let ended = this.process.as_mut().unwrap().try_wait().unwrap();
            assert_eq!(ended, None, "it has ended: {}", this.log());
            this.places().len() >= before + places
        })
        .await;
    }

    /// Runs it to its end: exit status, what it printed, what it complained of.
    pub fn run(&self, arguments: &[&str]) -> (ExitStatus, String, String) {
        // One that starts where it should refuse must not hold up the tests.
        let command = self.command(arguments);
        let mut bounded = Command::new("timeout");
        bounded.args(["-s", "KILL", "60"]).arg(command.get_program()).args(command.get_args());
        bounded.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = bounded.current_dir(self.path("work")).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status, text(output.stdout), text(output.stderr))
    }

    /// Ends it as an administrator would.
    pub async fn end(&mut self) {
        let mut process = self.process.take().expect("it runs");
        kill_process(Pid::from_raw(process.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// What it wrote to its log, in all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The places where it says that it listens, in all its lives.
    pub fn places(&self) -> Vec<String> {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("listening for InterLink"));
        lines.map(|line| line.split("place=").nth(1).unwrap().split(' ').next().unwrap().to_owned()).collect()
    }

    /// The address of the place where it began to listen last.
    pub fn address(&self) -> String {
        self.places().pop().expect("it listens")
    }

    /// What a tool found in its environment when it ran last.
    pub fn environment_of(&self, tool: &str) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.path("tools").join(format!("{tool}.env"))).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Looks until something is so.
    pub async fn eventually(&mut self, what: &str, mut is_so: impl FnMut(&mut Endpoint) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < PATIENCE, "did not happen: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What is asked of it.
#[derive(Clone, Default)]
pub struct Caller {
    /// The bearer token, as it goes into the header.
    pub token: Option<String>,
    /// The authority of the endpoint's certificate, PEM.
    pub ca: Option<String>,
    /// Certificate and key of the caller, PEM.
    pub certificate: Option<String>,
    /// The socket it calls through.
    pub socket: Option<PathBuf>,
    /// More headers: names and values.
    pub headers: Vec<(&'static str, String)>,
}

impl Caller {
    /// One who calls with this token.
    pub fn with_token(token: &str) -> Caller {
        Caller { token: Some(token.to_owned()), ..Caller::default() }
    }

    /// Calls, with a body; the status and what was said.
    pub async fn call(&self, method: &str, url: &str, body: &str) -> Result<(u16, String), String> {
        let mut client = reqwest::Client::builder().timeout(PATIENCE);
        if let Some(ca) = &self.ca {
            client = client.tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).unwrap()]);
        }
        if let Some(certificate) = &self.certificate {
            client = client.identity(reqwest::Identity::from_pem(certificate.as_bytes()).unwrap());
        }
        if let Some(socket) = &self.socket {
            client = client.unix_socket(socket.clone());
        }
        let client = client.build().map_err(|why| format!("{why:?}"))?;
        let mut request = client.request(method.parse().unwrap(), url).body(body.to_owned());
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.map_err(|why| format!("{why:?}"))?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|why| format!("{why:?}"))?))
    }

    /// The status of a ping at this address.
    pub async fn ping(&self, base: &str) -> Result<u16, String> {
        self.call("GET", &format!("{base}/status"), "[]").await.map(|(status, _)| status)
    }

    /// Pings until it is answered with this status; files are looked at once in a while.
    pub async fn until_pinged(&self, base: &str, status: u16) {
        let started = Instant::now();
        loop {
            let answer = self.ping(base).await;
            if answer == Ok(status) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{answer:?} instead of {status}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
