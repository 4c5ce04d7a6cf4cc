//! The images of a job: each becomes a file or folder of the worker before the containers that run
//! it start.
//!
//! ```text
//! pull     one image on its way: waits, pulls, tries again, gives up, as the trouble is
//! record   what an image was when it was pulled
//! store    the folder where pulled images lie: the worker's cache, or the job's own
//! login    who the job is to a registry, for as long as it pulls
//! config   what an image says of itself, from an image file (sif) or an unpacked image
//! ```
//!
//! Nothing of the user's runs while images are pulled, so no process of the job can see a login.

mod config;
mod login;
mod pull;
mod record;
mod sif;
mod store;
mod trouble;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Instant;

use htc_core::workload::container::{Container, Image, Pull};
use htc_core::workload::report::ContainerState;
use htc_core::workload::spec::{JobSpec, RegistryLogin};

pub use config::Config;
use pull::Pulling;
pub use store::Kept;
use store::Store;

use crate::event::Event;
use crate::outputs::PRIVATE;
use crate::process::{Exit, Pid};
use crate::words::say;
use crate::{apptainer, blame, place};

/// An image that a container can run.
#[derive(Debug)]
pub struct Local {
    /// The file or folder.
    pub path: PathBuf,
    /// What it says of itself.
    pub config: Config,
    /// Keeps it from being taken away.
    _in_use: Option<File>,
}

/// Why an image cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// As a kubelet names it.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
    /// Whether another worker may do better.
    pub is_workers: bool,
}

impl Failure {
    /// This worker cannot do what it takes.
    fn of_worker(why: &dyn std::fmt::Display) -> Failure {
        Failure { reason: "ContainerCannotRun", message: why.to_string(), is_workers: true }
    }

    fn of_image(reason: &'static str, message: String) -> Failure {
        Failure { reason, message, is_workers: false }
    }
}

/// What every pull of a job needs.
struct Means {
    scratch: PathBuf,
    insecure_registries: Vec<String>,
    logins: Vec<RegistryLogin>,
    /// Where images go: the worker's cache where there is one.
    store: Store,
    /// Where they go without a cache.
    of_job: Store,
    events: Sender<Event>,
}

impl Means {
    fn login(&self, image: &str) -> Option<&RegistryLogin> {
        let registry = apptainer::registry(image)?;
        self.logins.iter().find(|login| login.registry == registry)
    }

    fn pull_folder(&self, number: usize) -> PathBuf {
        self.scratch.join(PRIVATE).join(format!("pull.{number}"))
    }

    fn environment(&self, image: &str, folder: &Path) -> Vec<(String, OsString)> {
        let mut env = apptainer::environment(&self.scratch, folder, |name| std::env::var_os(name));
        let insecure = |registry| self.insecure_registries.iter().any(|known| known == registry);
        if apptainer::registry(image).is_some_and(insecure) {
            env.extend(apptainer::plain_http());
        }
        env
    }
}

/// The images of a job.
pub struct Images {
    means: Means,
    /// By their names in the job.
    known: BTreeMap<String, Result<Local, Failure>>,
    /// What paths must lie below; none: anywhere.
    paths: Vec<String>,
    under_way: Vec<Pulling>,
}

impl Images {
    /// None is known yet.
    pub fn new(job: &JobSpec, scratch: &Path, events: Sender<Event>) -> Images {
        let of_job = Store::of_job(scratch.join(PRIVATE).join("images"));
        let cache = job.images.cache.as_ref().map(Store::in_cache).transpose();
        let cache = cache.unwrap_or_else(|error| {
            say(format_args!("this worker's image cache is not used: {error}"));
            None
        });
        let means = Means {
            scratch: scratch.to_owned(),
            insecure_registries: job.images.insecure_registries.clone(),
            logins: job.registries.clone(),
            store: cache.unwrap_or_else(|| of_job.clone()),
            of_job,
            events,
        };
        Images { means, known: BTreeMap::new(), paths: job.images.paths.clone(), under_way: Vec::new() }
    }

