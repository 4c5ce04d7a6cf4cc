//! Whose fault it is that a container could not be started: the worker's, so that another one may do better, or
//! that of whoever described the job. In doubt it is not the worker's: elsewhere it would fail again.

use std::io;
use std::path::Path;

use rustix::io::Errno;

/// What the system says where this machine lacks something.
const OF_MACHINE: [Errno; 10] = [
    Errno::IO,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::ROFS,
    Errno::NOMEM,
    Errno::AGAIN,
    Errno::MFILE,
    Errno::NFILE,
    Errno::STALE,
    Errno::NOTCONN,
];

/// The same in the words of a program.
const WORDS: [&str; 8] = [
    "no space left on device",
    "quota exceeded",
    "read-only file system",
    "cannot allocate memory",
    "too many open files",
    "input/output error",
    "transport endpoint is not connected",
    "stale file handle",
];

/// How apptainer complains of a machine on which it may not, or cannot, make a container.
const OF_ENGINE: [&str; 10] = [
    "user namespace",
    "mount namespace",
    "pid namespace",
    "ipc namespace",
    "loop device",
    "/dev/fuse",
    "fusermount",
    "squashfuse",
    "starter-suid",
    "starter binary",
];

/// How a machine without a network, or without names, fails to pull. A registry that does not answer fails alike
/// on all.
const OF_NETWORK: [&str; 5] = [
    "network is unreachable",
    "no route to host",
    "temporary failure in name resolution",
    "server misbehaving",
    ":53: read: connection refused",
];

/// The engine of this worker is too old for an option.
const TOO_OLD: &str = "unknown flag";

/// Whether this machine is at fault by what the system says.
pub fn of_io(error: &io::Error) -> bool {
    Errno::from_io_error(error).is_some_and(|error| OF_MACHINE.contains(&error))
}

/// The same of a path of the worker: one that is not there is the user's mistake, unless the machine lacks the
/// whole file system that it should be in.
pub fn of_path(path: &Path, error: &io::Error) -> bool {
    let mounted = || path.components().nth(1).is_some_and(|first| Path::new("/").join(first).exists());
    of_io(error) || (error.kind() == io::ErrorKind::NotFound && !mounted())
}

/// Whether this machine is at fault that apptainer made no container.
pub fn of_start(complaint: &str) -> bool {
    has(complaint, &OF_ENGINE) || has(complaint, &WORDS)
}

/// Whether this machine is at fault that apptainer pulled no image.
pub fn of_pull(complaint: &str) -> bool {
    has(complaint, &OF_NETWORK) || has(complaint, &WORDS) || complaint.contains(TOO_OLD)
}

fn has(complaint: &str, words: &[&str]) -> bool {
    let complaint = complaint.to_lowercase();
    words.iter().any(|word| complaint.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_machine_would_refuse_too_is_not_the_fault_of_this_one() {
        for (words, is_workers) in [
            ("container creation failed: failed to create user namespace: operation not permitted", true),
            ("while mounting image /proc/self/fd/3: failed to find loop device: no loop devices", true),
            ("starter-suid doesn't have setuid bit set", true),
            ("write /scratch/x: no space left on device", true),
            ("could not open image /data/x.sif: no such file or directory", false),
            (
                "container creation failed: mount /a->/b error: destination /b doesn't exist in container",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(of_start(words), is_workers, "{words}");
        }
        for (words, is_workers) in [
            ("dial tcp 10.0.0.1:443: connect: network is unreachable", true),
            ("lookup reg.x on [::1]:53: read udp [::1]:4->[::1]:53: read: connection refused", true),
            ("unknown flag: --authfile", true),
            ("reading manifest latest in reg/x: manifest unknown", false),
            ("dial tcp 10.0.0.1:443: connect: connection refused", false),
            ("dial tcp: lookup no.such.registry: no such host", false),
        ] {
            assert_eq!(of_pull(words), is_workers, "{words}");
        }
    }

    #[test]
    fn a_missing_path_is_the_fault_of_a_machine_without_its_file_system() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let broken = io::Error::from_raw_os_error(Errno::NOTCONN.raw_os_error());
        assert!(of_path(Path::new("/no-such-mount/x.sif"), &missing));
        assert!(!of_path(Path::new("/proc/no-such.sif"), &missing));
        assert!(of_path(Path::new("/proc/x.sif"), &broken));
        assert!(!of_path(Path::new("/proc/x.sif"), &io::ErrorKind::PermissionDenied.into()));
    }
}
