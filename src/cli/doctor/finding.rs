//! What a check found, and what to do about it.

use std::fmt;

use serde_json::{Value, json};

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, in a word or two.
    pub check: &'static str,
    /// What was found.
    pub found: String,
    /// What that means.
    pub verdict: Verdict,
}

/// What a finding means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Ok,
    /// The operator works, but not as well as it could, or not for long.
    Warning {
        /// What to do.
        remedy: String,
    },
    /// The operator cannot work like this.
    Failed {
        /// What to do.
        remedy: String,
    },
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, found: found.into(), verdict: Verdict::Ok }
    }

    /// It could be better.
    pub fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, found: found.into(), verdict: Verdict::Warning { remedy: remedy.into() } }
    }

    /// It does not work.
    pub fn failed(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, found: found.into(), verdict: Verdict::Failed { remedy: remedy.into() } }
    }

    /// Whether the operator cannot work like this.
    pub fn has_failed(&self) -> bool {
        matches!(self.verdict, Verdict::Failed { .. })
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let (level, remedy) = self.level();
        json!({ "check": self.check, "level": level, "found": self.found, "remedy": remedy })
    }

    fn level(&self) -> (&'static str, Option<&str>) {
        match &self.verdict {
            Verdict::Ok => ("ok", None),
            Verdict::Warning { remedy } => ("warning", Some(remedy)),
            Verdict::Failed { remedy } => ("failed", Some(remedy)),
        }
    }
}

/// One line for people.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, remedy) = self.level();
        write!(f, "{level:<8} {}: {}", self.check, self.found.replace('\n', " "))?;
        remedy.map_or(Ok(()), |remedy| write!(f, " -> {remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_its_remedy() {
        assert_eq!(Finding::ok("clock", "fine").to_string(), "ok       clock: fine");
        let bad = Finding::failed("key", "is\nopen", "chmod 600 key");
        assert_eq!(bad.to_string(), "failed   key: is open -> chmod 600 key");
        assert_eq!(bad.json()["remedy"], "chmod 600 key");
    }
}