    /// Begins to make the images of these containers local, each once.
    pub fn want<'a>(&mut self, containers: impl IntoIterator<Item = &'a Container>) {
        let mut wanted: BTreeMap<&str, Pull> = BTreeMap::new();
        for container in containers {
            let Image::Apptainer(image) = &container.image else { continue };
            let policy = wanted.entry(image).or_insert(container.pull);
            *policy = stronger(*policy, container.pull);
        }
        for (image, policy) in wanted {
            match self.known.get(image) {
                Some(Ok(_)) => {}
                _ if image.contains("://") => {
                    let number = self.known.len() + self.under_way.len();
                    self.under_way.push(Pulling::begin(number, image, policy, &self.means));
                }
                _ => drop(self.known.insert(image.to_owned(), on_the_worker(image, &self.paths))),
            }
        }
        self.settle();
    }

    /// When something has to be done about the pulls that are under way; none when none is.
    pub fn wakes_at(&self) -> Option<Instant> {
        self.under_way.iter().map(Pulling::wakes_at).min()
    }

    /// Does it.
    pub fn wake(&mut self) {
        let now = Instant::now();
        self.under_way.iter_mut().for_each(|pulling| pulling.wake(now, &self.means));
        self.settle();
    }

    /// The wait for the right to pull an image is over.
    pub fn locked(&mut self, number: usize, lock: io::Result<File>) {
        if let Some(pulling) = self.under_way.iter_mut().find(|pulling| pulling.number == number) {
            pulling.locked(lock, &self.means);
        }
        self.settle();
    }

    /// An image that was pulled has its place, or none.
    pub fn kept(&mut self, number: usize, kept: io::Result<Kept>) {
        if let Some(pulling) = self.under_way.iter_mut().find(|pulling| pulling.number == number) {
            pulling.kept(kept, &self.means);
        }
        self.settle();
    }

    /// A process has ended, maybe one that pulled.
    pub fn ended(&mut self, pid: Pid, exit: Exit) {
        self.under_way.iter_mut().any(|pulling| pulling.ended(pid, exit, &self.means));
        self.settle();
    }

    /// Ends all pulls.
    pub fn give_up(&mut self) {
        let end = |pulling: &mut Pulling| pulling.give_up("the job was asked to end".to_owned());
        self.under_way.iter_mut().for_each(end);
        self.settle();
    }

    /// How a container stands that waits for images.
    pub fn waiting(&self, container: &Container) -> ContainerState {
        let is_its = |image: &str| matches!(&container.image, Image::Apptainer(its) if its == image);
        let (reason, message) = match self.under_way.iter().find(|pulling| is_its(&pulling.image)) {
            None => ("ContainerCreating", String::new()),
            Some(pulling) => match pulling.trouble() {
                None => ("ContainerCreating", format!("pulling {}", pulling.image)),
                Some(why) => ("ErrImagePull", why.to_owned()),
            },
        };
        ContainerState::Waiting { reason: reason.to_owned(), message }
    }

    /// The image of a container that was wanted.
    pub fn of(&self, container: &Container) -> Result<Option<&Local>, Failure> {
        let Image::Apptainer(image) = &container.image else { return Ok(None) };
        match self.known.get(image) {
            Some(Ok(local)) => Ok(Some(local)),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::of_image("ContainerCannotRun", format!("{image} was never asked for"))),
        }
    }

    fn settle(&mut self) {
        for pulling in self.under_way.extract_if(.., |pulling| pulling.is_over()) {
            let image = pulling.image.clone();
            self.known.extend(pulling.outcome().map(|outcome| (image, outcome.map(Local::of))));
        }
    }
}

impl Local {
    fn of(kept: Kept) -> Local {
        Local { config: Config::of(&kept.path), path: kept.path, _in_use: Some(kept.in_use) }
    }
}

/// A path is taken as it is, or, where the site says what it must lie below, as what it leads to: a link in
/// a folder that others fill could lead anywhere. What is no path could be an option of apptainer.
fn on_the_worker(image: &str, allowed: &[String]) -> Result<Local, Failure> {
    let path = PathBuf::from(image);
    if !path.is_absolute() {
        let message = format!("{image:?} is no name of an image");
        return Err(Failure::of_image("InvalidImageName", message));
    }
    let resolved =
        if allowed.is_empty() { path.metadata().map(|_| path.clone()) } else { path.canonicalize() };
    let path = resolved.map_err(|error| {
        let message = format!("this worker has no {image}: {error}");
        Failure { is_workers: blame::of_path(&path, &error), ..Failure::of_image("ErrImagePull", message) }
    })?;
    if !allowed.is_empty() && !place::is_below(&path, allowed) {
        let (found, allowed) = (path.display(), allowed.join(", "));
        let message =
            format!("{image} leads to {found} on this worker; the site allows images below {allowed}");
        return Err(Failure::of_image("InvalidImageName", message));
    }
    Ok(Local { config: Config::of(&path), path, _in_use: None })
}

/// Of two containers with one image the one that asks for more counts for both.
fn stronger(one: Pull, other: Pull) -> Pull {
    match (one, other) {
        (Pull::Always, _) | (_, Pull::Always) => Pull::Always,
        (Pull::Never, Pull::Never) => Pull::Never,
        _ => Pull::IfNotPresent,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_no_path_and_no_reference_is_never_given_to_apptainer() {
        for image in ["--fakeroot", "", "image.sif", "../image.sif"] {
            assert_eq!(on_the_worker(image, &[]).err().unwrap().reason, "InvalidImageName", "{image}");
        }
        assert_eq!(on_the_worker("/no/such.sif", &[]).err().unwrap().reason, "ErrImagePull");
        assert_eq!(on_the_worker("/proc", &[]).unwrap().path, Path::new("/proc"));
    }

    #[test]
    fn a_worker_without_the_file_system_of_an_image_is_at_fault_itself() {
        let is_workers = |image: &str| on_the_worker(image, &[]).err().unwrap().is_workers;
        assert!(is_workers("/no-such-mount/x.sif"));
        assert!(!is_workers("/proc/no-such.sif") && !is_workers("no path"));
    }

    #[test]
    fn a_link_cannot_lead_out_of_what_the_site_allows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        for name in ["images", "elsewhere"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("x.sif"), b"").unwrap();
        }
        for (link, target) in
            [("images/out", "elsewhere/x.sif"), ("images/in", "images/x.sif"), ("mount", "images")]
        {
            std::os::unix::fs::symlink(at(target), at(link)).unwrap();
        }
        let found = |image: &str, allowed: &str| {
            let text = |name: &str| at(name).to_str().unwrap().to_owned();
            on_the_worker(&text(image), &[text(allowed)]).map(|local| local.path).map_err(|why| why.reason)
        };
        assert_eq!(found("images/x.sif", "images"), Ok(at("images/x.sif")));
        assert_eq!(found("images/in", "images"), Ok(at("images/x.sif")));
        assert_eq!(found("images/out", "images"), Err("InvalidImageName"));
        assert_eq!(found("elsewhere/x.sif", "images"), Err("InvalidImageName"));
        assert_eq!(found("mount/x.sif", "mount"), Ok(at("images/x.sif")), "the allowed folder may be a link");
        assert_eq!(found("images/none", "images"), Err("ErrImagePull"));
    }
}
