//! What the event loop of a job waits for.

use std::fs::File;
use std::io;

use htc_core::workload::report::Cut;

use crate::handshake::Answer;
use crate::image::Kept;

/// What the loop waits for.
#[derive(Debug)]
pub enum Event {
    /// HTCondor, or whoever started us, wants an end.
    Stop,
    /// The first process of the job is gone, and with it whoever could ask for an end.
    Orphaned,
    /// The job has reached a limit.
    Cut(Cut),
    /// A child has ended.
    ChildEnded,
    /// The handshake with a container's first process is over.
    Answered(usize, Answer),
    /// The wait for the right to pull an image is over.
    ImageLocked(usize, io::Result<File>),
    /// An image that was pulled is whole and has its place, or why not.
    ImageKept(usize, io::Result<Kept>),
}
