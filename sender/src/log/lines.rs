//! Cuts a stream into lines of the log.

use jiff::Timestamp;

/// Longer lines are cut, as kubelets do.
const LINE: usize = 16 << 10;

/// Cuts a stream into lines of the log.
pub struct Lines {
    stream: &'static str,
    /// The line that has not ended yet.
    open: Vec<u8>,
}

impl Lines {
    /// For a stream of this name.
    pub fn new(stream: &'static str) -> Lines {
        Lines { stream, open: Vec::new() }
    }

    /// Takes what came at this time; complete lines are appended to `text`.
    pub fn take(&mut self, bytes: &[u8], now: Timestamp, text: &mut Vec<u8>) {
        let (full, part) = self.prefixes(now);
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (mut line, ends) = match piece.split_last() {
                Some((b'\n', line)) => (line, true),
                _ => (piece, false),
            };
            while self.open.len() + line.len() > LINE {
                let (fits, rest) = line.split_at(LINE - self.open.len());
                append(text, &part, &[&self.open, fits]);
                self.open.clear();
                line = rest;
            }
            if ends {
                append(text, &full, &[&self.open, line]);
                self.open.clear();
            } else {
                self.open.extend_from_slice(line);
            }
        }
    }

    /// The stream has ended: what is left had no newline.
    pub fn end(&mut self, now: Timestamp, text: &mut Vec<u8>) {
        if !self.open.is_empty() {
            append(text, &self.prefixes(now).1, &[&self.open]);
            self.open.clear();
        }
    }

    fn prefixes(&self, now: Timestamp) -> (String, String) {
        let of = |tag| format!("{now:.9} {} {tag} ", self.stream);
        (of('F'), of('P'))
    }
}

fn append(text: &mut Vec<u8>, prefix: &str, pieces: &[&[u8]]) {
    text.extend_from_slice(prefix.as_bytes());
    for piece in pieces {
        text.extend_from_slice(piece);
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn cut(chunks: &[Vec<u8>]) -> Vec<u8> {
        let (mut lines, mut text) = (Lines::new("stdout"), Vec::new());
        for chunk in chunks {
            lines.take(chunk, NOW, &mut text);
        }
        lines.end(NOW, &mut text);
        text
    }

    /// What a reader of CRI logs makes of it.
    fn joined(log: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in log.split_inclusive(|b| *b == b'\n') {
            let rest = line.strip_prefix(b"1970-01-01T00:00:00.000000000Z stdout ").unwrap();
            let text = &rest[2..rest.len() - 1];
            assert!(text.len() <= LINE);
            bytes.extend_from_slice(text);
            if rest[0] == b'F' {
                bytes.push(b'\n');
            }
        }
        bytes
    }

    #[test]
    fn a_line_has_its_time_and_stream() {
        let text = String::from_utf8(cut(&[b"one\ntw".to_vec(), b"o\n\nend".to_vec()])).unwrap();
        let t = "1970-01-01T00:00:00.000000000Z stdout";
        assert_eq!(text, format!("{t} F one\n{t} F two\n{t} F \n{t} P end\n"));
    }

    #[test]
    fn a_line_of_just_the_limit_is_whole_and_one_byte_more_is_two() {
        let line = |n: usize| [vec![b'x'; n], vec![b'\n']].concat();
        assert_eq!(cut(&[line(LINE)]).split_inclusive(|b| *b == b'\n').count(), 1);
        assert_eq!(cut(&[line(LINE + 1)]).split_inclusive(|b| *b == b'\n').count(), 2);
    }

    proptest! {
        #[test]
        fn every_byte_is_kept_however_it_comes(
            chunks in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..50),
                    (0..3 * LINE).prop_map(|n| vec![b'x'; n]),
                    Just(b"\n".to_vec()),
                ],
                0..12,
            )
        ) {
            prop_assert_eq!(joined(&cut(&chunks)), chunks.concat());
        }
    }
}
