//! Where volumes lie on the worker. Each kind has its own file.

mod empty;
mod files;
mod host;
mod inside;
pub mod limits;
mod memory;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use htc_core::workload::container::Mount;
use htc_core::workload::spec::{HostKind, Volume, VolumeSource};

use crate::blame;
use crate::outputs::{PRIVATE, WORK};
pub use limits::Limited;
pub use memory::sweep;

/// Why a volume or a mount of it cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that could leave its volume.
    #[error("volume {volume:?}: {path:?} is no relative path without '..'")]
    Path {
        /// The volume.
        volume: String,
        /// What was asked for.
        path: String,
    },
    /// A path that leaves its volume by a symbolic link, or leads nowhere.
    #[error("volume {volume:?}: the symbolic link at {path:?} leads out of it, or nowhere")]
    Outside {
        /// The volume.
        volume: String,
        /// What was asked for.
        path: String,
    },
    /// The worker does not have it.
    #[error("volume {volume:?}: this worker has no {}", path.display())]
    Missing {
        /// The volume.
        volume: String,
        /// What was asked for.
        path: PathBuf,
    },
    /// The worker has something else there.
    #[error("volume {volume:?}: {} of this worker is no {wanted}", path.display())]
    Kind {
        /// The volume.
        volume: String,
        /// What was asked for.
        path: PathBuf,
        /// What it should be.
        wanted: &'static str,
    },
    /// The site allows other paths.
    #[error("volume {volume:?}: {} leads to {} on this worker; the site allows paths below {allowed}", path.display(), found.display())]
    Forbidden {
        /// The volume.
        volume: String,
        /// What was asked for.
        path: PathBuf,
        /// Where it leads.
        found: PathBuf,
        /// What is allowed.
        allowed: String,
    },
    /// A file or folder could not be made.
    #[error("volume {volume:?}: cannot write {path:?}: {source}")]
    Write {
        /// The volume.
        volume: String,
        /// The file in it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The job has no such volume.
    #[error("there is no volume {0:?}")]
    Unknown(String),
}

impl Error {
    /// Whether another worker may do better: one that lacks a path of the user's choice is not at fault.
    pub fn is_workers(&self) -> bool {
        matches!(self, Error::Write { source, .. } if blame::of_io(source))
    }
}

/// The volumes of a job, laid out. What lies in memory goes when this is dropped.
#[derive(Debug)]
pub struct Volumes {
    /// None: optional and not there.
    places: BTreeMap<String, Option<Place>>,
    limited: Vec<Limited>,
    /// Made for the first volume that lies in memory.
    _memory: Option<memory::Memory>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// A sub-path that is not there is made, as a kubelet does.
    grows: bool,
}

impl Volumes {
    /// Makes all volumes of a job.
    pub fn lay_out(scratch: &Path, volumes: &[Volume]) -> Result<Volumes, Error> {
        let (mut memory, mut limited, mut places) = (None, Vec::new(), BTreeMap::new());
        for (number, Volume { name, source }) in volumes.iter().enumerate() {
            let own = |kind: &str| scratch.join(PRIVATE).join(format!("{kind}.{number}"));
            let place = match source {
                VolumeSource::Work => Some(Place { path: scratch.join(WORK), grows: true }),
                VolumeSource::Empty { memory: wanted, limit } => {
                    let in_memory = if *wanted { empty::in_memory(name, number, &mut memory) } else { None };
                    let path = empty::make(name, in_memory.unwrap_or_else(|| own("empty")))?;
                    limited.extend(limit.map(|limit| Limited::new(name, &path, limit)));
                    Some(Place { path, grows: true })
                }
                VolumeSource::Host { path, optional, kind, below } => {
                    host::check_place(name, Path::new(path), below)?;
                    let there = host::check(name, Path::new(path), *kind, *optional)?;
                    // A device is mounted as it is.
                    let grows = !matches!(kind, HostKind::CharDevice | HostKind::BlockDevice);
                    there.then(|| Place { path: path.into(), grows })
                }
                VolumeSource::Files(list) => {
                    let path = own("volume");
                    files::write(name, &path, list)?;
                    Some(Place { path, grows: false })
                }
            };
            places.insert(name.clone(), place);
        }
        Ok(Volumes { places, limited, _memory: memory })
    }

    /// What lies behind a mount; `None` where an optional path is not there.
    pub fn behind(&self, mount: &Mount) -> Result<Option<PathBuf>, Error> {
        let place = self.places.get(&mount.volume).ok_or_else(|| Error::Unknown(mount.volume.clone()))?;
        match (place, &mount.sub_path) {
            (None, _) => Ok(None),
            (Some(place), None) => Ok(Some(place.path.clone())),
            (Some(place), Some(sub)) => {
                inside::resolve(&mount.volume, &place.path, sub, place.grows).map(Some)
            }
        }
    }

    /// Those that may hold only so much.
    pub fn limited(&self) -> &[Limited] {
        &self.limited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_of_a_volume_that_the_job_does_not_have_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let volumes = Volumes::lay_out(scratch.path(), &[]).unwrap();
        let mount = Mount { volume: "v".to_owned(), path: "/x".to_owned(), sub_path: None, read_only: false };
        assert_eq!(volumes.behind(&mount).unwrap_err().to_string(), "there is no volume \"v\"");
    }
}
