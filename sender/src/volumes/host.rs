//! A path of the worker, and what must be there.

use std::fs::{self, DirBuilder, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use htc_core::workload::spec::HostKind;

use super::Error;
use crate::place;

/// Whether what a path leads to is below one of these, wherever their own links lead: whoever fills a folder could put
/// a link there. Of a path that is still to be made what is there of it counts.
pub fn check_place(volume: &str, path: &Path, below: &[String]) -> Result<(), Error> {
    if below.is_empty() {
        return Ok(());
    }
    let Some(there) = path.ancestors().find(|part| part.symlink_metadata().is_ok()) else { return Ok(()) };
    let missing = || Error::Missing { volume: volume.to_owned(), path: path.to_owned() };
    let found = there.canonicalize().map_err(|_| missing())?;
    // The allowed path itself may be missing yet.
    let is_to_come =
        |allowed: &String| fs::canonicalize(allowed).is_err() && Path::new(allowed).starts_with(there);
    if place::is_below(&found, below) || below.iter().any(is_to_come) {
        return Ok(());
    }
    let (volume, path, allowed) = (volume.to_owned(), path.to_owned(), below.join(", "));
    Err(Error::Forbidden { volume, path, found, allowed })
}

/// Checks a path, or makes it where it may be made; whether it is there.
pub fn check(volume: &str, path: &Path, kind: HostKind, optional: bool) -> Result<bool, Error> {
    let failed = |source| Error::Write {
        volume: volume.to_owned(),
        path: path.to_string_lossy().into_owned(),
        source,
    };
    make(path, kind).map_err(failed)?;
    let Ok(meta) = fs::metadata(path) else {
        let missing = || Error::Missing { volume: volume.to_owned(), path: path.to_owned() };
        return if optional { Ok(false) } else { Err(missing()) };
    };
    match wanted(kind, meta.file_type()) {
        None => Ok(true),
        Some(wanted) => Err(Error::Kind { volume: volume.to_owned(), path: path.to_owned(), wanted }),
    }
}

/// Makes what may be made, with the modes of a kubelet; what is there already stays.
fn make(path: &Path, kind: HostKind) -> io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    match kind {
        HostKind::DirectoryOrCreate => DirBuilder::new().recursive(true).mode(0o755).create(path),
        HostKind::FileOrCreate => {
            OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map(drop)
        }
        _ => Ok(()),
    }
}

/// What it should be and is not.
fn wanted(kind: HostKind, found: FileType) -> Option<&'static str> {
    let (fine, wanted) = match kind {
        HostKind::Any => (true, ""),
        HostKind::DirectoryOrCreate | HostKind::Directory => (found.is_dir(), "folder"),
        HostKind::FileOrCreate | HostKind::File => (found.is_file(), "file"),
        HostKind::Socket => (found.is_socket(), "socket"),
        HostKind::CharDevice => (found.is_char_device(), "character device"),
        HostKind::BlockDevice => (found.is_block_device(), "block device"),
    };
    (!fine).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_link_cannot_lead_out_of_the_paths_that_the_site_allows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        for name in ["data/in", "elsewhere"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for (link, target) in [
            ("data/out", at("elsewhere")),
            ("data/root", "/".into()),
            ("mount", at("data")),
            ("data/no", "/no".into()),
        ] {
            std::os::unix::fs::symlink(target, at(link)).unwrap();
        }
        let check =
            |path: &str, below: &str| check_place("v", &at(path), &[at(below).to_str().unwrap().to_owned()]);
        for (path, below) in
            [("data", "data"), ("data/in", "data"), ("data/new/er", "data"), ("mount/in", "mount")]
        {
            assert!(check(path, below).is_ok(), "{path}");
        }
        for path in [
            "data/out",
            "data/out/new",
            "data/root/etc",
            "data/root/new",
            "elsewhere",
            "data/no",
            "data/no/new",
        ] {
            assert!(check(path, "data").is_err(), "{path}");
        }
        assert!(check("none/new", "none").is_ok(), "the allowed folder is not made yet");
        let error = check("data/out", "data").unwrap_err().to_string();
        assert!(error.contains("leads to") && error.contains("the site allows paths below"), "{error}");
        assert!(check_place("v", Path::new("/"), &[]).is_ok(), "jobs of before say nothing of it");
    }

    #[test]
    fn only_an_optional_path_of_the_worker_may_be_missing() {
        let missing = Path::new("/no/such/path");
        assert!(!check("v", missing, HostKind::Any, true).unwrap());
        let error = check("v", missing, HostKind::Any, false).unwrap_err();
        assert_eq!(error.to_string(), "volume \"v\": this worker has no /no/such/path");
    }

    #[test]
    fn a_path_of_the_worker_is_what_it_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let (file, socket) = (folder.path().join("file"), folder.path().join("socket"));
        fs::write(&file, "").unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        let all = [
            (folder.path(), HostKind::Directory),
            (&file, HostKind::File),
            (&socket, HostKind::Socket),
            (Path::new("/dev/null"), HostKind::CharDevice),
        ];
        for (path, own) in all {
            assert!(check("v", path, own, false).unwrap() && check("v", path, HostKind::Any, false).unwrap());
            for (_, other) in all.iter().filter(|(_, kind)| *kind != own) {
                assert!(matches!(check("v", path, *other, false), Err(Error::Kind { .. })), "{path:?}");
            }
            assert!(matches!(check("v", path, HostKind::BlockDevice, false), Err(Error::Kind { .. })));
        }
        let error = check("v", &file, HostKind::Directory, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("volume \"v\": {} of this worker is no folder", file.display())
        );
    }

    #[test]
    fn what_may_be_made_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let deep = folder.path().join("a/b");
        assert!(check("v", &deep, HostKind::DirectoryOrCreate, false).unwrap());
        let file = deep.join("file");
        assert!(check("v", &file, HostKind::FileOrCreate, false).unwrap());
        assert_eq!((mode(&deep), mode(&file)), (0o755, 0o644));
        fs::write(&file, "kept").unwrap();
        assert!(check("v", &file, HostKind::FileOrCreate, false).unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        let inside_a_file = check("v", &file.join("x"), HostKind::FileOrCreate, false);
        assert!(matches!(inside_a_file, Err(Error::Write { .. })));
    }
}
