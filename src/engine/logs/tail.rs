//! Where the last lines of a log in a file begin.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Where the last `lines` lines of the first `end` bytes begin.
pub fn tail_start(file: &File, end: u64, lines: u64) -> io::Result<u64> {
    htc_core::log::tail_start(end, lines, |block, at| file.read_exact_at(block, at))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use htc_core::log::{Record, ends_line};
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::super::LogOptions;
    use super::super::record::Printer;
    use super::*;

    /// What a reader prints of a log that comes in these pieces.
    fn printed(log: &[u8], options: &LogOptions, cuts: &[usize]) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(log).unwrap();
        let start = options.tail.map_or(0, |n| tail_start(&file, log.len() as u64, n).unwrap());
        let (mut printer, mut out) = (Printer::new(options), Vec::new());
        let mut rest = &log[usize::try_from(start).unwrap()..];
        for cut in cuts {
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            printer.take(piece, &mut out);
            rest = more;
        }
        printer.take(rest, &mut out);
        printer.end(&mut out);
        out
    }

    /// The same by splitting the whole: its records, those of the last lines, those that are new
    /// enough, their texts.
    fn model(log: &[u8], options: &LogOptions) -> Vec<u8> {
        let mut lines: Vec<Vec<&[u8]>> = vec![vec![]];
        for record in log.split_inclusive(|b| *b == b'\n') {
            lines.last_mut().unwrap().push(record);
            if ends_line(record.strip_suffix(b"\n").unwrap_or(record)) {
                lines.push(vec![]);
            }
        }
        lines.retain(|line| !line.is_empty());
        let from = options.tail.map_or(0, |n| lines.len().saturating_sub(usize::try_from(n).unwrap()));
        let is_old = |time: &[u8]| {
            let time: Option<Timestamp> = str::from_utf8(time).ok().and_then(|t| t.parse().ok());
            matches!((time, options.since), (Some(time), Some(since)) if time < since)
        };
        let mut out = Vec::new();
        for record in lines[from..].concat() {
            match (record.strip_suffix(b"\n"), record.strip_suffix(b"\n").and_then(Record::parse)) {
                (Some(_), Some(Record { time, .. })) if is_old(time) => {}
                (Some(_), Some(Record { text, whole, .. })) => {
                    out.extend_from_slice(text);
                    out.extend(whole.then_some(b'\n'));
                }
                _ => out.extend_from_slice(record),
            }
        }
        out.truncate(options.limit_bytes.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()));
        out
    }

    fn record() -> impl Strategy<Value = Vec<u8>> {
        let text = prop::collection::vec(any::<u8>().prop_filter("", |b| *b != b'\n'), 0..40);
        let ours = (0..9_u8, any::<bool>(), any::<bool>(), text.clone());
        let ours = ours.prop_map(|(second, out, whole, text)| {
            let (stream, tag) = (if out { "stdout" } else { "stderr" }, if whole { 'F' } else { 'P' });
            let mut record = format!("2026-01-01T00:00:0{second}Z {stream} {tag} ").into_bytes();
            record.extend(text);
            record.push(b'\n');
            record
        });
        let long = (0..9_u8).prop_map(|second| {
            let mut record = format!("2026-01-01T00:00:0{second}Z stdout P ").into_bytes();
            record.resize(32 << 10, b'x');
            record.push(b'\n');
            record
        });
        prop_oneof![20 => ours, 1 => long, 1 => text]
    }

    fn options() -> impl Strategy<Value = LogOptions> {
        let since = prop::option::of((0..9_i64).prop_map(|second| {
            let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
            start + std::time::Duration::from_secs(second.unsigned_abs())
        }));
        let limit = prop::option::of(0..2_000_u64);
        (prop::option::of(0..12_u64), since, limit).prop_map(|(tail, since, limit_bytes)| LogOptions {
            tail,
            since,
            limit_bytes,
            ..LogOptions::default()
        })
    }

    proptest! {
        #[test]
        fn however_a_log_is_cut_it_prints_as_the_whole_and_as_the_model_says(
            records in prop::collection::vec(record(), 0..30),
            options in options(),
            cuts in prop::collection::vec(0..200_usize, 0..20),
        ) {
            let log = records.concat();
            let expected = String::from_utf8_lossy(&model(&log, &options)).into_owned();
            let whole = printed(&log, &options, &[]);
            prop_assert_eq!(String::from_utf8_lossy(&whole), expected);
            prop_assert_eq!(whole, printed(&log, &options, &cuts));
        }
    }

    #[test]
    fn the_tail_is_the_last_lines_and_not_the_last_records() {
        let log = b"t stdout F one\nt stderr P tw\nt stderr F o\nt stdout F \n";
        let tail = |n| {
            String::from_utf8(printed(log, &LogOptions { tail: Some(n), ..LogOptions::default() }, &[]))
                .unwrap()
        };
        assert_eq!([0, 1, 2, 3, 99].map(tail), ["", "\n", "two\n\n", "one\ntwo\n\n", "one\ntwo\n\n"]);
    }
}
