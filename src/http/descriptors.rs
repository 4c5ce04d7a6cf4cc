//! Room for connections that are held: each is a file descriptor, and most processes are given few
//! until they ask for more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits::CONNECTIONS;

/// Makes room for so many more connections; gives how many there is room for. The limit is raised no
/// further than that: some programs that we start close every descriptor up to it.
pub fn make_room(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // What is not limited is as good as raised.
    let Some(before) = current else { return wanted };
    let raised = before.saturating_add(wanted as u64).min(maximum.unwrap_or(u64::MAX));
    let asked = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    let after = if asked.is_ok() { raised } else { before };
    let count = |descriptors: u64| usize::try_from(descriptors).unwrap_or(usize::MAX);
    room(wanted, count(before), count(after))
}

/// How many there is room for where the limit is raised as far as it can be; changes nothing.
pub fn room_at_most(wanted: usize) -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    maximum.and_then(|most| usize::try_from(most).ok()).map_or(wanted, |most| room(wanted, most, most))
}

/// Connections on both other ports, the tools and the store.
fn others() -> usize {
    2 * CONNECTIONS
}

/// Those that were gained; where they cannot be, half of what the rest leaves, for there are two that ask,
/// and an eighth where there are few.
fn room(wanted: usize, before: usize, after: usize) -> usize {
    let left = after.saturating_sub(others()) / 2;
    wanted.min((after - before).max(left).max(after / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_leaves_room_for_all_else() {
        let cases = [
            // wanted, before, after, room
            (4_096, 1_024, 5_120, 4_096),
            (4_096, 5_120, 9_216, 4_096),
            (4_096, 1_048_576, 1_048_576, 4_096),
            (4_096, 4_096, 4_096, 1_536),
            (4_096, 1_024, 1_024, 128),
            (0, 1_024, 1_024, 0),
        ];
        for (wanted, before, after, expected) in cases {
            assert_eq!(room(wanted, before, after), expected, "{wanted} with {before}, {after}");
        }
    }
}
