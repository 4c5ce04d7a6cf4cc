//! What a reader prints of the records of a log.

use htc_core::log::Record;
use jiff::Timestamp;

use super::LogOptions;

/// Longer records are none of ours (the sender cuts lines at 16 KiB): they are shown in pieces, so that
/// memory stays bounded.
const RECORD_MAX: usize = 64 << 10;

/// Prints the bytes of a log as a person wants them, however they are cut when they come.
pub struct Printer {
    since: Option<Timestamp>,
    timestamps: bool,
    /// How many bytes may still be printed.
    left: Option<u64>,
    /// The record that has not ended yet.
    open: Vec<u8>,
    at_line_start: bool,
}

impl Printer {
    /// For what these options want of each record.
    pub fn new(options: &LogOptions) -> Printer {
        let LogOptions { tail: _, since, timestamps, limit_bytes, previous: _, follow: _ } = options;
        Printer {
            since: *since,
            timestamps: *timestamps,
            left: *limit_bytes,
            open: Vec::new(),
            at_line_start: true,
        }
    }

    /// Whether no more bytes may be printed.
    pub fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Takes the next bytes; what is to be printed is appended to `out`.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        self.print_all(bytes, out);
        self.count(before, out);
    }

    /// The log has ended: what is left has no line break.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        if !self.open.is_empty() {
            self.raw(false, out);
        }
        self.count(before, out);
    }

    /// Another log begins: nothing of the last one goes on.
    pub fn begin_anew(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        self.open.clear();
        if !std::mem::replace(&mut self.at_line_start, true) {
            out.push(b'\n');
        }
        self.count(before, out);
    }

    /// Cuts off what is too much of that which was added.
    fn count(&mut self, before: usize, out: &mut Vec<u8>) {
        if let Some(left) = &mut self.left {
            let added = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len() - before);
            out.truncate(before + added);
            *left -= added as u64;
        }
    }

    fn print_all(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (mut rest, ends) = match piece.split_last() {
                Some((b'\n', rest)) => (rest, true),
                _ => (piece, false),
            };
            while self.open.len() + rest.len() > RECORD_MAX {
                let (fits, more) = rest.split_at(RECORD_MAX - self.open.len());
                self.open.extend_from_slice(fits);
                self.raw(false, out);
                rest = more;
            }
            self.open.extend_from_slice(rest);
            if ends {
                self.print(out);
            }
        }
    }

    fn print(&mut self, out: &mut Vec<u8>) {
        let Some(record) = Record::parse(&self.open) else { return self.raw(true, out) };
        if !self.since.is_some_and(|since| is_before(&record, since)) {
            if self.timestamps && self.at_line_start {
                out.extend_from_slice(record.time);
                out.push(b' ');
            }
            out.extend_from_slice(record.text);
            if record.whole {
                out.push(b'\n');
            }
            self.at_line_start = record.whole;
        }
        self.open.clear();
    }

    /// Prints what is none of ours as it stands.
    fn raw(&mut self, ends: bool, out: &mut Vec<u8>) {
        out.append(&mut self.open);
        if ends {
            out.push(b'\n');
        }
        self.at_line_start = ends;
    }
}

fn is_before(record: &Record, since: Timestamp) -> bool {
    let time = str::from_utf8(record.time).ok().and_then(|text| text.parse::<Timestamp>().ok());
    time.is_some_and(|time| time < since)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr P tw\n\
        2026-01-01T00:00:02Z stderr F o\n2026-01-01T00:00:03Z stdout F \n";

    fn printed(log: &str, options: LogOptions) -> String {
        let (mut printer, mut out) = (Printer::new(&options), Vec::new());
        printer.take(log.as_bytes(), &mut out);
        printer.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_log_reads_as_it_was_written() {
        assert_eq!(printed(LOG, LogOptions::default()), "one\ntwo\n\n");
    }

    #[test]
    fn times_stand_at_the_start_of_lines_only() {
        let expected = "2026-01-01T00:00:00Z one\n2026-01-01T00:00:01Z two\n2026-01-01T00:00:03Z \n";
        assert_eq!(printed(LOG, LogOptions { timestamps: true, ..LogOptions::default() }), expected);
    }

    #[test]
    fn what_was_written_at_the_moment_itself_is_since_then() {
        let since = |time: &str| {
            printed(LOG, LogOptions { since: Some(time.parse().unwrap()), ..LogOptions::default() })
        };
        assert_eq!(since("2026-01-01T00:00:00Z"), "one\ntwo\n\n");
        assert_eq!(since("2026-01-01T00:00:00.000000001Z"), "two\n\n");
        assert_eq!(since("2026-01-01T00:00:03Z"), "\n");
        assert_eq!(since("2026-01-01T00:00:04Z"), "");
    }

    #[test]
    fn what_is_no_record_is_shown_as_it_stands() {
        for strange in ["", "\n", "x\n", "a b c d\n", "2026-01-01T00:00:00Z stdout X y\n", "no end"] {
            assert_eq!(printed(strange, LogOptions { timestamps: true, ..LogOptions::default() }), strange);
        }
    }

    #[test]
    fn a_record_without_end_takes_no_more_memory_than_a_long_one() {
        let (mut printer, mut out) = (Printer::new(&LogOptions::default()), Vec::new());
        for _ in 0..100 {
            printer.take(&[b'x'; RECORD_MAX / 3], &mut out);
            assert!(printer.open.len() <= RECORD_MAX);
        }
        printer.end(&mut out);
        assert_eq!(out.len(), 100 * (RECORD_MAX / 3));
    }

    #[test]
    fn another_log_begins_on_a_line_of_its_own() {
        let (mut printer, mut out) = (Printer::new(&LogOptions::default()), Vec::new());
        printer.take(b"2026-01-01T00:00:00Z stdout P half\n2026-01-", &mut out);
        printer.begin_anew(&mut out);
        printer.begin_anew(&mut out);
        printer.take(b"2026-01-01T00:00:09Z stdout F new\n", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "half\nnew\n");
    }
}
