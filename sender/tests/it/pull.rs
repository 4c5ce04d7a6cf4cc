//! How images get to the worker, and what stays there.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use htc_core::workload::container::{Image, Pull};
use htc_core::workload::report::{ContainerState, Cut, Phase};
use htc_core::workload::spec::{ImageCache, JobSpec, RegistryLogin};

use crate::reports::{events, receiver};
use crate::scratch::{Scratch, anybody_runs, container, job, until};

const BUSYBOX: &str = "docker://busybox";

fn image(image: &str, argv: &[&str]) -> JobSpec {
    job(Image::Apptainer(image.to_owned()), argv, "")
}

/// A cache on this worker.
struct Cache(Scratch);

impl Cache {
    fn new() -> Cache {
        Cache(Scratch::new())
    }

    fn ours(&self) -> PathBuf {
        self.0.path().join(rustix::process::geteuid().as_raw().to_string())
    }

    fn give(&self, mut job: JobSpec, bytes: u64) -> JobSpec {
        let path = self.0.path().to_str().unwrap().to_owned();
        job.images.cache = Some(ImageCache { path, folder: None, bytes });
        job
    }

    /// Runs a job with it, and tells how often it pulled.
    fn run(&self, job: JobSpec) -> usize {
        let scratch = Scratch::of(&self.give(job, u64::MAX));
        assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
        pulls(&scratch)
    }

    fn images(&self) -> Vec<String> {
        let names = fs::read_dir(self.ours()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".lock") && !name.ends_with(".sum")).collect()
    }
}

fn pulls(scratch: &Scratch) -> usize {
    scratch.read("sender.out").matches(" pulled ").count()
}

/// The bed's registry.
pub fn bed_registry() -> String {
    format!("127.0.0.1:{}", std::env::var("HTC_BED_REGISTRY_PORT").unwrap_or_else(|_| "5000".to_owned()))
}

fn copy(from: &str, to: &str, more: &[&str]) {
    let options = ["copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false"];
    let copied = Command::new("skopeo").args(options).args(more).args([from, to]).output().unwrap();
    assert!(copied.status.success(), "{copied:?}");
}

