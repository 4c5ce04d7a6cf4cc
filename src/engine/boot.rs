//! Which boot of which host this is: the lock of a submission proves something only where it was taken.

use std::fs::read_to_string;

/// A boot of a host. What cannot be read is unknown, and nothing is like it.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// The kernel's id of this boot.
    pub id: Option<String>,
    /// The host's name, for people.
    pub host: Option<String>,
}

impl Boot {
    /// The one that we live in.
    pub fn this() -> Boot {
        let read = |path| read_to_string(path).ok().map(|text| text.trim().to_owned());
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        Boot {
            id: filled(read("/proc/sys/kernel/random/boot_id")),
            host: filled(read("/proc/sys/kernel/hostname")),
        }
    }
}
