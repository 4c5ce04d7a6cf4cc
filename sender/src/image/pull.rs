//! One image on its way to this worker: found in the store, or pulled by whoever has the right to,
//! tried again after trouble with the network, given up after a refusal.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use htc_core::workload::container::Pull;

use super::login::LoginFile;
use super::store::{self, Kept, Store};
use super::trouble::Trouble;
use super::{Failure, Means};
use crate::event::Event;
use crate::process::{self, Exit, Invocation, Pid, Signal};
use crate::reporter::jitter;
use crate::words::say;
use crate::{apptainer, blame};

/// Large images on slow lines take long; but a registry that hangs must not keep a slot for ever.
const DEADLINE: Duration = Duration::from_secs(3600);
/// Between tries. The slot is paid for meanwhile, so not for long.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// An image that a container waits for.
pub struct Pulling {
    /// As the container names it.
    pub image: String,
    /// Its number among those of the job.
    pub number: usize,
    policy: Pull,
    name: String,
    store: Store,
    asked_at: SystemTime,
    give_up_at: Instant,
    tries: usize,
    step: Step,
}

enum Step {
    /// Another job of ours on this worker is at it.
    Queued,
    /// Apptainer pulls.
    Running { pid: Pid, lock: File, folder: PathBuf, began: Instant, _login: Option<LoginFile> },
    /// It has come, and is read once more for its record.
    Keeping { lock: File, said: String, began: Instant },
    /// It did not work, and may work later.
    Resting { until: Instant, lock: File, why: String },
    /// Done with.
    Over(Result<Kept, Failure>),
}

impl Pulling {
    /// Begins.
    pub fn begin(number: usize, image: &str, policy: Pull, means: &Means) -> Pulling {
        let login = means.login(image).map(|login| login.auth());
        let mut pulling = Pulling {
            image: image.to_owned(),
            number,
            policy,
            name: store::name(image, login.as_deref()),
            store: means.store.clone(),
            asked_at: SystemTime::now(),
            give_up_at: Instant::now() + DEADLINE,
            tries: 0,
            step: Step::Queued,
        };
        match pulling.present() {
            Some(kept) => pulling.step = Step::Over(Ok(kept)),
            None if policy == Pull::Never => {
                let why =
                    format!("{image} is not in the image cache of this worker, and shall never be pulled");
                pulling.step = Step::Over(Err(Failure::of_image("ErrImageNeverPull", why)));
            }
            None => pulling.queue(means),
        }
        pulling
    }

    /// Whether nothing more will come of it.
    pub fn is_over(&self) -> bool {
        matches!(self.step, Step::Over(_))
    }

