//! The sender's own words: plain lines with a time stamp on its stdout, which comes home as
//! `sender.out`. Secrets never go there.

use std::fmt::Display;
use std::io::Write;

use jiff::Timestamp;

/// Says one thing. A full disk must not end the job, so failures are ignored.
pub fn say(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{:.3} {text}", Timestamp::now());
}
