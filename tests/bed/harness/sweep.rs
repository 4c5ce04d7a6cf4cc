//! Cleaning up: after a test, after a test run that was killed, and the check that nobody else
//! would take our objects.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use kube::Client;
use tokio::sync::OnceCell;

use super::patience::until;
use super::{bed_folder, cluster, pool};

/// What the name of the second namespace ends with.
pub const OTHER: &str = "-b";

/// Holds the folder of each test.
pub fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").unwrap()).join("test")
}

/// Takes a test's folder for ourselves, for as long as the file is open.
pub fn lock(folder: &Path) -> Option<File> {
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(folder.join("lock")).ok()?;
    file.try_lock().is_ok().then_some(file)
}

/// The bed's own operator watches all namespaces and would take our objects.
pub fn assert_alone() {
    if let Ok(file) = File::open(bed_folder().join("state/operator/lock")) {
        assert!(file.try_lock_shared().is_ok(), "the bed's operator runs: testbed/testbed operator stop");
    }
}

/// Takes an instance's jobs out of the queue and its namespaces away.
pub async fn clear(client: &Client, id: &str) -> Result<(), String> {
    // Jobs that leave by themselves in this moment make the tools fail.
    until("the queue to be cleared", async || pool::remove_all(id).await).await;
    cluster::remove_lease(client, id).await.map_err(|e| e.to_string())?;
    for namespace in [id.to_owned(), format!("{id}{OTHER}")] {
        match cluster::remove_namespace(client, &namespace).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            other => other.map_err(|e| e.to_string())?,
        }
    }
    Ok(())
}

/// Once in a process: what a run that was killed has left. The folder of a failed test stays.
pub async fn leftovers(client: &Client) {
    static DONE: OnceCell<()> = OnceCell::const_new();
    DONE.get_or_init(|| async {
        fs::create_dir_all(folder()).unwrap();
        let mut ids = cluster::test_namespaces(client).await;
        ids.iter_mut().for_each(|id| id.truncate(id.trim_end_matches(OTHER).len()));
        let folders = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
        ids.extend(folders.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let folder = folder().join(&id);
            let lock = lock(&folder);
            if folder.exists() && lock.is_none() {
                continue;
            }
            clear(client, &id).await.unwrap();
            if folder.exists() && !folder.join("kept").exists() {
                fs::remove_dir_all(&folder).unwrap();
            }
        }
    })
    .await;
}
