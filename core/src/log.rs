//! The records of a log, as CRI has them: `<time> <stdout|stderr> <F|P> <bytes>`, one a line; P for a
//! part of a line that goes on in the next record. And where the last lines of a log begin.

use std::io;

/// So many bytes of a log tell it from that of another start, and from the file before it: its first
/// record begins with the nanosecond in which it was written.
pub const HEAD: usize = 30;

/// A time in RFC 3339 with nanoseconds and an offset.
const TIME_MAX: usize = 35;
/// A log is read backwards in blocks of this size.
const BLOCK: usize = 64 << 10;
/// Time, stream and tag of a record stand in its first bytes.
const PREFIX: usize = 64;

/// One record.
pub struct Record<'a> {
    /// When it was written.
    pub time: &'a [u8],
    /// Whether the line ends here.
    pub whole: bool,
    /// What was written.
    pub text: &'a [u8],
}

impl Record<'_> {
    /// Reads a record without its line break; nothing when it is none.
    pub fn parse(record: &[u8]) -> Option<Record<'_>> {
        let mut words = record.splitn(4, |&b| b == b' ');
        let (time, stream, tag, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let whole = match tag {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        let ours = time.len() <= TIME_MAX && matches!(stream, b"stdout" | b"stderr");
        ours.then_some(Record { time, whole, text })
    }
}

/// Whether a line ends with this record, of which the beginning is enough.
pub fn ends_line(record: &[u8]) -> bool {
    Record::parse(record).is_none_or(|record| record.whole)
}

/// Where the last `lines` lines of the first `end` bytes begin; `read` fills a buffer from an offset. A
/// line may have several records, and the last one may not have ended yet.
pub fn tail_start(end: u64, lines: u64, read: impl Fn(&mut [u8], u64) -> io::Result<()>) -> io::Result<u64> {
    if lines == 0 {
        return Ok(end);
    }
    let is_end_of_line = |start: u64, end: u64| {
        let mut prefix = [0; PREFIX];
        let size = usize::try_from(end - 1 - start).unwrap_or(PREFIX).min(PREFIX);
        read(&mut prefix[..size], start)?;
        io::Result::Ok(ends_line(&prefix[..size]))
    };
    let mut found = 0;
    // Where the record begins that was found last.
    let mut behind = None;
    let mut block = vec![0; BLOCK];
    let mut at = end;
    while at > 0 {
        let size = at.min(BLOCK as u64);
        at -= size;
        let block = &mut block[..usize::try_from(size).unwrap_or(BLOCK)];
        read(block, at)?;
        for n in (0..block.len()).rev().filter(|n| block[*n] == b'\n') {
            let start = at + n as u64 + 1;
            if start == end {
                continue; // The line break of the last record.
            }
            if let Some(behind) = behind
                && is_end_of_line(start, behind)?
            {
                found += 1;
                if found == lines {
                    return Ok(behind);
                }
            }
            behind = Some(start);
        }
    }
    match behind {
        Some(behind) if found + 1 == lines && is_end_of_line(0, behind)? => Ok(behind),
        _ => Ok(0),
    }
}
