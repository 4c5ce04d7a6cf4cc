//! The data folder: ours alone, on a local disk with space, and in nobody else's use.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{Access, access};

use super::finding::Finding;
use crate::condor::submit::is_good_folder;
use crate::control;
use crate::engine::{self, StoreError, Unreadable};
use crate::limits::FREE_SPACE_WANTED;

/// What it is called in findings.
pub const CHECK: &str = "data folder";

const ROOT: &str = "DataRootFolder";

/// `statfs` types of file systems that other machines can write, or that lock badly: SQLite needs
/// neither. From `statfs(2)`.
const REMOTE: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x00c3_6400, "CephFS"),
    (0x517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0102_1997, "9P"),
    (0x1983_0326, "BeeGFS"),
];
/// May be anything, also remote.
const FUSE: u64 = 0x6573_5546;
/// Memory.
const TMPFS: u64 = 0x0102_1994;

/// Everything about it.
pub fn check(folder: &Path, uid: u32) -> Vec<Finding> {
    let shown = folder.display();
    let meta = match fs::metadata(folder) {
        Ok(meta) => meta,
        Err(why) => {
            let remedy = format!("mkdir -m 700 {shown}, owned by this user, or choose another --data-dir");
            return vec![Finding::failed(CHECK, format!("{shown}: {why}"), remedy)];
        }
    };
    let mut findings = vec![place(folder, &meta, uid)];
    findings.extend(file_system(folder));
    findings.extend(space(folder));
    findings.push(in_use(folder));
    findings.extend(full(folder));
    findings.push(judge_database(engine::unreadable(folder)));
    findings
}

fn judge_database(found: Result<Vec<Unreadable>, StoreError>) -> Finding {
    match found.as_deref() {
        Ok([]) => Finding::ok(CHECK, "has a database that can be read, or none yet"),
        Ok([first, ..]) => {
            let whose = first.uid.as_ref().map_or(String::new(), |uid| format!("{uid}: "));
            let rows = found.as_ref().map_or(0, Vec::len);
            let found =
                format!("{rows} rows of the database cannot be read; the first: {whose}{}", first.why);
            let remedy = "nothing more of those workloads is submitted: delete their objects and create them again, or \
                          restore a backup";
            Finding::warning(CHECK, found, remedy)
        }
        // It cannot be looked at before the start has brought it to our format.
        Err(why @ StoreError::Newer { .. }) => Finding::failed(CHECK, why.to_string(), "see there"),
        Err(why) => {
            let remedy = "if the next start does not mend that, restore a backup";
            Finding::warning(CHECK, format!("the database cannot be looked at: {why}"), remedy)
        }
    }
}

/// The same for a folder that the first start makes.
pub fn check_own(folder: &Path, uid: u32) -> Vec<Finding> {
    if folder.exists() {
        return check(folder, uid);
    }
    let shown = folder.display();
    vec![match can_be_made(folder) {
        true => Finding::ok(CHECK, format!("{shown} is made at the first start")),
        false => {
            let remedy = "make it, owned by this user, or choose another --data-dir";
            Finding::failed(CHECK, format!("{shown} is not there and cannot be made"), remedy)
        }
    }]
}

/// `DataRootFolder` of the old plugins: there or to be made, and for us to write.
pub fn check_root(root: &Path) -> Finding {
    let shown = root.display();
    let found = match access(root, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if root.is_dir() => return Finding::ok(ROOT, format!("{shown} is there, and we may write")),
        Ok(()) => format!("{shown} is no folder"),
        Err(rustix::io::Errno::NOENT) if can_be_made(root) => {
            return Finding::ok(ROOT, format!("{shown} is made at the first start"));
        }
        Err(rustix::io::Errno::NOENT) => format!("{shown} is not there and cannot be made"),
        Err(why) => format!("{shown} is not for us to write: {why}"),
    };
    let remedy = "make it, owned by this user, or name another; under systemd let the unit write there: \
                  ReadWritePaths=";
    Finding::failed(ROOT, found, remedy)
}