#[test]
#[ignore = "needs the test bed: make test"]
fn jobs_of_one_worker_pull_an_image_once() {
    let cache = Cache::new();
    let jobs = [(); 3].map(|()| Scratch::of(&cache.give(image(BUSYBOX, &["true"]), u64::MAX)));
    for running in jobs.each_ref().map(Scratch::start) {
        assert_eq!(running.wait().code(), 0);
    }
    assert_eq!(jobs.iter().map(pulls).sum::<usize>(), 1);
    assert_eq!(cache.run(image(BUSYBOX, &["true"])), 0);
    assert_eq!(cache.images().len(), 1);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn containers_of_one_job_pull_an_image_once_without_a_cache_too() {
    let mut job = image(BUSYBOX, &["true"]);
    let busybox = || Image::Apptainer(BUSYBOX.to_owned());
    job.init_containers.push(container("init", busybox(), &["true"]));
    job.containers.push(container("side", busybox(), &["true"]));
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0);
    assert_eq!(pulls(&scratch), 1);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn the_cache_keeps_to_its_size_but_never_takes_an_image_from_a_job() {
    let cache = Cache::new();
    let script = "echo ready; until [ -e /htc_run/go ]; do sleep 0.05; done; cat /etc/os-release";
    let first = Scratch::of(&cache.give(image(BUSYBOX, &["sh", "-c", script]), 1));
    let mut running = first.start();
    running.until_it_says("ready");
    let second = Scratch::of(&cache.give(image("docker://alpine", &["true"]), 1));
    assert_eq!(second.run().code(), 0);
    assert_eq!(cache.images().len(), 2);
    first.write("work/go", b"");
    assert_eq!(running.wait().code(), 0);
    assert!(first.output("main", "stdout").contains("of the test bed"));

    let third = Scratch::of(&cache.give(image("docker://echo", &["true"]), 1));
    assert_eq!(third.run().code(), 0);
    assert_eq!(cache.images().len(), 1);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_cache_that_cannot_be_used_is_said_and_is_no_end() {
    let elsewhere = Scratch::new();
    let foreign: fn(&Cache, &Path) = |cache, elsewhere| symlink(elsewhere, cache.ours()).unwrap();
    let unwritable: fn(&Cache, &Path) = |cache, _| {
        fs::create_dir(cache.ours()).unwrap();
        fs::set_permissions(cache.ours(), fs::Permissions::from_mode(0o500)).unwrap();
    };
    let missing: fn(&Cache, &Path) = |cache, _| fs::remove_dir(cache.0.path()).unwrap();
    for (spoil, said) in [
        (foreign, "this worker's image cache is not used: "),
        (unwritable, "is not kept in the image cache: Permission denied"),
        (missing, "this worker's image cache is not used: "),
    ] {
        let cache = Cache::new();
        spoil(&cache, elsewhere.path());
        let scratch = Scratch::of(&cache.give(image(BUSYBOX, &["true"]), u64::MAX));
        assert_eq!(scratch.run().code(), 0);
        let words = scratch.read("sender.out");
        assert!(words.contains(said) && pulls(&scratch) == 1, "{words}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_broken_image_in_the_cache_is_pulled_anew() {
    let cache = Cache::new();
    assert_eq!(cache.run(image(BUSYBOX, &["true"])), 1);
    let file = cache.ours().join(&cache.images()[0]);
    let half = fs::metadata(&file).unwrap().len() / 2;
    fs::File::options().write(true).open(&file).unwrap().set_len(half).unwrap();
    assert_eq!(cache.run(image(BUSYBOX, &["true"])), 1);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn the_policy_says_whether_the_cache_or_the_registry_counts() {
    let cache = Cache::new();
    let name = format!("docker://{}/test/policy-{}:1", bed_registry(), std::process::id());
    let with = |policy, argv: &[&str]| {
        let mut job = image(&name, argv);
        job.containers[0].pull = policy;
        job.images.insecure_registries = vec![bed_registry()];
        job
    };
    let library = |image: &str| format!("docker://{}/library/{image}", bed_registry());
    copy(&library("busybox"), &name, &[]);

    let never = Scratch::of(&cache.give(with(Pull::Never, &["true"]), u64::MAX));
    let run = never.run();
    let message = format!("{name} is not in the image cache of this worker, and shall never be pulled");
    assert_eq!((run.code(), run.end(0)), (127, (127, None, "ErrImageNeverPull".to_owned(), message)));

    assert_eq!(cache.run(with(Pull::IfNotPresent, &["true"])), 1);
    assert_eq!(cache.run(with(Pull::Never, &["true"])), 0);
    copy(&library("centos"), &name, &[]);
    assert_eq!(cache.run(with(Pull::IfNotPresent, &["grep", "busybox", "/etc/os-release"])), 0);
    assert_eq!(cache.run(with(Pull::Always, &["grep", "centos", "/etc/os-release"])), 1);
    assert_eq!(cache.run(with(Pull::Never, &["grep", "centos", "/etc/os-release"])), 0);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn an_image_that_the_registry_does_not_know_is_final_at_once() {
    let mut job = image(&format!("docker://{}/no/such", bed_registry()), &["true"]);
    job.images.insecure_registries = vec![bed_registry()];
    job.containers.push(container("side", Image::Host, &["sh", "-c", "echo ran"]));
    let scratch = Scratch::of(&job);
    let run = scratch.run();
    let (code, _, reason, message) = run.end(0);
    assert_eq!((run.code(), code, reason.as_str()), (127, 127, "ErrImagePull"), "{message}");
    assert!(message.contains("manifest unknown"), "{message}");
    assert_eq!(scratch.read("sender.out").matches(" pulling ").count(), 1);
    assert_eq!(scratch.output("side", "stdout"), "ran\n");
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_registry_that_cannot_be_reached_is_tried_again_and_told_meanwhile() {
    let (url, requests) = receiver(&[202]);
    let mut job = image("docker://127.0.0.1:1/x/y", &["true"]);
    job.events = Some(events(Some(url), None));
    let scratch = Scratch::of(&job);
    let run = scratch.run();
    let (code, _, reason, message) = run.end(0);
    assert_eq!((run.code(), code, reason.as_str()), (127, 127, "ErrImagePull"), "{message}");
    assert!(message.contains("connection refused"), "{message}");
    assert_eq!(scratch.read("sender.out").matches(" pulling ").count(), 4);

    let reports = requests.try_iter().map(|request| request.report());
    let mut states = reports.map(|report| report.containers.into_iter().next().unwrap().state);
    let mut waits = |reason: &str, word: &str| {
        states.any(|state| match state {
            ContainerState::Waiting { reason: its, message } => its == reason && message.contains(word),
            _ => false,
        })
    };
    assert!(waits("ContainerCreating", "pulling docker://127.0.0.1:1/x/y"));
    assert!(waits("ErrImagePull", "connection refused"));
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_job_that_shall_end_does_not_wait_for_a_registry_that_hangs() {
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("docker://{}/x/y", registry.local_addr().unwrap());
    let scratch = Scratch::of(&image(&name, &["true"]));
    let running = scratch.start();
    // Its connection is taken, and gets no answer.
    let _connection = registry.accept().unwrap();
    assert!(anybody_runs(&name));
    running.terminate();
    assert_eq!(running.wait().code(), 143);
    assert!(!anybody_runs(&name));
    assert_eq!(scratch.report().phase, Phase::Stopping);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn the_deadline_of_a_job_is_one_for_its_pulls_too() {
    let registry = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("docker://{}/x/y", registry.local_addr().unwrap());
    let mut job = image(&name, &["true"]);
    job.deadline_seconds = Some(1);
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 143);
    assert!(!anybody_runs(&name));
    let report = scratch.report();
    assert_eq!((report.phase, report.cut), (Phase::Done, Some(Cut::Deadline { seconds: 1 })));
}

/// A registry that only serves who logs in as `me` with the password `x`.
struct Guarded {
    folder: Scratch,
    address: String,
    process: Child,
}

impl Guarded {
    fn start() -> Guarded {
        let folder = Scratch::new();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        // bcrypt of the password.
        folder.write("users", b"me:$2b$05$abcdefghijklmnopqrstuuhKF09ZYWwH2zP/0fwE1X8e/Q1YNx/hO\n");
        let settings = format!(
            "version: 0.1\nlog: {{level: warn}}\nhttp: {{addr: \"{free}\"}}\n\
             storage: {{filesystem: {{rootdirectory: \"{}\"}}}}\n\
             auth: {{htpasswd: {{realm: bed, path: \"{}\"}}}}\n",
            path("blobs"),
            path("users"),
        );
        folder.write("registry.yaml", settings.as_bytes());
        let process = Command::new("docker-registry")
            .args(["serve", &path("registry.yaml")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the registry answers", || std::net::TcpStream::connect(free).is_ok());
        let address = free.to_string();
        let image = format!("docker://{address}/private/busybox");
        copy(&format!("docker://{}/library/busybox", bed_registry()), &image, &["--dest-creds", "me:x"]);
        Guarded { folder, address, process }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = &self.folder;
    }
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_login_opens_a_registry_and_no_process_of_the_user_sees_it() {
    let registry = Guarded::start();
    let name = format!("docker://{}/private/busybox", registry.address);
    let login = |password: &str| RegistryLogin {
        registry: registry.address.clone(),
        username: "me".to_owned(),
        password: password.to_owned(),
    };
    let cache = Cache::new();
    let run = |logins: &[RegistryLogin]| {
        let mut job = cache.give(image(&name, &["true"]), u64::MAX);
        job.images.insecure_registries = vec![registry.address.clone()];
        job.registries = logins.to_vec();
        // A process of the worker could read every file of the job.
        job.containers.push(container("side", Image::Host, &["grep", "-r", "auths", ".."]));
        let scratch = Scratch::of(&job);
        let run = scratch.run();
        assert!(!scratch.output("side", "stdout").contains("auth"), "{}", scratch.output("side", "stdout"));
        (run.end(0).0, run.end(0).3)
    };
    assert_eq!(run(&[login("x")]), (0, String::new()));
    // Nor does the cache give it to those who have no login, or another one.
    for logins in [&[][..], &[login("y")]] {
        let (code, message) = run(logins);
        assert!(code == 127 && message.contains("authentication required"), "{message}");
    }
}
