//! The in-job program: there, static, and of our version. A dynamic one would need the worker to
//! have the libraries of the machine it was built on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::condor::inspect;
use crate::condor::pool::Pool;
use crate::config::beside_us;

/// What it is called in findings.
pub const CHECK: &str = "in-job program";

/// Everything about it.
pub async fn check(setting: Option<&PathBuf>, pool: &Pool) -> Finding {
    let remedy = "build it (see Dockerfile) and name it with --sender";
    let path = match setting.cloned().map_or_else(|| beside_us("htc-sender"), Ok) {
        Ok(path) => path,
        Err(why) => return Finding::failed(CHECK, why.to_string(), remedy),
    };
    let shown = path.display();
    if let Err(why) = is_fit(&path) {
        return Finding::failed(CHECK, format!("{shown} {why}"), remedy);
    }
    match inspect::sender_version(pool, &path).await {
        Err(why) => Finding::failed(CHECK, format!("{shown} does not run: {why}"), remedy),
        Ok(version) if version != concat!("htc-sender ", env!("CARGO_PKG_VERSION")) => Finding::failed(
            CHECK,
            format!("{shown} is {version:?}, this operator is {}", env!("CARGO_PKG_VERSION")),
            "use the one that came with this operator",
        ),
        Ok(version) => Finding::ok(CHECK, format!("{shown} is {version}, static")),
    }
}

fn is_fit(path: &Path) -> Result<(), String> {
    let meta = fs::metadata(path).map_err(|why| format!("cannot be used: {why}"))?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err("is not executable: chmod 755".to_owned());
    }
    let bytes = fs::read(path).map_err(|why| format!("cannot be read: {why}"))?;
    match wants_interpreter(&bytes) {
        None => Err("is no 64-bit program for Linux".to_owned()),
        Some(true) => Err("is dynamically linked: workers would need its libraries".to_owned()),
        Some(false) => Ok(()),
    }
}

/// Whether a 64-bit little-endian ELF file names a dynamic loader (a program header `PT_INTERP`).
/// `None`: it is no such file.
fn wants_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, size: usize| {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let is_elf = elf.starts_with(b"\x7fELF\x02\x01");
    let table = usize::try_from(is_elf.then(|| number(32, 8))??).ok()?;
    let (size, count) = (usize::try_from(number(54, 2)?).ok()?, usize::try_from(number(56, 2)?).ok()?);
    let kinds = (0..count).map(|n| number(table.checked_add(n * size)?, 4));
    kinds.collect::<Option<Vec<_>>>().map(|kinds| kinds.contains(&PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with these program headers behind it.
    fn elf(kinds: &[u8]) -> Vec<u8> {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        (elf[32], elf[54], elf[56]) = (64, 56, u8::try_from(kinds.len()).unwrap());
        for kind in kinds {
            elf.push(*kind);
            elf.resize(elf.len() + 55, 0);
        }
        elf
    }

    #[test]
    fn a_loader_is_found_among_the_program_headers() {
        assert_eq!(wants_interpreter(&elf(&[1, 2])), Some(false));
        assert_eq!(wants_interpreter(&elf(&[1, 3])), Some(true));
        assert_eq!(wants_interpreter(&elf(&[1, 3])[..100]), None);
        assert_eq!(wants_interpreter(b"#!/bin/sh\n"), None);
    }
}