/// Whether a folder that is not there can be made, with those above it.
fn can_be_made(folder: &Path) -> bool {
    // Above a relative path is the working folder, as "".
    let here = |above| if above == Path::new("") { Path::new(".") } else { above };
    let above = folder.ancestors().skip(1).map(here).find(|above| above.exists());
    above.is_some_and(|above| above.is_dir() && access(above, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}

fn place(folder: &Path, meta: &fs::Metadata, uid: u32) -> Finding {
    let (shown, mode) = (folder.display(), meta.mode() & 0o777);
    let canonical = folder.canonicalize().ok();
    let fits = canonical.as_deref().and_then(Path::to_str).is_some_and(is_good_folder);
    match () {
        () if !meta.is_dir() => {
            Finding::failed(CHECK, format!("{shown} is no folder"), "choose another --data-dir")
        }
        () if meta.uid() != uid => Finding::failed(
            CHECK,
            format!("{shown} belongs to user {}, we are {uid}", meta.uid()),
            format!("chown -R {uid} {shown}"),
        ),
        () if mode != 0o700 => Finding::failed(
            CHECK,
            format!("{shown} has mode {mode:03o}: it holds keys of jobs"),
            format!("chmod 700 {shown}"),
        ),
        () if !fits => Finding::failed(
            CHECK,
            format!("{shown} has a character that submit files cannot carry"),
            "choose a --data-dir without blanks, commas, # and $",
        ),
        () => Finding::ok(CHECK, format!("{shown} is ours alone")),
    }
}

fn file_system(folder: &Path) -> Option<Finding> {
    let found = rustix::fs::statfs(folder).ok()?;
    Some(judge_file_system(u64::try_from(found.f_type).unwrap_or_default()))
}

fn judge_file_system(kind: u64) -> Finding {
    let remedy = "put --data-dir on a local disk or a block volume (ReadWriteOnce)";
    match REMOTE.iter().find(|(known, _)| *known == kind) {
        Some((_, name)) => Finding::failed(CHECK, format!("is on {name}, where SQLite is not safe"), remedy),
        None if kind == FUSE => {
            Finding::warning(CHECK, "is on a FUSE file system, perhaps a remote one", remedy)
        }
        None if kind == TMPFS => Finding::warning(CHECK, "is in memory: a reboot loses it", remedy),
        None => Finding::ok(CHECK, "is on a local file system"),
    }
}

fn space(folder: &Path) -> Option<Finding> {
    let found = rustix::fs::statvfs(folder).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("has {} MiB free", free >> 20);
    Some(if free < FREE_SPACE_WANTED {
        Finding::warning(CHECK, text, "make room: outputs of jobs come home to it")
    } else {
        Finding::ok(CHECK, text)
    })
}

/// An operator that runs keeps some room in reserve, and lets it go when the disk is full.
fn full(folder: &Path) -> Option<Finding> {
    (is_in_use(folder) && !engine::has_room(folder)).then(|| {
        let found = "is full: nothing new is taken in, and outputs stay in the pool";
        Finding::failed(CHECK, found, "make room on its disk; deleting HTCJobs that have ended makes some")
    })
}

fn in_use(folder: &Path) -> Finding {
    Finding::ok(CHECK, if is_in_use(folder) { "is used by an operator that runs" } else { "is not in use" })
}

/// Whether an operator runs with this folder: it answers on its socket. Its lock is left alone, so
/// that we are in the way of none that starts.
pub fn is_in_use(folder: &Path) -> bool {
    UnixStream::connect(control::socket(folder)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn failed(folder: &Path, uid: u32) -> bool {
        check(folder, uid).iter().any(Finding::has_failed)
    }

    #[test]
    fn a_folder_is_ours_alone_or_not_good() {
        let folder = tempfile::tempdir().unwrap();
        let uid = fs::metadata(folder.path()).unwrap().uid();
        let mode = |mode| fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
        mode(0o700);
        assert!(!failed(folder.path(), uid));
        assert!(failed(folder.path(), uid + 1));
        mode(0o750);
        assert!(failed(folder.path(), uid));
        assert!(failed(&folder.path().join("nothing"), uid));
    }

    #[test]
    fn a_folder_that_is_not_there_is_made_where_we_may_write() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        // Tests run in the folder of the sources.
        for (path, good) in [
            (folder.path().join("one/two"), true),
            ("no-such-folder/htc-operator".into(), true),
            ("./no-such-folder/htc-operator".into(), true),
            (file.join("two"), false),
        ] {
            let [found] = &check_own(&path, 0)[..] else { panic!("one finding") };
            assert_eq!(found.has_failed(), !good, "{found}");
            let found = check_root(&path);
            assert_eq!(found.has_failed(), !good, "{found}");
        }
        assert!(!check_root(folder.path()).has_failed());
        assert!(check_root(&file).has_failed());
    }

    #[test]
    fn a_database_that_cannot_be_read_whole_is_told() {
        assert!(!judge_database(Ok(vec![])).has_failed());
        let row = Unreadable { uid: None, why: "its wish cannot be read".to_owned() };
        let told = judge_database(Ok(vec![row.clone(), row]));
        assert!(told.found.contains("2 rows") && told.found.contains("its wish"), "{told}");
        let newer = StoreError::Newer { path: "x.db".to_owned(), found: 9, known: 3 };
        let told = judge_database(Err(newer));
        assert!(told.has_failed() && told.found.contains("newer release"), "{told}");
    }

    #[test]
    fn sqlite_must_not_be_on_a_shared_file_system() {
        assert!(judge_file_system(0x6969).has_failed());
        assert!(judge_file_system(0x00c3_6400).found.contains("CephFS"));
        assert!(!judge_file_system(0xef53).has_failed());
    }

    #[test]
    fn a_socket_that_answers_tells_that_an_operator_runs() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_in_use(folder.path()));
        let listener = std::os::unix::net::UnixListener::bind(control::socket(folder.path())).unwrap();
        assert!(is_in_use(folder.path()));
        drop(listener);
        assert!(!is_in_use(folder.path()), "what a killed operator left");
    }
}
