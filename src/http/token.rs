//! A file with bearer tokens: those of the callers who may call, a line each. A line `@name token` says whose the
//! token is, so that it can be changed and its bearer stays the same; bearers of lines without a name are one.
//! With `@name[a,b] token` its bearer brings pods of these namespaces only.

use std::fs;
use std::path::{Path, PathBuf};

use futures::future::{BoxFuture, FutureExt, ready};
use subtle::ConstantTimeEq;

use super::callers::{Bearer, Check};
use super::fresh::Fresh;

/// Who shows a token that has no name.
const UNNAMED: &str = "token";

/// The tokens of a file, a line each, as it is now.
pub struct TokenFile(Fresh<Vec<Line>>);

/// A token, and whose it is.
#[derive(Clone)]
struct Line {
    bearer: Bearer,
    token: String,
}

impl TokenFile {
    /// Reads the file; it must have a token.
    pub fn new(file: &Path) -> Result<TokenFile, String> {
        Fresh::new(vec![file.to_owned()], read).map(TokenFile)
    }

    /// Who shows this token.
    fn bearer(&self, token: &str) -> Option<Bearer> {
        let mut found = None;
        for line in self.0.get() {
            // In the same time for every token, all of them.
            if bool::from(line.token.as_bytes().ct_eq(token.as_bytes())) {
                found = found.or(Some(line.bearer));
            }
        }
        found
    }
}

impl Check for TokenFile {
    fn check<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Bearer, String>> {
        let bearer = self.bearer(token);
        ready(bearer.ok_or_else(|| "the token is not in the token file".to_owned())).boxed()
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<Line>, String> {
    let [file] = files else { return Err("it is one file".to_owned()) };
    let text = fs::read_to_string(file).map_err(|why| format!("failed to read {}: {why}", file.display()))?;
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let line = |(number, text): (usize, &str)| {
        line(text).ok_or_else(|| {
            // Without the line itself, which may be a token.
            format!(
                "line {} of {} is not `@name token` or `@name[namespace,…] token`",
                number + 1,
                file.display()
            )
        })
    };
    let lines: Vec<Line> = lines.map(line).collect::<Result<_, _>>()?;
    match lines.is_empty() {
        true => Err(format!("there is no token in {}", file.display())),
        false => Ok(lines),
    }
}

fn line(text: &str) -> Option<Line> {
    let Some(named) = text.strip_prefix('@') else {
        return Some(Line { bearer: UNNAMED.into(), token: text.to_owned() });
    };
    let end = named.find(|c: char| c == '[' || c.is_whitespace())?;
    let (name, rest) = named.split_at(end);
    let (namespaces, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(namespaces, rest)| (Some(namespaces), rest))?,
        None => (None, rest),
    };
    let token = rest.strip_prefix(char::is_whitespace)?.trim();
    let bearer = Bearer::from(format!("{UNNAMED}:{name}"));
    let bearer = match namespaces.map(|all| all.split(',').map(str::trim).collect::<Vec<_>>()).as_deref() {
        None | Some(["*"]) => bearer,
        Some(all) if all.iter().all(|namespace| is_name(namespace)) => {
            bearer.within(&all.iter().map(|&namespace| namespace.to_owned()).collect::<Vec<_>>())
        }
        Some(_) => return None,
    };
    (is_name(name) && !token.is_empty()).then(|| Line { bearer, token: token.to_owned() })
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !text.is_empty() && text.len() <= 63 && text.chars().all(plain)
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
            assert_eq!(tokens.bearer(token).is_some(), good, "{token}");
        }
        fs::write(&file, "third").unwrap();
        let started = Instant::now();
        while tokens.bearer("third").is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "the old ones count");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(tokens.bearer("first").is_none());
    }

    #[test]
    fn a_token_may_be_for_pods_of_some_namespaces_only() {
        let is_within = |text: &str, namespace: &str| {
            let line = line(text).unwrap();
            assert_eq!((&*line.bearer, line.token.as_str()), ("token:a", "secret [x] y"));
            crate::http::callers::Caller::Named(line.bearer).is_within(namespace)
        };
        for (text, [one, two, three]) in [
            ("@a secret [x] y", [true, true, true]),
            ("@a[*] secret [x] y", [true, true, true]),
            ("@a[ns1] secret [x] y", [true, false, false]),
            ("@a[ns1, ns2]\tsecret [x] y", [true, true, false]),
        ] {
            let found = ["ns1", "ns2", "ns"].map(|namespace| is_within(text, namespace));
            assert_eq!(found, [one, two, three], "{text}");
        }
    }

    #[test]
    fn a_name_in_the_file_says_whose_a_token_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "plain\n@a old\n@a  new \n@b other\nwith blanks in it\n").unwrap();
        let tokens = TokenFile::new(&file).unwrap();
        for (token, bearer) in [
            ("plain", Some("token")),
            ("with blanks in it", Some("token")),
            ("old", Some("token:a")),
            ("new", Some("token:a")),
            ("other", Some("token:b")),
            ("@a old", None),
            ("a", None),
        ] {
            assert_eq!(tokens.bearer(token).as_deref(), bearer, "{token}");
        }
        for bad in
            ["@a", "@ token", "@a/b token", "good\n@", "@a[ token", "@a[] t", "@a[x]t", "@a[*,x] t", "@[x] t"]
        {
            fs::write(&file, bad).unwrap();
            let why = TokenFile::new(&file).err().unwrap();
            assert!(why.contains("@name token") && !why.contains(bad), "{why}");
        }
    }
}