    /// What came of it; none while it is not over.
    pub fn outcome(self) -> Option<Result<Kept, Failure>> {
        match self.step {
            Step::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// When it wants to be woken.
    pub fn wakes_at(&self) -> Instant {
        match self.step {
            Step::Resting { until, .. } => until.min(self.give_up_at),
            _ => self.give_up_at,
        }
    }

    /// Why it did not work so far, while it waits for another try.
    pub fn trouble(&self) -> Option<&str> {
        match &self.step {
            Step::Resting { why, .. } => Some(why),
            _ => None,
        }
    }

    /// The wait for the lock is over.
    pub fn locked(&mut self, lock: io::Result<File>, means: &Means) {
        match (lock, &self.step) {
            (Ok(lock), Step::Queued) => match self.present() {
                Some(kept) => self.step = Step::Over(Ok(kept)),
                None => self.start(lock, means),
            },
            (Err(error), Step::Queued) => self.leave_cache(&error.to_string(), means),
            // It was given up meanwhile.
            _ => {}
        }
    }

    /// A process has ended; whether it was ours.
    pub fn ended(&mut self, pid: Pid, exit: Exit, means: &Means) -> bool {
        if !matches!(self.step, Step::Running { pid: ours, .. } if ours == pid) {
            return false;
        }
        let Step::Running { lock, folder, began, .. } = self.take_step() else { return false };
        let said = fs::read(output(&folder)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let _ = fs::remove_dir_all(&folder);
        match exit.code {
            0 => self.keep(lock, said, began, means),
            code => {
                let why = match apptainer::complaint(&said) {
                    why if why.is_empty() => format!("apptainer ended with code {code}"),
                    why => why,
                };
                self.note_failure(&said, why, lock, means);
            }
        }
        true
    }

    /// Gives what was pulled its place. Beside the loop: a large image is read for seconds.
    fn keep(&mut self, lock: File, said: String, began: Instant, means: &Means) {
        let (store, name) = (self.store.clone(), self.name.clone());
        let (number, events) = (self.number, means.events.clone());
        // Nobody listens any more only at the very end.
        let keep = move || drop(events.send(Event::ImageKept(number, store.keep(&name))));
        match std::thread::Builder::new().name("image".to_owned()).spawn(keep) {
            Ok(_) => self.step = Step::Keeping { lock, said, began },
            Err(error) => self.note_failure(&said, error.to_string(), lock, means),
        }
    }

    /// What was pulled has its place, or none.
    pub fn kept(&mut self, kept: io::Result<Kept>, means: &Means) {
        if !matches!(self.step, Step::Keeping { .. }) {
            return; // It was given up meanwhile.
        }
        let Step::Keeping { lock, said, began } = self.take_step() else { return };
        match kept {
            Ok(kept) => {
                let (size, took) = (kept.size / 1_000_000, began.elapsed().as_secs_f32());
                say(format_args!("pulled {} ({size} MB in {took:.1} s)", self.image));
                self.step = Step::Over(Ok(kept));
            }
            Err(error) => self.note_failure(&said, error.to_string(), lock, means),
        }
    }

    fn note_failure(&mut self, said: &str, why: String, lock: File, means: &Means) {
        said.lines().for_each(|line| say(format_args!("[pull] {line}")));
        let _ = fs::remove_file(self.store.part(&self.name));
        self.failed(why, lock, means);
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Instant, means: &Means) {
        if now >= self.give_up_at {
            let hours = DEADLINE.as_secs() / 3600;
            return self.give_up(format!("{} could not be pulled in {hours} h", self.image));
        }
        if let Step::Resting { until, .. } = &self.step
            && now >= *until
            && let Step::Resting { lock, .. } = self.take_step()
        {
            self.start(lock, means);
        }
    }

    /// Ends it, whatever it is doing.
    pub fn give_up(&mut self, message: String) {
        if let Step::Running { pid, .. } = &self.step {
            process::signal_group(*pid, Signal::KILL);
        }
        self.step = Step::Over(Err(Failure::of_image("ErrImagePull", message)));
    }

    /// The image that is here, if it is new enough. What was pulled since we asked is as new as what
    /// we would get.
    fn present(&self) -> Option<Kept> {
        let kept = self.store.find(&self.name).ok().flatten()?;
        (self.policy != Pull::Always || kept.pulled_at >= self.asked_at).then_some(kept)
    }

    fn take_step(&mut self) -> Step {
        std::mem::replace(&mut self.step, Step::Queued)
    }

    /// Gets the right to pull, or waits for it.
    fn queue(&mut self, means: &Means) {
        self.step = Step::Queued;
        match self.store.try_lock(&self.name) {
            Ok(None) => {
                say(format_args!("waiting for another job that pulls {}", self.image));
                let (store, name) = (self.store.clone(), self.name.clone());
                let (number, events) = (self.number, means.events.clone());
                // Nobody listens any more only at the very end.
                let wait = move || drop(events.send(Event::ImageLocked(number, store.lock(&name))));
                if let Err(error) = std::thread::Builder::new().name("image lock".to_owned()).spawn(wait) {
                    self.leave_cache(&error.to_string(), means);
                }
            }
            Ok(Some(lock)) => self.locked(Ok(lock), means),
            Err(error) => self.locked(Err(error), means),
        }
    }

    fn start(&mut self, lock: File, means: &Means) {
        self.tries += 1;
        let part = self.store.part(&self.name);
        // What a job left that died.
        let _ = fs::remove_file(&part);
        match start(&self.image, &part, means.pull_folder(self.number), means) {
            Ok((pid, folder, login)) => {
                say(format_args!("pulling {}", self.image));
                self.step = Step::Running { pid, lock, folder, began: Instant::now(), _login: login };
            }
            Err(why) => self.step = Step::Over(Err(why)),
        }
    }

    fn failed(&mut self, why: String, lock: File, means: &Means) {
        match Trouble::of(&why) {
            Trouble::Disk if self.store.is_cache() => self.leave_cache(&why, means),
            Trouble::Network if self.tries <= PAUSES.len() => {
                let until = Instant::now() + jitter(PAUSES[self.tries - 1]);
                self.step = Step::Resting { until, lock, why };
            }
            trouble => {
                let is_workers = trouble == Trouble::Disk || blame::of_pull(&why);
                let failure = Failure { is_workers, ..Failure::of_image("ErrImagePull", why) };
                self.step = Step::Over(Err(failure));
            }
        }
    }

    /// A cache is a convenience: without it the image goes with the job.
    fn leave_cache(&mut self, why: &str, means: &Means) {
        if !self.store.is_cache() {
            let message = format!("cannot keep the image in the job's folder: {why}");
            let failure = Failure { is_workers: true, ..Failure::of_image("ErrImagePull", message) };
            self.step = Step::Over(Err(failure));
            return;
        }
        say(format_args!("{} is not kept in the image cache: {why}", self.image));
        self.store = means.of_job.clone();
        self.queue(means);
    }
}

/// Starts apptainer.
fn start(
    image: &str,
    part: &Path,
    folder: PathBuf,
    means: &Means,
) -> Result<(Pid, PathBuf, Option<LoginFile>), Failure> {
    let program = apptainer::here().map_err(|error| Failure::of_worker(&error))?;
    let start = || {
        fs::create_dir_all(&folder)?;
        let login = means.login(image).map(|login| LoginFile::write(folder.join("login"), login));
        let login = login.transpose()?;
        let own = |name: &str| std::env::var_os(name);
        let cached = ["APPTAINER_CACHEDIR", "SINGULARITY_CACHEDIR"].iter().any(|name| own(name).is_some());
        let args = apptainer::pull_arguments(image, part, login.as_ref().map(LoginFile::path), cached);
        let env = means.environment(image, &folder);
        let output = OpenOptions::new().append(true).create(true).open(output(&folder))?;
        let pid = process::start(&Invocation { program, args, env }, File::open("/dev/null")?, output)?;
        Ok((pid, login))
    };
    let started: io::Result<_> = start();
    let (pid, login) = started
        .map_err(|error| Failure::of_worker(&format_args!("this worker cannot pull an image: {error}")))?;
    Ok((pid, folder, login))
}

/// Where apptainer's words go.
fn output(folder: &Path) -> PathBuf {
    folder.join("output")
}

#[cfg(test)]
#[path = "pull_tests.rs"]
mod tests;
