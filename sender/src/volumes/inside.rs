//! Paths inside a volume, which must not lead out of it.
//!
//! Whoever writes to a volume can lay symbolic links in it. Nobody of the job runs while we look: see
//! [`crate::gate`].

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::Error;

/// The path, if its words alone cannot lead out of its volume.
pub fn plain<'a>(volume: &str, path: &'a str) -> Result<&'a Path, Error> {
    let plain = |c| matches!(c, Component::Normal(_) | Component::CurDir);
    match !path.is_empty() && !path.contains('\0') && Path::new(path).components().all(plain) {
        true => Ok(Path::new(path)),
        false => Err(Error::Path { volume: volume.to_owned(), path: path.to_owned() }),
    }
}

/// The file or folder at this path of a volume, without symbolic links on the way. Folders that are
/// not there are made in a volume that grows.
pub fn resolve(volume: &str, root: &Path, sub: &str, grows: bool) -> Result<PathBuf, Error> {
    let missing = |path: &Path| Error::Missing { volume: volume.to_owned(), path: path.to_owned() };
    let root = root.canonicalize().map_err(|_| missing(root))?;
    let mut path = root.clone();
    for part in plain(volume, sub)?.components() {
        let Component::Normal(part) = part else { continue };
        let next = path.join(part);
        path = match fs::symlink_metadata(&next) {
            Ok(meta) if meta.is_symlink() => match next.canonicalize() {
                Ok(target) if target.starts_with(&root) => target,
                _ => return Err(Error::Outside { volume: volume.to_owned(), path: sub.to_owned() }),
            },
            Ok(_) => next,
            Err(_) if !grows => return Err(missing(&next)),
            Err(_) => match fs::create_dir(&next) {
                Ok(()) => next,
                // A path of the worker that nobody may write, such as one of CVMFS.
                Err(error) if is_closed(&error) => return Err(missing(&next)),
                Err(source) => {
                    return Err(Error::Write { volume: volume.to_owned(), path: sub.to_owned(), source });
                }
            },
        };
    }
    Ok(path)
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_sub_path_is_made_where_the_volume_grows() {
        let volume = tempfile::tempdir().unwrap();
        assert!(matches!(resolve("v", volume.path(), "deep/er", false), Err(Error::Missing { .. })));
        assert!(resolve("v", volume.path(), "./deep//er", true).unwrap().ends_with("deep/er"));
        assert!(volume.path().join("deep/er").is_dir());
        fs::write(volume.path().join("file"), "").unwrap();
        assert!(resolve("v", volume.path(), "file", true).unwrap().is_file());
        assert!(matches!(resolve("v", volume.path(), "file/x", true), Err(Error::Write { .. })));
    }

    #[test]
    fn no_words_lead_out_of_a_volume() {
        let volume = tempfile::tempdir().unwrap();
        for bad in ["", "/etc/passwd", "..", "a/../../b", "nul\0"] {
            assert!(matches!(resolve("v", volume.path(), bad, true), Err(Error::Path { .. })), "{bad:?}");
        }
    }

    #[test]
    fn no_symbolic_link_leads_out_of_a_volume_and_nothing_is_made_behind_it() {
        let (volume, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| volume.path().join(name);
        fs::create_dir_all(at("real/deep")).unwrap();
        symlink("/etc", at("etc")).unwrap();
        symlink(other.path(), at("other")).unwrap();
        symlink("../..", at("real/up")).unwrap();
        symlink("nowhere", at("nowhere")).unwrap();
        symlink("loop", at("loop")).unwrap();
        // One that begins like the volume's own path.
        let twin = format!("{}.twin", volume.path().display());
        fs::create_dir(&twin).unwrap();
        symlink(&twin, at("twin")).unwrap();
        for bad in ["etc", "etc/passwd", "other/new", "real/up", "real/up/x", "nowhere/x", "loop", "twin"] {
            assert!(matches!(resolve("v", volume.path(), bad, true), Err(Error::Outside { .. })), "{bad:?}");
        }
        fs::remove_dir(twin).unwrap();
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_symbolic_link_inside_a_volume_is_followed() {
        let volume = tempfile::tempdir().unwrap();
        fs::create_dir(volume.path().join("v1")).unwrap();
        symlink("v1", volume.path().join("latest")).unwrap();
        let there = resolve("v", volume.path(), "latest", false).unwrap();
        assert_eq!(there, volume.path().canonicalize().unwrap().join("v1"));
    }
}
