//! What the event loop of a job waits for.

use crate::handshake::Answer;

/// What the loop waits for.
#[derive(Debug)]
pub enum Event {
    /// HTCondor, or whoever started us, wants an end.
    Stop,
    /// A child has ended.
    ChildEnded,
    /// The handshake with a container's first process is over.
    Answered(usize, Answer),
}
