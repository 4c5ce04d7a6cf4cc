//! A file with bearer tokens: those of the callers who may call.

use std::fs;
use std::path::{Path, PathBuf};

use futures::future::{BoxFuture, FutureExt, ready};
use subtle::ConstantTimeEq;

use super::callers::Check;
use super::fresh::Fresh;

/// The tokens of a file, a line each, as it is now.
pub struct TokenFile(Fresh<Vec<String>>);

impl TokenFile {
    /// Reads the file; it must have a token.
    pub fn new(file: &Path) -> Result<TokenFile, String> {
        Fresh::new(vec![file.to_owned()], read).map(TokenFile)
    }

    fn knows(&self, token: &str) -> bool {
        let mut known = false;
        for good in self.0.get() {
            // In the same time for every token, all of them.
            known |= bool::from(good.as_bytes().ct_eq(token.as_bytes()));
        }
        known
    }
}

impl Check for TokenFile {
    fn check<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<String, String>> {
        let known = self.knows(token);
        ready(match known {
            true => Ok("a bearer of the token file".to_owned()),
            false => Err("the token is not in the token file".to_owned()),
        })
        .boxed()
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<String>, String> {
    let [file] = files else { return Err("it is one file".to_owned()) };
    let text = fs::read_to_string(file).map_err(|why| format!("failed to read {}: {why}", file.display()))?;
    let tokens: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match tokens.is_empty() {
        true => Err(format!("there is no token in {}", file.display())),
        false => Ok(tokens),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn each_line_is_a_token_and_a_new_file_counts_soon() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(TokenFile::new(&file).is_err());
        fs::write(&file, "\n  \n").unwrap();
        assert!(TokenFile::new(&file).is_err(), "nobody could call");
        fs::write(&file, "first\nsecond \n").unwrap();
        let tokens = TokenFile::new(&file).unwrap();
        for (token, good) in
            [("first", true), ("second", true), ("", false), ("firs", false), ("third", false)]
        {
            assert_eq!(tokens.knows(token), good, "{token}");
        }
        fs::write(&file, "third").unwrap();
        let started = Instant::now();
        while !tokens.knows("third") {
            assert!(started.elapsed() < Duration::from_secs(60), "the old ones count");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!tokens.knows("first"));
    }
}
