//! `<namespace>-<uid>/run-<container>.out` in DataRootFolder: the logs of pods that have ended, where people
//! on this machine were used to find them.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use futures::{StreamExt, pin_mut};
use htc_core::workload::names::Uid;
use tokio::fs;
use tokio::io::AsyncWriteExt;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::DOOR;
use crate::engine::{Engine, LogError, LogOptions, Outputs, Piece, Want, Wanted};
use crate::limits::{RUN_FILE_MAX, RUN_FILES_KEPT, RUN_FILES_LOOK};

/// A file that says that a folder is ours; its age is the folder's.
const MARK: &str = ".htc-operator";

/// Writes the files of pods that end, and removes old ones, until it is told to stop.
pub async fn write(engine: Engine, root: PathBuf, stop: CancellationToken) {
    let (mut changes, mut done) = (engine.changes(), HashSet::new());
    let mut looks = interval(RUN_FILES_LOOK);
    loop {
        let changed = tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.recv() => changed,
            _ = looks.tick() => {
                if engine.trusts_clock() {
                    tidy(&root, SystemTime::now()).await;
                }
                done.retain(|uid| engine.want(uid) == Some(Want::Run));
                // Whatever was missed is found here.
                Err(RecvError::Lagged(0))
            }
        };
        let uids = match changed {
            Ok(uid) => vec![uid],
            Err(RecvError::Lagged(_)) => engine.wished_by(DOOR),
            Err(RecvError::Closed) => return,
        };
        for uid in uids {
            if stop.is_cancelled() {
                return;
            }
            if done.contains(&uid) {
                continue;
            }
            match copy(&engine, &root, &uid).await {
                Ok(true) => drop(done.insert(uid)),
                Ok(false) => {}
                // It is looked at again with the next change, or look.
                Err(why) => tracing::warn!(%uid, %why, "failed to copy logs to {}", root.display()),
            }
        }
    }
}

/// Copies the logs of a pod once all is at home; whether there is nothing more to do.
async fn copy(engine: &Engine, root: &Path, uid: &Uid) -> io::Result<bool> {
    let Some(view) = engine.view(uid).filter(|view| view.door == DOOR && view.want == Want::Run) else {
        return Ok(false);
    };
    let (Some(workload), Outputs::Home(_)) = (&view.workload, &view.outputs) else { return Ok(false) };
    let Some((namespace, _)) = engine.object_of(uid, DOOR) else { return Ok(false) };
    let folder = root.join(format!("{namespace}-{uid}"));
    fs::create_dir_all(&folder).await?;
    let mark = folder.join(MARK);
    if !fs::try_exists(&mark).await? {
        fs::write(&mark, "").await?;
    }
    for container in workload.init_containers.iter().chain(&workload.containers) {
        let file = folder.join(format!("run-{}.out", container.name));
        if !fs::try_exists(&file).await? {
            copy_one(engine, uid, &container.name, &file).await?;
        }
    }
    Ok(true)
}

/// Whole or not at all, so that nobody reads half of it.
async fn copy_one(engine: &Engine, uid: &Uid, container: &str, file: &Path) -> io::Result<()> {
    let new = file.with_added_extension("new");
    let mut out = fs::File::create(&new).await?;
    let (container, options) = (container.to_owned(), LogOptions::default());
    let pieces = engine.logs(Wanted { uid: uid.clone(), index: 0, container, options });
    pin_mut!(pieces);
    let mut left = RUN_FILE_MAX;
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(Piece::Log(bytes)) => {
                let bytes = &bytes[..bytes.len().min(left)];
                out.write_all(bytes).await?;
                left -= bytes.len();
                if left == 0 {
                    break;
                }
            }
            Ok(Piece::Notice(_) | Piece::Closed) => {}
            Err(LogError::File(why)) => return Err(why),
            // The next life copies it.
            Err(why @ LogError::Closing) => return Err(io::Error::other(why)),
            // A container that never started has no log; it gets an empty file.
            Err(why) => {
                tracing::debug!(%uid, %why, "a log is not copied");
                break;
            }
        }
    }
    out.flush().await?;
    fs::rename(&new, file).await
}

/// Removes what is old and ours.
async fn tidy(root: &Path, now: SystemTime) {
    let Ok(mut entries) = fs::read_dir(root).await else { return };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let folder = entry.path();
        let marked = fs::metadata(folder.join(MARK)).await.and_then(|meta| meta.modified());
        let is_old = marked.is_ok_and(|then| now.duration_since(then).is_ok_and(|age| age > RUN_FILES_KEPT));
        if is_old && let Err(why) = remove(&folder).await {
            tracing::warn!(%why, "failed to remove old logs in {}", folder.display());
        }
    }
}

/// Only what we have written: the plugin before us had other files there.
async fn remove(folder: &Path) -> io::Result<()> {
    let mut entries = fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("run-") && (name.ends_with(".out") || name.ends_with(".out.new")) {
            fs::remove_file(entry.path()).await?;
        }
    }
    fs::remove_file(folder.join(MARK)).await?;
    match fs::remove_dir(folder).await {
        Err(why) if why.kind() != io::ErrorKind::DirectoryNotEmpty => Err(why),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn old_copies_go_and_what_is_not_ours_stays() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let file = root.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        };
        for name in
            ["a-1/run-main.out", "a-1/.htc-operator", "b-2/run-main.out", "b-2/.htc-operator", "b-2/job.sh"]
        {
            write(name);
        }
        write("c-3/run-main.out");
        let is_there = |name: &str| root.path().join(name).exists();
        tidy(root.path(), SystemTime::now()).await;
        assert!(is_there("a-1/run-main.out"));
        tidy(root.path(), SystemTime::now() + RUN_FILES_KEPT + Duration::from_secs(60)).await;
        assert!(!is_there("a-1") && !is_there("b-2/run-main.out"));
        assert!(is_there("b-2/job.sh") && is_there("c-3/run-main.out"), "the plugin's own");
    }
}
