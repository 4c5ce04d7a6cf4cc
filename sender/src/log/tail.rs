//! The end of a container's output, for those who want it as its last words.

/// What a kubelet takes: bytes, and lines.
/// <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>
const BYTES: usize = 2048;
const LINES: usize = 80;

/// The last bytes of both streams, as they came.
#[derive(Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// Takes what came.
    pub fn take(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(BYTES)..];
        self.0.drain(..(self.0.len() + bytes.len()).saturating_sub(BYTES));
        self.0.extend_from_slice(bytes);
    }

    /// Its last lines.
    pub fn text(&self) -> String {
        let ended = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        let newlines = ended.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        let from = newlines.map(|(at, _)| at + 1).nth(LINES - 1).unwrap_or(0);
        let text = String::from_utf8_lossy(&self.0[from..]);
        // A character that was cut is no character of the user's.
        text.trim_start_matches(char::REPLACEMENT_CHARACTER).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&[u8]]) -> String {
        let mut tail = Tail::default();
        pieces.iter().for_each(|piece| tail.take(piece));
        tail.text()
    }

    #[test]
    fn the_last_bytes_are_kept_however_they_came() {
        let all: Vec<u8> = (0..10_000_u32).map(|n| b'a' + (n % 26) as u8).collect();
        let expected = str::from_utf8(&all[all.len() - BYTES..]).unwrap();
        for size in [1, 7, BYTES - 1, BYTES, BYTES + 1, all.len()] {
            assert_eq!(of(&all.chunks(size).collect::<Vec<_>>()), expected, "{size}");
        }
        assert_eq!(of(&[b"short\n"]), "short\n");
        assert_eq!(of(&[]), "");
    }

    #[test]
    fn the_last_lines_are_kept_in_whole_characters() {
        let numbers: String = (1..=200).map(|n| format!("{n}\n")).collect();
        let text = of(&[numbers.as_bytes()]);
        assert!(text.starts_with("121\n122\n") && text.ends_with("199\n200\n"), "{text}");
        let text = of(&[numbers.trim_end().as_bytes()]);
        assert!(text.starts_with("121\n") && text.ends_with("\n200"), "{text}");
        let text = of(&["\u{1f980}".repeat(1000).as_bytes(), b"x"]);
        assert!(text.starts_with('\u{1f980}') && text.ends_with('x') && text.len() <= BYTES);
    }
}
