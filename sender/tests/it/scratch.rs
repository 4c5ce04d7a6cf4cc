//! A job's folder, and the sender running in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use htc_core::workload::container::{Arg, Container, EnvVar, Image, Mount, Program, Pull};
use htc_core::workload::report::{ContainerState, Report};
use htc_core::workload::spec::{
    FILE, File, ImageSettings, JobSpec, MAX_OUTPUT_FILES, VERSION, Volume, VolumeSource,
};
use rustix::process::{Pid, Signal};

/// The sender to test, where it is not the one that cargo built with the tests: images have no
/// loader for a dynamic executable, so tests with images need a static one.
const SENDER_VARIABLE: &str = "HTC_TEST_SENDER";
/// Far more than anything here takes; only a defect waits for so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// One container `main` that runs `argv` with `work` at `/htc_run` and a script at `/htc_script`.
pub fn job(image: Image, argv: &[&str], script: &str) -> JobSpec {
    let file = File { path: "script".to_owned(), mode: 0o755, data: script.as_bytes().to_vec() };
    JobSpec {
        version: VERSION,
        key: "u/7/0/0".parse().unwrap(),
        name: "test".to_owned(),
        namespace: "default".to_owned(),
        init_containers: Vec::new(),
        containers: vec![container("main", image, argv)],
        volumes: vec![
            Volume { name: "work".to_owned(), source: VolumeSource::Work },
            Volume { name: "script".to_owned(), source: VolumeSource::Files(vec![file]) },
        ],
        grace_seconds: 30,
        deadline_seconds: None,
        hostname: None,
        registries: Vec::new(),
        events: None,
        max_output_files: MAX_OUTPUT_FILES,
        images: ImageSettings::default(),
    }
}

/// `@script` and `@index` among the words stand for the script's place and the index, `@/path` for what
/// is mounted at that path.
pub fn container(name: &str, image: Image, argv: &[&str]) -> Container {
    let word = |word: &&str| match *word {
        "@script" => Arg::Mount("/htc_script".to_owned()),
        "@index" => Arg::Index,
        text if text.starts_with("@/") => Arg::Mount(text[1..].to_owned()),
        text => text.into(),
    };
    let mount = |volume: &str, path: &str, sub_path: Option<&str>| Mount {
        volume: volume.to_owned(),
        path: path.to_owned(),
        sub_path: sub_path.map(str::to_owned),
        read_only: sub_path.is_some(),
    };
    Container {
        name: name.to_owned(),
        image,
        pull: Pull::IfNotPresent,
        program: Program::Words(argv.iter().map(word).collect()),
        termination_message: None,
        env: Vec::new(),
        working_dir: Some(Arg::Mount("/htc_run".to_owned())),
        mounts: vec![mount("work", "/htc_run", None), mount("script", "/htc_script", Some("script"))],
    }
}

/// A volume at a path.
pub fn mount(volume: &str, path: &str) -> Mount {
    Mount { volume: volume.to_owned(), path: path.to_owned(), sub_path: None, read_only: false }
}

/// A folder that begins empty.
pub fn empty(name: &str, memory: bool, limit: Option<u64>) -> Volume {
    Volume { name: name.to_owned(), source: VolumeSource::Empty { memory, limit } }
}

pub fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: value.to_owned() }
}

