//! Cleaning up: after a test, after a test run that was killed, and the check that nobody else
//! would take our objects.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use kube::Client;
use tokio::sync::OnceCell;

use super::{bed_folder, cluster, pool};

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
    pool::remove_all(id).await?;
    for namespace in [id.to_owned(), format!("{id}-b")] {
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
        let Ok(folders) = fs::read_dir(folder()) else { return };
        for folder in folders.map(|entry| entry.unwrap().path()).filter(|f| !f.join("kept").exists()) {
            let Some(_lock) = lock(&folder) else { continue };
            clear(client, &folder.file_name().unwrap().to_string_lossy()).await.unwrap();
            fs::remove_dir_all(&folder).unwrap();
        }
    })
    .await;
}
