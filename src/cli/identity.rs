//! Who we are without Kubernetes: an instance id and a master key, made at the first start. They lie beside
//! the data folder and not in it: a database may be lost, and jobs still be known by them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The instance id: the one of the settings, or the one made for this data folder.
pub(super) fn instance(set: Option<&String>, data: &Path) -> anyhow::Result<String> {
    if let Some(instance) = set {
        return Ok(instance.clone());
    }
    let file = beside(data, "instance")?;
    made(&file, "the instance id, which marks our jobs in the queue", || {
        let hex: String = random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("interlink-{hex}\n"))
    })?;
    let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
    let id = text.trim().to_owned();
    ensure!(!id.is_empty(), "{} is empty; set --instance to the id that our jobs have", file.display());
    Ok(id)
}

/// The file of the master keys: the one of the settings, or the one made for this data folder.
pub(super) fn master_key(set: Option<&PathBuf>, data: &Path) -> anyhow::Result<PathBuf> {
    if let Some(file) = set {
        return Ok(file.clone());
    }
    let file = own_key(data)?;
    made(&file, "the key that signs reports of jobs", || {
        Ok(format!("k1:{}\n", STANDARD.encode(random::<32>()?)))
    })?;
    Ok(file)
}

/// The file of the master keys where no other is named.
pub(super) fn own_key(data: &Path) -> anyhow::Result<PathBuf> {
    beside(data, "key")
}

/// `<data folder>.<what>`
fn beside(data: &Path, what: &str) -> anyhow::Result<PathBuf> {
    let mut name = data.file_name().context("the data folder cannot be the root")?.to_owned();
    name.push(".");
    name.push(what);
    Ok(data.with_file_name(name))
}

/// Makes the file, whole and for us alone, unless it is there.
fn made(file: &Path, what: &str, content: impl Fn() -> io::Result<String>) -> anyhow::Result<()> {
    if file.try_exists().with_context(|| format!("failed to look for {}", file.display()))? {
        return Ok(());
    }
    let write = || {
        let new = file.with_added_extension("new");
        match fs::remove_file(&new) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        opened.write_all(content()?.as_bytes())?;
        opened.sync_all()?;
        fs::rename(&new, file)
    };
    write().with_context(|| {
        format!("failed to make {} ({what}); set --instance and --master-key-file", file.display())
    })?;
    tracing::info!(file = %file.display(), "made {what}; keep it with the data folder");
    Ok(())
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::engine::keys::MasterKeys;

    #[test]
    fn they_are_made_once_for_us_alone_and_outlive_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let first = instance(None, &data).unwrap();
        let key = master_key(None, &data).unwrap();
        let keys = fs::read_to_string(&key).unwrap();
        assert!(MasterKeys::read(&key).is_ok());
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
        fs::remove_dir_all(&data).unwrap();
        assert_eq!(instance(None, &data).unwrap(), first);
        assert_eq!(master_key(None, &data).unwrap(), key);
        assert_eq!(fs::read_to_string(&key).unwrap(), keys);
        let other = instance(None, &folder.path().join("other")).unwrap();
        assert_ne!(other, first, "two data folders are two operators");
    }

    #[test]
    fn what_is_set_counts() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        assert_eq!(instance(Some(&"mine".to_owned()), &data).unwrap(), "mine");
        assert_eq!(master_key(Some(&"/k".into()), &data).unwrap(), Path::new("/k"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