/// The folder of a job. Neither HTCondor nor apptainer leaves `/tmp` as it is, so it lies elsewhere.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Scratch {
        let base = std::env::var_os("HTC_TEST_DIR").or_else(|| std::env::var_os("HOME")).map(PathBuf::from);
        let base = base.unwrap_or_else(std::env::temp_dir);
        Scratch { folder: tempfile::Builder::new().prefix("sender.").tempdir_in(base).unwrap() }
    }

    pub fn of(job: &JobSpec) -> Scratch {
        let scratch = Scratch::new();
        scratch.write(FILE, &serde_json::to_vec(job).unwrap());
        scratch
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path().join(name)).unwrap()).into_owned()
    }

    /// The sender with the environment of an HTCondor job: nothing but what is added.
    pub fn command(&self) -> Command {
        let mut command = self.bare();
        command.arg("run");
        command
    }

    /// The same without any argument.
    pub fn bare(&self) -> Command {
        let sender = std::env::var_os(SENDER_VARIABLE).unwrap_or(env!("CARGO_BIN_EXE_htc-sender").into());
        let mut command = Command::new(sender);
        let out = fs::File::create(self.path().join("sender.out")).unwrap();
        command.current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.stdout(out.try_clone().unwrap()).stderr(out);
        // Images are converted once for all tests, not once for each job as in a pool.
        command.envs(
            std::env::var_os("HOME").map(|home| ("APPTAINER_CACHEDIR", PathBuf::from(home).join(".cache"))),
        );
        command
    }

    pub fn run(&self) -> Run<'_> {
        self.start().wait()
    }

    pub fn start(&self) -> Running<'_> {
        self.start_as(|_| {})
    }

    /// The same with a command that was changed.
    pub fn start_as(&self, change: impl FnOnce(&mut Command)) -> Running<'_> {
        let mut command = self.command();
        change(&mut command);
        Running { scratch: self, child: command.spawn().unwrap() }
    }

    pub fn report(&self) -> Report {
        serde_json::from_str(&self.read("result.json")).unwrap()
    }

    /// What a container wrote to one of its streams.
    pub fn output(&self, container: &str, stream: &str) -> String {
        let log = self.read(&format!("log.{container}"));
        let text = log.lines().filter_map(|line| {
            let mut parts = line.splitn(4, ' ').skip(1);
            (parts.next()? == stream).then_some(())?;
            Some((parts.next()?, parts.next()?))
        });
        text.map(|(tag, text)| if tag == "F" { format!("{text}\n") } else { text.to_owned() }).collect()
    }
}

/// A sender that runs. It is killed when a test fails.
pub struct Running<'a> {
    pub scratch: &'a Scratch,
    child: Child,
}

impl<'a> Running<'a> {
    /// Polls until the container's output has this text.
    pub fn until_it_says(&mut self, text: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !fs::read_to_string(self.scratch.path().join("log.main")).unwrap_or_default().contains(text) {
            let gone = self.child.try_wait().unwrap();
            assert!(gone.is_none(), "{text:?} was never said: {}", self.scratch.read("sender.out"));
            assert!(Instant::now() < deadline, "{text:?} was not said: {}", self.scratch.read("sender.out"));
            std::thread::yield_now();
        }
    }

    pub fn terminate(&self) {
        self.signal(self.keeper(), Signal::TERM);
    }

    pub fn signal(&self, pid: Pid, signal: Signal) {
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The first process of the job.
    pub fn keeper(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The process that runs the job.
    pub fn sender(&self) -> Pid {
        let keeper = self.keeper().as_raw_pid();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    }

    pub fn wait(mut self) -> Run<'a> {
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "no end: {}", self.scratch.read("sender.out")),
            }
            std::thread::yield_now();
        };
        Run { scratch: self.scratch, status }
    }

    /// How the first process ended, where that is no exit code.
    pub fn wait_for_signal(self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.wait().status)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// A sender that has ended.
pub struct Run<'a> {
    scratch: &'a Scratch,
    status: ExitStatus,
}

impl Run<'_> {
    /// The exit code, which the last report must confirm.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{}: {}", self.status, self.scratch.read("sender.out")))
    }

    /// How the container of this place in the list ended: code, signal, reason, message.
    pub fn end(&self, number: usize) -> (i32, Option<i32>, String, String) {
        match self.scratch.report().containers.swap_remove(number).state {
            ContainerState::Terminated { exit_code, signal, reason, message, .. } => {
                (exit_code, signal, reason, message)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Polls until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never seen: {what}");
        std::thread::yield_now();
    }
}

/// Polls until no process has this word among its arguments.
pub fn until_nobody_runs(word: &str) {
    let deadline = Instant::now() + DEADLINE;
    while anybody_runs(word) {
        assert!(Instant::now() < deadline, "somebody still runs {word}");
        std::thread::yield_now();
    }
}

/// Whether any process has this word among its arguments.
pub fn anybody_runs(word: &str) -> bool {
    let lines =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.split(|b| *b == 0).any(|argument| argument == word.as_bytes()))
}
