//! The schedds that the collector knows, and which of them is the one we submit to.

use serde::Deserialize;

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
    serde_json::from_str(&text).map_err(|why| unreadable(why.to_string()))
}

/// The schedd that the tools speak to: the one that the settings name, else the one of this host.
pub async fn ours(pool: &Pool) -> Result<Schedd, CallError> {
    let mut known = all(pool).await?;
    let found = match &pool.schedd {
        Some(wanted) => known.iter().position(|schedd| schedd.is_called(wanted)),
        None if known.len() == 1 => Some(0),
        None => {
            let host = setting(pool, "FULL_HOSTNAME").await?.unwrap_or_default();
            known.iter().position(|schedd| schedd.machine == host)
        }
    };
    found.map(|n| known.swap_remove(n)).ok_or_else(|| unreadable("our schedd is not among those it knows"))
}

impl Schedd {
    /// Its version: `23.9.6`.
    pub fn number(&self) -> Option<&str> {
        self.condor_version.split_whitespace().nth(1)
    }

    /// Whether this is the name of it; one without a domain is of this domain.
    pub fn is_called(&self, wanted: &str) -> bool {
        self.name == wanted || self.name.split('.').next() == Some(wanted)
    }
}

fn unreadable(message: impl Into<String>) -> CallError {
    CallError::Unreadable { tool: "condor_status", message: message.into() }
}
