//! When what the tools show of us last changed: another credential may make us somebody else, also where it is as
//! good as the one before and nothing fails.

use std::path::PathBuf;
use std::time::Instant;

use crate::http::fresh::Fresh;

/// The files in which HTCondor's tools find who we are.
#[derive(Default)]
pub struct Credentials(Option<Fresh<Instant>>);

impl Credentials {
    /// Those that this environment names, watched from now on.
    pub fn of(environment: &[(String, String)]) -> Credentials {
        let files = files(environment);
        if files.is_empty() {
            return Credentials::default();
        }
        let watched = Fresh::beginning_with(files, Instant::now(), |_| Ok(Instant::now()));
        Credentials(watched.inspect_err(|why| tracing::warn!(why, "credentials are not watched")).ok())
    }

    /// When one of them was last seen to have changed.
    pub fn changed(&self) -> Option<Instant> {
        self.0.as_ref().map(Fresh::get)
    }
}

fn files(environment: &[(String, String)]) -> Vec<PathBuf> {
    let file = |(name, value): &(String, String)| match name.as_str() {
        "BEARER_TOKEN_FILE" | "X509_USER_PROXY" | "_CONDOR_SEC_TOKEN_DIRECTORY" => Some(PathBuf::from(value)),
        // Other kinds of caches are no files.
        "KRB5CCNAME" => match value.split_once(':') {
            None => Some(PathBuf::from(value)),
            Some(("FILE", file)) => Some(PathBuf::from(file)),
            Some(("DIR", folder)) => Some(PathBuf::from(folder)),
            Some(_) => None,
        },
        "HOME" => Some(PathBuf::from(value).join(".condor/tokens.d")),
        _ => None,
    };
    environment.iter().filter(|(_, value)| !value.is_empty()).filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_the_tools_names_the_files() {
        let of = |all: &[(&str, &str)]| {
            let environment: Vec<_> = all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            files(&environment).iter().map(|file| file.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(&[("PATH", "/bin"), ("X509_USER_PROXY", ""), ("KRB5CCNAME", "KEYRING:x")]), [""; 0]);
        let all = [("HOME", "/h"), ("KRB5CCNAME", "FILE:/k"), ("BEARER_TOKEN_FILE", "/t")];
        assert_eq!(of(&all), ["/h/.condor/tokens.d", "/k", "/t"]);
    }
}
