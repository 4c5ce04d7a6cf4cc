//! Whether the keys that jobs sign with are still here. A job signs with what it was given, so who changes the master
//! key and does not keep the old one believes none of the reports of the jobs that run.

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::keys::MasterKeys;
use super::{DATABASE, Engine, StoreError};
use crate::store::database::Transaction;
use crate::store::{facts, inspect};

/// Which keys jobs may sign with: a mark each, separated by blanks.
const FACT: &str = "master_keys";

impl MasterKeys {
    /// What tells keys from one another and gives nothing of them away.
    fn marks(&self) -> BTreeSet<String> {
        self.all().map(|(id, key)| format!("{id}:{}", mark(key))).collect()
    }
}

fn mark(key: &[u8]) -> String {
    let digest = Sha256::new().chain_update("mark of a master key").chain_update(key).finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Engine {
    /// Compares the keys with those of earlier lives, while jobs of these have not ended.
    pub(super) async fn compare_keys(&self) -> Result<(), StoreError> {
        let inner = &self.0;
        let marks = inner.keys.marks();
        let jobs = {
            let board = inner.board();
            let jobs = board.entries.live().flat_map(|(_, entry)| entry.jobs.values());
            jobs.filter(|job| job.end().is_none()).count()
        };
        let missing = inner.store.call(move |t| compare(t, marks, jobs > 0)).await?;
        inner.metrics.keys_missing.set(i64::try_from(missing.len()).unwrap_or(i64::MAX));
        if !missing.is_empty() {
            tracing::error!(jobs, "{}; {REMEDY}", sentence(&missing));
        }
        Ok(())
    }
}

/// Keeps which keys jobs may have. Gives the ids of those that are not among ours any more.
fn compare(t: &Transaction<'_>, ours: BTreeSet<String>, has_jobs: bool) -> Result<Vec<String>, StoreError> {
    let kept = if has_jobs { facts::get(t, FACT)? } else { None };
    let kept: BTreeSet<String> = kept.iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect();
    let all: Vec<String> = kept.union(&ours).cloned().collect();
    facts::put(t, FACT, &all.join(" "))?;
    Ok(missing(&kept, &ours))
}

fn missing(kept: &BTreeSet<String>, ours: &BTreeSet<String>) -> Vec<String> {
    let id = |mark: &String| mark.rsplit_once(':').map_or(mark.clone(), |(id, _)| id.to_owned());
    kept.difference(ours).map(id).collect()
}

/// The ids of the keys that jobs of the operator of this data folder may have and that are not among these.
pub fn missing_keys(data: &Path, keys: &MasterKeys) -> Result<Vec<String>, StoreError> {
    let kept = inspect::fact(&data.join(DATABASE), FACT)?.unwrap_or_default();
    Ok(missing(&kept.split_whitespace().map(str::to_owned).collect(), &keys.marks()))
}

/// What to do about it.
pub const REMEDY: &str = "if the old line still exists, put it below the new one and start again";

/// What it means that these keys are missing.
pub fn sentence(missing: &[String]) -> String {
    format!(
        "the master key file lacks the key that jobs were given as {}: their reports are not believed, so their ends \
         are seen by their ads, and their logs when they come home",
        missing.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::store::database::Database;

    fn marks(lines: &[(&str, u8)]) -> BTreeSet<String> {
        let line = |(id, byte): &(&str, u8)| format!("{id}:{}\n", STANDARD.encode([*byte; 32]));
        MasterKeys::parse(&lines.iter().map(line).collect::<String>()).unwrap().marks()
    }

    #[tokio::test]
    async fn a_key_that_jobs_have_is_missed_until_it_is_back_or_they_have_ended() {
        let folder = tempfile::tempdir().unwrap();
        let store = Database::open(&folder.path().join("x.db")).unwrap();
        for (ours, has_jobs, expected) in [
            (marks(&[("k1", 1)]), false, &[][..]),
            (marks(&[("k1", 1)]), true, &[]),
            // Another key of the same name is another key.
            (marks(&[("k1", 2)]), true, &["k1"]),
            (marks(&[("k1", 2)]), true, &["k1"]),
            (marks(&[("k3", 3), ("k1", 1), ("k2", 2)]), true, &["k1"]),
            (marks(&[("k1", 1)]), false, &[]),
            (marks(&[("k1", 1)]), true, &[]),
        ] {
            let missing = store.call(move |t| compare(t, ours, has_jobs)).await.unwrap();
            assert_eq!(missing, expected);
        }
    }
}
