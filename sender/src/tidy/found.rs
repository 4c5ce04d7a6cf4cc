//! What became of `work`, in words.

use std::fmt::{self, Display};
use std::path::Path;

use htc_core::workload::report::{Excess, LEFT_OUT_MAX};

/// So many of what was removed are named.
const NAMED: usize = 5;
/// So much of a name is shown.
const SHOWN: usize = 60;

/// What became of `work`.
#[derive(Debug, Default)]
pub struct Found {
    /// What was too much, if anything: then it stayed behind.
    pub excess: Option<Excess>,
    /// So many things were set aside.
    pub aside: u32,
    /// So many were removed, the first of them with their reasons.
    removed: u32,
    named: Vec<String>,
}

/// Why something was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A named pipe.
    Fifo,
    /// A unix socket.
    Socket,
    /// A device.
    Device,
    /// A link whose words lead out of `work`.
    LinkOut,
    /// A link to nothing, to itself, or over another link.
    LinkNowhere,
    /// A link to a folder.
    LinkToFolder,
    /// A file that belongs to somebody else.
    Unreadable,
}

impl Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Fifo => "a FIFO",
            Why::Socket => "a socket",
            Why::Device => "a device",
            Why::LinkOut => "a link that leads out of the working folder",
            Why::LinkNowhere => "a link that leads nowhere",
            Why::LinkToFolder => "a link to a folder",
            Why::Unreadable => "a file that cannot be read",
        })
    }
}

impl Found {
    /// Something of `work` was removed.
    pub fn removed(&mut self, path: &Path, why: Why) {
        self.removed += 1;
        if self.named.len() < NAMED {
            self.named.push(format!("{} ({why})", shown(path)));
        }
    }

    /// What was too much and what was removed, a sentence each.
    pub fn told(&self) -> impl Iterator<Item = String> {
        self.excess.map(|excess| excess.to_string()).into_iter().chain(self.left_out())
    }

    /// One sentence on what was removed, bounded and on one line; none where nothing was.
    pub fn left_out(&self) -> Option<String> {
        let Found { excess: _, aside: _, removed, named } = self;
        let more = match *removed as usize - named.len() {
            _ if named.is_empty() => return None,
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let mut text = format!("left out of the outputs: {}{more}", named.join(", "));
        text.truncate(text.floor_char_boundary(LEFT_OUT_MAX));
        Some(text)
    }
}

/// A path as text without control characters, cut.
fn shown(path: &Path) -> String {
    let text: String = path.to_string_lossy().escape_debug().take(SHOWN + 1).collect();
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn what_is_left_out_is_one_bounded_line_whatever_it_is_called() {
        let mut found = Found::default();
        assert_eq!(found.left_out(), None);
        found.removed(Path::new("a/b"), Why::Fifo);
        assert_eq!(found.left_out().unwrap(), "left out of the outputs: a/b (a FIFO)");
        found.removed(Path::new("two\nlines\u{1b}[31m"), Why::LinkOut);
        let expected = "left out of the outputs: a/b (a FIFO), two\\nlines\\u{1b}[31m (a link that leads out of the \
                        working folder)";
        assert_eq!(found.left_out().unwrap(), expected);
        for bytes in [&[0xff; 255][..], "\u{1f980}".repeat(60).as_bytes(), &[b'\n'; 255]] {
            (0..1_000).for_each(|_| found.removed(Path::new(OsStr::from_bytes(bytes)), Why::LinkNowhere));
        }
        let text = found.left_out().unwrap();
        assert!(text.len() <= LEFT_OUT_MAX && !text.contains(char::is_control), "{text}");
        assert!(text.ends_with(" and 2997 more"), "{text}");
    }
}
