//! A folder that begins empty and goes with the job: on the disk of the scratch, or in memory.

use std::fs;
use std::path::PathBuf;

use super::Error;
use super::memory::Memory;
use crate::words::say;

/// Makes the folder: for everybody, as far as the umask lets, as a kubelet does.
pub fn make(volume: &str, folder: PathBuf) -> Result<PathBuf, Error> {
    let failed = |source| Error::Write { volume: volume.to_owned(), path: String::new(), source };
    fs::create_dir_all(&folder).map_err(failed)?;
    Ok(folder)
}

/// Where in memory the folder may lie; nowhere on a worker without such a place: the disk must do.
pub fn in_memory(volume: &str, number: usize, memory: &mut Option<Memory>) -> Option<PathBuf> {
    if memory.is_none() {
        match Memory::find() {
            Ok(found) => *memory = Some(found),
            Err(error) => {
                say(format_args!("volume {volume:?} lies on disk, not in memory: /dev/shm: {error}"));
            }
        }
    }
    let folder = memory.as_ref()?.folder().join(format!("empty.{number}"));
    say(format_args!("volume {volume:?} lies in memory, at {}", folder.display()));
    Some(folder)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use htc_core::workload::container::Mount;
    use htc_core::workload::spec::{Volume, VolumeSource};

    use crate::volumes::Volumes;

    fn laid_out(scratch: &Path, memory: bool) -> (Volumes, std::path::PathBuf) {
        let volume = |name: &str| {
            let source = VolumeSource::Empty { memory, limit: None };
            Volume { name: name.to_owned(), source }
        };
        let volumes = Volumes::lay_out(scratch, &[volume("v"), volume("w")]).unwrap();
        let mount = |volume: &str| Mount {
            volume: volume.to_owned(),
            path: "/x".to_owned(),
            sub_path: None,
            read_only: false,
        };
        let [v, w] = ["v", "w"].map(|name| volumes.behind(&mount(name)).unwrap().unwrap());
        assert!(v != w && v.is_dir() && w.is_dir());
        (volumes, v)
    }

    #[test]
    fn every_empty_volume_has_a_folder_of_its_own_in_the_scratch() {
        let scratch = tempfile::tempdir().unwrap();
        let (_, folder) = laid_out(scratch.path(), false);
        assert!(folder.starts_with(scratch.path()), "{folder:?}");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    }

    #[test]
    fn what_lies_in_memory_is_private_and_goes_with_the_volumes() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let (volumes, folder) = laid_out(scratch.path(), true);
        assert!(folder.starts_with("/dev/shm"), "{folder:?}");
        let parent = folder.parent().unwrap().to_owned();
        assert_eq!(parent.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::create_dir(folder.join("closed")).unwrap();
        std::fs::write(folder.join("closed/x"), "x").unwrap();
        let closed = std::fs::Permissions::from_mode(0o500);
        std::fs::set_permissions(folder.join("closed"), closed).unwrap();
        crate::volumes::sweep();
        assert!(folder.join("closed/x").exists(), "a job that lives was swept away");
        drop(volumes);
        assert!(!parent.exists());
    }
}
