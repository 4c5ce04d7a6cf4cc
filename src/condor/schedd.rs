//! The schedds that the collector knows, and which of them is the one we submit to.

use serde::Deserialize;
use serde_json::Value;

use super::cli::CallError;
use super::inspect::{ask, setting};
use super::pool::Pool;

/// A schedd as the collector knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Schedd {
    /// Its name, for `-name`.
    pub name: String,
    /// `$CondorVersion: …`.
    #[serde(default)]
    pub condor_version: String,
    /// The host that it runs on.
    #[serde(default)]
    pub machine: String,
    /// When its job queue was made, epoch seconds: a queue that was lost has another.
    pub job_queue_birthdate: Option<i64>,
}

/// All schedds that the collector knows.
pub async fn all(pool: &Pool) -> Result<Vec<Schedd>, CallError> {
    let pool = Pool { schedd: None, ..pool.clone() };
    let attributes = "Name,CondorVersion,Machine,JobQueueBirthdate";
    let text = ask(&pool, "condor_status", &["-schedd", "-json", "-attributes", attributes]).await?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let ads: Vec<Value> = serde_json::from_str(&text).map_err(|why| unreadable(why.to_string()))?;
    // One that is odd hides no other.
    Ok(ads.into_iter().filter_map(|ad| serde_json::from_value(ad).ok()).collect())
}

/// The schedd that the tools speak to: the one that the settings name, else the one of this host. None where the
/// collector does not tell which it is: the tools may find theirs in other ways.
pub async fn ours(pool: &Pool) -> Result<Option<Schedd>, CallError> {
    let known = all(pool).await?;
    let host = match (&pool.schedd, known.len()) {
        (None, 2..) => setting(pool, "FULL_HOSTNAME").await?.unwrap_or_default(),
        _ => String::new(),
    };
    let is_it = |schedd: &&Schedd| match &pool.schedd {
        Some(wanted) => schedd.is_called(wanted),
        None => known.len() == 1 || schedd.machine.eq_ignore_ascii_case(&host),
    };
    let mut found = known.iter().filter(is_it);
    let one = found.next().cloned();
    // Of several nobody knows which is meant.
    Ok(if found.next().is_none() { one } else { None })
}

impl Schedd {
    /// Its version: `23.9.6`.
    pub fn number(&self) -> Option<&str> {
        self.condor_version.split_whitespace().nth(1)
    }

    /// Whether this is the name of it; one without a domain is of this domain.
    pub fn is_called(&self, wanted: &str) -> bool {
        let short = self.name.split('.').next().unwrap_or_default();
        self.name.eq_ignore_ascii_case(wanted) || short.eq_ignore_ascii_case(wanted)
    }
}

fn unreadable(message: impl Into<String>) -> CallError {
    CallError::Unreadable { tool: "condor_status", message: message.into() }
}
