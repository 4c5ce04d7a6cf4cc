//! Intervals and sizes of the question who we are in the pool, and which jobs of others claim to be ours.

use std::time::Duration;

/// Who we are is asked of the schedd at least this often: a credential may be changed at any time.
pub const OWNER_ASKED: Duration = Duration::from_secs(600);

/// So many jobs of others that bear our instance id are looked at: the first tell enough.
pub const FOREIGN_ASKED: usize = 100;

/// The same as long as it is not confirmed who we are: they may be ours. 2 MB, where they say nothing odd.
pub const FOREIGN_MAX: usize = 10_000;

/// What is read of them: they are others', who can make them as long as they like.
pub const FOREIGN_OUTPUT_MAX: u64 = 16 << 20;

/// So many clusters that our own tool has printed are asked for, whoever owns them: one tells who we are.
pub const PRINTED_ASKED: usize = 100;

/// Keys of open submissions are asked for by name where there are no more: they must fit into one argument.
pub const OPEN_MAX: usize = 1_000;
