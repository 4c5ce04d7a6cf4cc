//! A volume of files with given bytes.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use htc_core::workload::spec::File;

use super::{Error, inside};

/// Writes them to a folder of their own.
pub fn write(volume: &str, folder: &Path, files: &[File]) -> Result<(), Error> {
    let failed = |path: &str| {
        let (volume, path) = (volume.to_owned(), path.to_owned());
        move |source| Error::Write { volume, path, source }
    };
    let private = |folder: &Path| DirBuilder::new().recursive(true).mode(0o700).create(folder);
    private(folder).map_err(failed(""))?;
    for file in files {
        let path = folder.join(inside::plain(volume, &file.path)?);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(path: &str, mode: u32) -> File {
        File { path: path.to_owned(), mode, data: b"\0bytes\xff".to_vec() }
    }

    #[test]
    fn files_have_their_exact_bytes_and_modes() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("v");
        let files = [("run", 0o755), ("a/b/secret", 0o440), ("open", 0o666)];
        write("v", &folder, &files.map(|(path, mode)| file(path, mode))).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for (path, wanted) in files {
            assert_eq!(mode(&folder.join(path)), wanted);
            assert_eq!(fs::read(folder.join(path)).unwrap(), b"\0bytes\xff");
        }
        assert_eq!(mode(&folder), 0o700);
    }

    #[test]
    fn no_file_is_written_outside_of_its_volume() {
        let scratch = tempfile::tempdir().unwrap();
        for bad in ["", "/etc/passwd", "..", "a/../../b", "nul\0"] {
            let written = write("v", &scratch.path().join("v"), &[file(bad, 0o600)]);
            assert!(matches!(written, Err(Error::Path { .. })), "{bad:?}");
        }
    }
}
