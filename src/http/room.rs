//! Room for connections that are held: each is a file descriptor, and most processes are given few
//! until they ask for more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::CONNECTIONS;

/// Makes room for so many connections besides all else that the process has open; gives how many there
/// is room for. The limit is raised no further than that: some programs that we start close every
/// descriptor up to it.
pub fn make_room(wanted: usize) -> usize {
    let needed = (wanted + others()) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = needed.min(maximum.unwrap_or(u64::MAX));
    let current = match current {
        Some(current) if current < raised => {
            let asked = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
            if asked.is_ok() { raised } else { current }
        }
        current => current.unwrap_or(u64::MAX),
    };
    room(wanted, usize::try_from(current).unwrap_or(usize::MAX))
}

/// Connections on both ports, the tools and the store.
fn others() -> usize {
    2 * CONNECTIONS
}

/// Where there are few descriptors, an eighth of them.
fn room(wanted: usize, descriptors: usize) -> usize {
    wanted.min(descriptors.saturating_sub(others()).max(descriptors / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_leaves_room_for_all_else() {
        let cases = [
            (4_096, usize::MAX, 4_096),
            (4_096, 5_120, 4_096),
            (4_096, 2_048, 1_024),
            (4_096, 1_024, 128),
            (0, 1_024, 0),
        ];
        for (wanted, descriptors, expected) in cases {
            assert_eq!(room(wanted, descriptors), expected, "{wanted} with {descriptors}");
        }
    }
}
