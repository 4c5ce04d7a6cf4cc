//! The size of the in-job program, which travels with every job.

use std::fs;

use crate::Rows;
use crate::harness::bed_folder;
use crate::table::Row;

const BUDGET: usize = 2_000_000;

/// The row of this subject.
pub fn rows() -> Rows {
    let path = bed_folder().join("bin/htc-sender");
    let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let library = if holds(&bytes, b"GLIBC_TUNABLES") { "glibc" } else { "musl" };
    let linked = if needs_a_loader(&bytes) { "NOT static" } else { "static" };
    let verdict = if bytes.len() <= BUDGET { "within" } else { "OVER" };
    let note = format!("{library}, {linked}; {verdict} the budget of {BUDGET} bytes");
    let ours = Some(bytes.len() as f64);
    Ok(vec![Row {
        name: "size of the sender".into(),
        unit: "bytes",
        raw: None,
        ours,
        n: 1,
        note,
        failed: false,
    }])
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Whether a program header of this 64-bit ELF file is PT_INTERP.
/// <https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html>
fn needs_a_loader(elf: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, size: usize| {
        elf.get(at..at + size)
            .map_or(0, |bytes| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    };
    let (table, size, count) = (number(32, 8) as usize, number(54, 2) as usize, number(56, 2) as usize);
    (0..count).any(|n| number(table + n * size, 4) == PT_INTERP)
}
