//! Where volumes lie on the worker.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use htc_core::workload::container::Mount;
use htc_core::workload::spec::{File, Volume, VolumeSource};

use crate::outputs::{PRIVATE, WORK};

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
    /// The worker does not have it.
    #[error("volume {volume:?}: this worker has no {}", path.display())]
    Missing {
        /// The volume.
        volume: String,
        /// What was asked for.
        path: PathBuf,
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

/// The volumes of a job, laid out.
#[derive(Debug)]
pub struct Volumes {
    /// None: optional and not there.
    places: BTreeMap<String, Option<Place>>,
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
        let place = |(number, volume): (usize, &Volume)| {
            let place = match &volume.source {
                VolumeSource::Work => Some(Place { path: scratch.join(WORK), grows: true }),
                VolumeSource::Host { path, optional } => host(&volume.name, Path::new(path), *optional)?,
                VolumeSource::Files(files) => {
                    let folder = scratch.join(PRIVATE).join(format!("volume.{number}"));
                    write_files(&volume.name, &folder, files)?;
                    Some(Place { path: folder, grows: false })
                }
            };
            Ok((volume.name.clone(), place))
        };
        let places = volumes.iter().enumerate().map(place).collect::<Result<_, _>>()?;
        Ok(Volumes { places })
    }

    /// What lies behind a mount; `None` where an optional path is not there.
    pub fn behind(&self, mount: &Mount) -> Result<Option<PathBuf>, Error> {
        let place = self.places.get(&mount.volume).ok_or_else(|| Error::Unknown(mount.volume.clone()))?;
        let Some(place) = place else { return Ok(None) };
        let Some(sub) = &mount.sub_path else { return Ok(Some(place.path.clone())) };
        let path = place.path.join(inside(&mount.volume, sub)?);
        if place.grows && !path.exists() {
            let volume = mount.volume.clone();
            fs::create_dir_all(&path).map_err(|source| Error::Write { volume, path: sub.clone(), source })?;
        }
        match path.exists() {
            true => Ok(Some(path)),
            false => Err(Error::Missing { volume: mount.volume.clone(), path }),
        }
    }
}

fn host(volume: &str, path: &Path, optional: bool) -> Result<Option<Place>, Error> {
    match path.exists() {
        true => Ok(Some(Place { path: path.to_owned(), grows: false })),
        false if optional => Ok(None),
        false => Err(Error::Missing { volume: volume.to_owned(), path: path.to_owned() }),
    }
}

fn write_files(volume: &str, folder: &Path, files: &[File]) -> Result<(), Error> {
    let failed = |path: &str| {
        let (volume, path) = (volume.to_owned(), path.to_owned());
        move |source| Error::Write { volume, path, source }
    };
    let private = |folder: &Path| DirBuilder::new().recursive(true).mode(0o700).create(folder);
    private(folder).map_err(failed(""))?;
    for file in files {
        let path = folder.join(inside(volume, &file.path)?);
        let write = || {
            path.parent().map_or(Ok(()), private)?;
            // 0600 first: the bytes may be a secret, and the umask must not change the given mode.
            let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            open.write_all(&file.data)?;
            open.set_permissions(Permissions::from_mode(file.mode & 0o777))
        };
        write().map_err(failed(&file.path))?;
    }
    Ok(())
}

/// The path, if it cannot lead out of its volume.
fn inside<'a>(volume: &str, path: &'a str) -> Result<&'a Path, Error> {
    let plain = |c| matches!(c, Component::Normal(_) | Component::CurDir);
    match !path.is_empty() && !path.contains('\0') && Path::new(path).components().all(plain) {
        true => Ok(Path::new(path)),
        false => Err(Error::Path { volume: volume.to_owned(), path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(source: VolumeSource) -> [Volume; 1] {
        [Volume { name: "v".to_owned(), source }]
    }

    fn mount(sub_path: Option<&str>) -> Mount {
        let sub_path = sub_path.map(str::to_owned);
        Mount { volume: "v".to_owned(), path: "/x".to_owned(), sub_path, read_only: false }
    }

    fn file(path: &str, mode: u32) -> File {
        File { path: path.to_owned(), mode, data: b"\0bytes\xff".to_vec() }
    }

    #[test]
    fn files_have_their_exact_bytes_and_modes() {
        let scratch = tempfile::tempdir().unwrap();
        let files = vec![file("run", 0o755), file("a/b/secret", 0o440), file("open", 0o666)];
        let volumes = Volumes::lay_out(scratch.path(), &volume(VolumeSource::Files(files))).unwrap();
        for (path, mode) in [("run", 0o755), ("a/b/secret", 0o440), ("open", 0o666)] {
            let path = volumes.behind(&mount(Some(path))).unwrap().unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
            assert_eq!(fs::read(&path).unwrap(), b"\0bytes\xff");
        }
        let root = volumes.behind(&mount(None)).unwrap().unwrap();
        assert_eq!(fs::metadata(root).unwrap().permissions().mode() & 0o7777, 0o700);
    }

    #[test]
    fn no_path_leads_out_of_its_volume() {
        let scratch = tempfile::tempdir().unwrap();
        for bad in ["", "/etc/passwd", "..", "a/../../b", "nul\0"] {
            let files = VolumeSource::Files(vec![file(bad, 0o600)]);
            let made = Volumes::lay_out(scratch.path(), &volume(files));
            assert!(matches!(made, Err(Error::Path { .. })), "{bad:?}");
            let work = Volumes::lay_out(scratch.path(), &volume(VolumeSource::Work)).unwrap();
            assert!(matches!(work.behind(&mount(Some(bad))), Err(Error::Path { .. })), "{bad:?}");
        }
    }

    #[test]
    fn only_an_optional_path_of_the_worker_may_be_missing() {
        let scratch = tempfile::tempdir().unwrap();
        let host = |optional| volume(VolumeSource::Host { path: "/no/such/path".to_owned(), optional });
        let volumes = Volumes::lay_out(scratch.path(), &host(true)).unwrap();
        assert_eq!(volumes.behind(&mount(None)).unwrap(), None);
        let error = Volumes::lay_out(scratch.path(), &host(false)).unwrap_err();
        assert_eq!(error.to_string(), "volume \"v\": this worker has no /no/such/path");
    }

    #[test]
    fn a_sub_path_of_work_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let volumes = Volumes::lay_out(scratch.path(), &volume(VolumeSource::Work)).unwrap();
        assert!(volumes.behind(&mount(Some("deep/er"))).unwrap().unwrap().is_dir());
    }
}
