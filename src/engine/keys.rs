//! The master keys that sign reports: a Secret or a file, so that losing the store loses no key.
//!
//! Each line is `<key id>:<base64 of at least 32 bytes>`. The first signs; the others are still
//! accepted, so that a key can be changed while jobs run.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// The master keys, the signing one first.
pub struct MasterKeys(Vec<(String, Vec<u8>)>);

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error(
        "failed to read the master key file {path}: {source}; make one: \
         (printf k1:; head -c 32 /dev/urandom | base64) > {path}; chmod 600 {path}"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line has another shape, or there is none.
    #[error("line {line} of the master key file is not `<key id>:<base64 of at least 32 bytes>`")]
    Shape {
        /// From 1.
        line: usize,
    },
}

impl MasterKeys {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<MasterKeys, KeysError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| KeysError::Read { path: path.to_owned(), source })?;
        MasterKeys::parse(&text)
    }

    /// Reads the lines of the file.
    pub fn parse(text: &str) -> Result<MasterKeys, KeysError> {
        let key = |(n, line): (usize, &str)| {
            let bad = || KeysError::Shape { line: n + 1 };
            let (id, key) = line.split_once(':').ok_or_else(bad)?;
            let key = STANDARD.decode(key.trim()).map_err(|_| bad())?;
            let good = !id.is_empty() && !id.contains(',') && key.len() >= 32;
            good.then(|| (id.to_owned(), key)).ok_or_else(bad)
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let keys = lines.map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeysError::Shape { line: 1 }) } else { Ok(MasterKeys(keys)) }
    }

    /// The key that signs, with its id.
    pub fn signing(&self) -> (&str, &[u8]) {
        let (id, key) = &self.0[0];
        (id, key)
    }

    /// All of them with their ids.
    pub fn all(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(id, key)| (id.as_str(), key.as_slice()))
    }

    /// The key of this id.
    pub fn get(&self, id: &str) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| known == id).map(|(_, key)| key.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_signs_and_all_are_accepted() {
        let key = STANDARD.encode([7; 32]);
        let keys = MasterKeys::parse(&format!("new:{key}\nold:{key}\n")).unwrap();
        assert_eq!(keys.signing().0, "new");
        assert!(keys.get("old").is_some() && keys.get("other").is_none());
    }

    #[test]
    fn short_or_nameless_keys_are_refused() {
        for bad in ["", "k1:AAAA", ":AAAA", "k1", &format!("a,b:{}", STANDARD.encode([7; 32]))] {
            assert!(MasterKeys::parse(bad).is_err(), "{bad:?}");
        }
    }
}
