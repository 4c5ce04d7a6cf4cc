//! The schedds that the collector knows, and which of them is the one we submit to.

use super::answer::{self, Fields};
use super::cli::CallError;
use super::inspect::{ask, setting};
use super::pool::Pool;

/// A schedd as the collector knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedd {
    /// Its name, for `-name`.
    pub name: String,
    /// `$CondorVersion: …`.
    pub condor_version: String,
    /// The host that it runs on.
    pub machine: String,
    /// When its job queue was made, epoch seconds: a queue that was lost has another.
    pub job_queue_birthdate: Option<i64>,
}

const PROJECTION: &[&str] = &["Name", "CondorVersion", "Machine", "JobQueueBirthdate"];

/// All schedds that the collector knows.
pub async fn all(pool: &Pool) -> Result<Vec<Schedd>, CallError> {
    let pool = Pool { schedd: None, ..pool.clone() };
    let attributes = PROJECTION.join(",");
    let text = ask(&pool, "condor_status", &["-schedd", "-json", "-attributes", &attributes]).await?;
    read(&text).map_err(|message| CallError::Unreadable { tool: "condor_status", message })
}

/// One that is odd hides no other.
fn read(answer: &str) -> Result<Vec<Schedd>, String> {
    let mut found = Vec::new();
    answer::each(answer.as_bytes(), PROJECTION, |fields| found.extend(schedd(&fields)))?;
    Ok(found)
}

fn schedd(fields: &Fields) -> Option<Schedd> {
    let text = |name| fields.text(name).ok().flatten().map(str::to_owned);
    Some(Schedd {
        name: text("Name")?,
        condor_version: text("CondorVersion").unwrap_or_default(),
        machine: text("Machine").unwrap_or_default(),
        job_queue_birthdate: fields.int("JobQueueBirthdate").ok().flatten(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedd_that_says_something_odd_hides_no_other() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        let good = r#"{"Name": "a", "Machine": "m", "CondorVersion": "v", "JobQueueBirthdate": 5}"#;
        for odd in [deep.as_str(), "7.5", "true", "/"] {
            let spoilt = format!(r#"{{"Name": {odd}}}, {{"Name": "b", "JobQueueBirthdate": {odd}}}"#);
            let found = read(&format!("[{spoilt}, {good}]")).unwrap();
            let told: Vec<_> = found.iter().map(|s| (s.name.as_str(), s.job_queue_birthdate)).collect();
            assert_eq!(told, [("b", None), ("a", Some(5))], "{odd:.60}");
        }
        assert_eq!(read("\n").unwrap(), []);
        assert!(read("[{").is_err());
    }
}
