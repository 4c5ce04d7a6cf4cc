//! From a container to what is started for it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use htc_core::workload::container::{Arg, Container, Image, Program};

use crate::apptainer::{self, Bind};
use crate::handshake::Request;
use crate::image::Local;
use crate::last_words::{self, Offer};
use crate::log::Closed;
use crate::outputs::{PRIVATE, WORK};
use crate::process::Invocation;
use crate::volumes::{self, Volumes};

/// Why a container cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A volume is missing or unusable.
    #[error(transparent)]
    Volume(#[from] volumes::Error),
    /// An argument names a mount that the container does not have.
    #[error("nothing is mounted at {0:?}")]
    NoMount(String),
    /// No program.
    #[error("the container has no command")]
    NoCommand,
    /// Neither has the image.
    #[error("the container has no command and the image names none")]
    NoEntryPoint,
    /// The worker cannot run images.
    #[error(transparent)]
    NoTool(#[from] apptainer::NoTool),
    /// The container's own folder, or a file, in the scratch.
    #[error("cannot make {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// Whether another worker may do better.
    pub fn is_workers(&self) -> bool {
        match self {
            Error::NoTool(_) | Error::Folder { .. } => true,
            Error::Volume(error) => error.is_workers(),
            Error::NoMount(_) | Error::NoCommand | Error::NoEntryPoint => false,
        }
    }
}

/// What all containers of a job share.
#[derive(Debug)]
pub struct Place {
    /// The job's folder.
    pub scratch: PathBuf,
    /// The sender's own executable.
    pub sender: PathBuf,
    /// The index of the job in its workload.
    pub index: u32,
    /// The name of the machine that containers in images see.
    pub hostname: Option<String>,
    /// The containers whose logs are closed.
    pub closed: Closed,
}

/// What is started, and what its first process becomes.
pub struct Launch {
    /// The process outside.
    pub invocation: Invocation,
    /// The process inside.
    pub request: Request,
}

/// A mount, and what lies behind it.
type Mounted = (Bind, /* as the process sees it */ String);

/// Works out how to start a container, in its image if it has one.
pub fn plan(
    container: &Container,
    image: Option<&Local>,
    volumes: &Volumes,
    place: &Place,
) -> Result<Launch, Error> {
    let mounts = mounts(container, volumes)?;
    let word = |arg: &Arg| match arg {
        Arg::Text(text) => Ok(text.clone()),
        Arg::Index => Ok(place.index.to_string()),
        Arg::Mount(path) => {
            let found = mounts.iter().find(|(bind, _)| bind.target == *path);
            found.map(|(_, seen)| seen.clone()).ok_or_else(|| Error::NoMount(path.clone()))
        }
    };
    let words = |list: &[Arg]| list.iter().map(word).collect::<Result<Vec<_>, _>>();
    let argv = match (&container.program, image) {
        (Program::Words(list), _) => words(list)?,
        (Program::EntryPoint(list), Some(image)) => image.config.command_line(words(list)?),
        (Program::EntryPoint(_), None) => return Err(Error::NoCommand),
    };
    if argv.is_empty() {
        return Err(if image.is_some() { Error::NoEntryPoint } else { Error::NoCommand });
    }
    let env = container.env.iter().map(|v| (v.name.clone(), v.value.clone())).collect();
    let working_dir = container.working_dir.as_ref().map(word).transpose()?;
    let offer = last_words(container, place)?;
    let (binds, links): (Vec<_>, Vec<_>) = offer.into_iter().map(|offer| (offer.bind, offer.link)).unzip();
    let (invocation, home) = match image {
        None => on_the_worker(place),
        Some(image) => {
            let binds = mounts.into_iter().map(|(bind, _)| bind).chain(binds).collect();
            in_image(container, image, binds, place)?
        }
    };
    let links = links.into_iter().flatten().collect();
    Ok(Launch { invocation, request: Request { argv, env, working_dir: working_dir.or(Some(home)), links } })
}

/// The file for its last words, where an image can show it.
fn last_words(container: &Container, place: &Place) -> Result<Option<Offer>, Error> {
    let Some(wanted) = container.termination_message.as_ref().filter(|_| container.image != Image::Host)
    else {
        return Ok(None);
    };
    let path = last_words::file(&place.scratch, &container.name);
    last_words::offer(&path, wanted).map(Some).map_err(|source| Error::Folder { path, source })
}

fn mounts(container: &Container, volumes: &Volumes) -> Result<Vec<Mounted>, Error> {
    let mut mounts = Vec::new();
    for mount in &container.mounts {
        let Some(source) = volumes.behind(mount)? else { continue };
        let seen = match container.image {
            Image::Host => source.to_string_lossy().into_owned(),
            Image::Apptainer(_) => mount.path.clone(),
        };
        mounts.push((Bind { source, target: mount.path.clone(), read_only: mount.read_only }, seen));
    }
    // A mount inside another one must come after it.
    mounts.sort_by(|(a, _), (b, _)| Path::new(&a.target).cmp(Path::new(&b.target)));
    Ok(mounts)
}

/// A process of the worker sees a clean environment and starts in `work`.
fn on_the_worker(place: &Place) -> (Invocation, String) {
    let work = place.scratch.join(WORK);
    let env = [("PATH", apptainer::search_path(std::env::var_os("PATH"))), ("HOME", work.clone().into())];
    let mut env: Vec<(String, OsString)> = env.map(|(name, value)| (name.to_owned(), value)).into();
    env.extend(std::env::var_os("TMPDIR").map(|value| ("TMPDIR".to_owned(), value)));
    let invocation = Invocation { program: place.sender.clone(), args: vec!["init".into()], env };
    (invocation, work.to_string_lossy().into_owned())
}

/// A process in an image starts where the image says, or in `/`.
fn in_image(
    container: &Container,
    image: &Local,
    mut binds: Vec<Bind>,
    place: &Place,
) -> Result<(Invocation, String), Error> {
    let program = apptainer::here()?;
    let folder = place.scratch.join(PRIVATE).join(format!("apptainer.{}", container.name));
    let home = folder.join("home");
    fs::create_dir_all(&home).map_err(|source| Error::Folder { path: home, source })?;
    let target = apptainer::SENDER.to_owned();
    binds.push(Bind { source: place.sender.clone(), target, read_only: true });
    let args = apptainer::arguments(&image.path, &binds, &folder, place.hostname.as_deref());
    let env = apptainer::environment(&place.scratch, &folder, |name| std::env::var_os(name));
    let start = image.config.working_dir.clone().unwrap_or_else(|| "/".to_owned());
    Ok((Invocation { program, args, env }, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use htc_core::workload::container::{EnvVar, Mount, Pull};
    use htc_core::workload::spec::{Volume, VolumeSource};

    fn container(image: Image) -> Container {
        Container {
            name: "main".to_owned(),
            image,
            pull: Pull::IfNotPresent,
            termination_message: None,
            program: Program::Words(vec!["bash".into(), Arg::Mount("/htc_run".to_owned()), Arg::Index]),
            env: vec![EnvVar { name: "A".to_owned(), value: "1".to_owned() }],
            working_dir: Some(Arg::Mount("/htc_run".to_owned())),
            mounts: vec![Mount {
                volume: "work".to_owned(),
                path: "/htc_run".to_owned(),
                sub_path: None,
                read_only: false,
            }],
        }
    }

    fn plan_in(scratch: &Path, container: &Container) -> Result<Launch, Error> {
        let volumes = [Volume { name: "work".to_owned(), source: VolumeSource::Work }];
        let volumes = Volumes::lay_out(scratch, &volumes).unwrap();
        plan(
            container,
            None,
            &volumes,
            &Place {
                scratch: scratch.to_owned(),
                sender: "/x/sender".into(),
                index: 7,
                hostname: None,
                closed: Closed::default(),
            },
        )
    }

    #[test]
    fn on_the_worker_a_mount_is_the_folder_behind_it() {
        let launch = plan_in(Path::new("/s"), &container(Image::Host)).unwrap();
        assert_eq!(launch.request.argv, ["bash", "/s/work", "7"]);
        assert_eq!(launch.request.working_dir.as_deref(), Some("/s/work"));
        assert_eq!(launch.invocation.program, Path::new("/x/sender"));
    }

    #[test]
    fn an_argument_can_only_name_a_mount_that_is_there() {
        let mut container = container(Image::Host);
        container.program = Program::Words(vec![Arg::Mount("/elsewhere".to_owned())]);
        let error = plan_in(Path::new("/s"), &container).err().unwrap();
        assert_eq!(error.to_string(), "nothing is mounted at \"/elsewhere\"");
    }

    #[test]
    fn without_an_image_there_is_no_entry_point() {
        let mut container = container(Image::Host);
        container.program = Program::EntryPoint(vec!["a".into()]);
        assert!(matches!(plan_in(Path::new("/s"), &container), Err(Error::NoCommand)));
    }
}
