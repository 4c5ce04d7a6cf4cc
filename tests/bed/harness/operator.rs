//! The operator as a process: started with settings of its own, killed, ended, started again.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use htc_core::workload::report::Report;
use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::bed::Bed;
use super::cluster::Job;
use super::kubeconfig;
use super::patience::LONG;

/// What `kubectl` with an admin's rights says, with `input` on its stdin.
pub async fn kubectl(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(kubeconfig("admin"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// An event of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `Normal` or `Warning`.
    pub kind: String,
    /// The reason.
    pub reason: String,
    /// The sentence.
    pub note: String,
}

impl Bed {
    /// The program of this repository.
    pub const PROGRAM: &str = env!("CARGO_BIN_EXE_htc-operator");

    /// The events of an HTCJob.
    pub async fn events(&self, job: &Job) -> Result<Vec<Told>, String> {
        let arguments = ["get", "events.events.k8s.io", "-n", &job.namespace, "-o", "json"];
        let events: serde_json::Value =
            serde_json::from_str(&kubectl(&arguments, "").await?).map_err(|e| e.to_string())?;
        let text =
            |event: &serde_json::Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let ours = events["items"].as_array().unwrap().iter().filter(|e| e["regarding"]["uid"] == job.uid);
        Ok(ours
            .map(|e| Told { kind: text(e, "type"), reason: text(e, "reason"), note: text(e, "note") })
            .collect())
    }

    /// The operator's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What `htc-operator` with these arguments would be started with.
    pub fn command(&self, arguments: &[&str]) -> Command {
        // It dies with the thread of its test, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program).args(arguments).env_clear();
        for name in ["PATH", "HOME", "USER", "LANG"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.env("KUBECONFIG", kubeconfig("operator")).envs(&self.settings).stdin(Stdio::null());
        command
    }

    /// The newest report of the first index of an HTCJob that the operator has in its store.
    pub fn kept_report(&self, job: &Job) -> Option<Report> {
        let store = rusqlite::Connection::open(self.data().join("htcjobs.db")).unwrap();
        let query = "SELECT body FROM inbox WHERE uid = ?1 AND idx = 0";
        let body = store.query_row(query, [&job.uid], |row| row.get::<_, String>(0)).ok()?;
        Some(serde_json::from_str(&body).unwrap())
    }

    /// Starts the operator and waits until it is ready.
    pub async fn start(&mut self) {
        self.spawn();
        self.until_ready().await;
    }

    /// Starts the InterLink endpoint, which knows of no Kubernetes, and waits until it is ready.
    pub async fn start_endpoint(&mut self) {
        self.spawn_as(&["interlink"]);
        self.until_ready().await;
    }

    /// Starts the operator.
    pub fn spawn(&mut self) {
        self.spawn_as(&["serve"]);
    }

    /// Starts the program with these arguments in the operator's place. `interlink` knows of no Kubernetes.
    pub fn spawn_as(&mut self, arguments: &[&str]) {
        let mut command = self.command(arguments);
        if arguments[0] == "interlink" {
            command.env_remove("KUBECONFIG");
        }
        self.spawn_command(command);
    }

    /// Starts the operator with its data folder on a disk of this size, which only it sees. Gives where we see it.
    pub fn spawn_on_a_disk_of(&mut self, size: &str) -> PathBuf {
        // As who we are, in a namespace in which we may mount.
        const MOUNT: &str = r#"mount -t tmpfs -o "size=$1,mode=700" tmpfs "$2" && shift 2 && \
                               exec unshare --user --map-user="$1" --map-group="$2" -- "${@:3}""#;
        let data = self.data();
        fs::create_dir(&data).unwrap();
        let (user, group) = (geteuid().as_raw().to_string(), getegid().as_raw().to_string());
        let serve = self.command(&["serve"]);
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", "unshare", "--user", "--map-root-user", "--mount", "--"])
            .args(["bash", "-c", MOUNT, "bash", size])
            .arg(&data)
            .args([&user, &group])
            .arg("setpriv")
            .args(serve.as_std().get_args())
            .env_clear()
            .envs(serve.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null());
        self.spawn_command(command);
        let id = self.process.as_ref().and_then(Child::id).expect("it runs");
        PathBuf::from(format!("/proc/{id}/root{}", data.display()))
    }

    fn spawn_command(&mut self, mut command: Command) {
        assert!(self.process.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        self.process = Some(command.spawn().unwrap());
    }

    /// What the operator has written, in all its lives.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("operator.log")
    }

    /// Fails if the operator has ended.
    pub fn assert_alive(&mut self) {
        let ended = self.process.as_mut().expect("it was started").try_wait().unwrap();
        assert_eq!(ended, None, "the operator has ended");
    }

    /// Waits for the end of the operator.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it was started");
        tokio::time::timeout(LONG, process.wait()).await.expect("the operator to end").unwrap()
    }

    /// Waits until the operator has come to its crash point.
    pub async fn crashed(&mut self) {
        let status = self.ended().await;
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// The most memory that the operator has had, in bytes.
    pub fn memory_at_most(&self) -> u64 {
        let id = self.process.as_ref().and_then(Child::id).expect("it runs");
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Sends a signal to the operator.
    pub fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().and_then(Child::id).expect("it runs");
        kill_process(Pid::from_raw(id.cast_signed()).unwrap(), signal).unwrap();
    }

    /// Sets a setting, or takes it away, for the next start.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => drop(self.settings.insert(name.to_owned(), value.to_owned())),
            None => drop(self.settings.remove(name)),
        }
    }

    /// What `htc-operator logs` prints for a job, or what it complains of.
    pub async fn logs(&self, job: &Job, index: Option<u32>) -> Result<Vec<u8>, String> {
        let index = index.map_or(String::new(), |index| format!("/{index}"));
        let name = format!("{}/{}{index}", job.namespace, job.name);
        let output = self.command(&["logs", &name]).output().await.unwrap();
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The log of the only index, as text.
    pub async fn log_of(&self, job: &Job) -> String {
        String::from_utf8(self.logs(job, None).await.unwrap()).unwrap()
    }

    /// A script that waits for [`Bed::open`]; it belongs before the work of a job that shall be
    /// running for as long as the test wants.
    pub fn gate(&self, name: &str) -> String {
        format!("until [ -e '{}' ]; do sleep 0.2; done\n", self.gate_file(name).display())
    }

    /// Lets those go on that wait at a gate.
    pub fn open(&self, name: &str) {
        fs::write(self.gate_file(name), "").unwrap();
    }

    /// A folder in which jobs without a container can write, as whatever user the worker runs them.
    pub fn shared_folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        folder
    }

    fn gate_file(&self, name: &str) -> PathBuf {
        self.folder.join("gates").join(name)
    }
}
