//! Identities: the UID of a workload and the key of one HTCondor job.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The UID of a workload: given by the caller, unique for ever.
///
/// It becomes a folder name and part of ClassAd constraints, so only letters, digits, `-`, `_` and
/// `.` are taken, at most 128 of them, and not a dot first. Clones share the text: each job of a
/// workload has it in its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uid(Arc<str>);

impl Uid {
    /// The text of the UID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadName(String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadName {}

impl FromStr for Uid {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 128 || text.starts_with('.') || !text.chars().all(plain) {
            return Err(BadName(format!(
                "{text:?} is no UID: 1 to 128 letters, digits, '-', '_' and '.', not a dot first"
            )));
        }
        Ok(Uid(text.into()))
    }
}

impl TryFrom<String> for Uid {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> String {
        uid.as_str().to_owned()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of one HTCondor job: for this index of this workload, the try as the user counts tries,
/// and how often we handed that try to HTCondor. Its text is the ad attribute `HTCOperatorKey`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobKey {
    /// The workload.
    pub uid: Uid,
    /// Which of the workload's copies, from 0.
    pub index: u32,
    /// Which try of the copy, from 0.
    pub attempt: u32,
    /// Which submission of the try, from 0.
    pub submission: u32,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JobKey { uid, index, attempt, submission } = self;
        write!(f, "{uid}/{index}/{attempt}/{submission}")
    }
}

impl FromStr for JobKey {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName(format!("{text:?} is no job key: uid/index/attempt/submission"));
        let mut parts = text.split('/');
        let uid = parts.next().ok_or_else(bad)?.parse()?;
        let mut number = || parts.next().and_then(|n| n.parse().ok()).ok_or_else(bad);
        let key = JobKey { uid, index: number()?, attempt: number()?, submission: number()? };
        if key.to_string() == text { Ok(key) } else { Err(bad()) }
    }
}

impl TryFrom<String> for JobKey {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<JobKey> for String {
    fn from(key: JobKey) -> String {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        let key = JobKey { uid: "a-1.b".parse().unwrap(), index: 7, attempt: 0, submission: 2 };
        assert_eq!(key.to_string(), "a-1.b/7/0/2");
        assert_eq!(key.to_string().parse::<JobKey>().unwrap(), key);
    }

    #[test]
    fn a_uid_that_could_leave_its_folder_or_its_quotes_is_refused() {
        for bad in ["", "..", ".x", "a/b", "a\"b", "a b", "ä", &"x".repeat(129)] {
            assert!(bad.parse::<Uid>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_the_canonical_text_of_a_key_is_taken() {
        for bad in ["a/1/2", "a/1/2/3/4", "a/01/2/3", "a/+1/2/3", "a/-1/2/3", "a/1/2/", "/1/2/3"] {
            assert!(bad.parse::<JobKey>().is_err(), "{bad:?}");
        }
    }
}
