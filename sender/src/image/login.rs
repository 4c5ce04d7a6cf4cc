//! Who the job is to a registry, in the file where apptainer looks for it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use htc_core::workload::spec::RegistryLogin;
use serde_json::{Map, json};

use crate::apptainer::USUAL_REGISTRY;

/// The usual registry has another name in Docker's files.
const USUAL_IN_FILES: &str = "https://index.docker.io/v1/";

/// A file with one login, there for as long as this value is.
pub struct LoginFile(PathBuf);

impl LoginFile {
    /// Writes it for us alone.
    pub fn write(path: PathBuf, login: &RegistryLogin) -> io::Result<LoginFile> {
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let written = LoginFile(path);
        file.write_all(content(login).to_string().as_bytes())?;
        Ok(written)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for LoginFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn content(login: &RegistryLogin) -> serde_json::Value {
    let usual = (login.registry == USUAL_REGISTRY).then_some(USUAL_IN_FILES);
    let names = [Some(login.registry.as_str()), usual].into_iter().flatten();
    let auths: Map<_, _> = names.map(|name| (name.to_owned(), json!({ "auth": login.auth() }))).collect();
    json!({ "auths": auths })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_for_us_alone_and_goes_with_its_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login");
        let login = RegistryLogin {
            registry: "docker.io".to_owned(),
            username: "me".to_owned(),
            password: "a:b".to_owned(),
        };
        let file = LoginFile::write(path.clone(), &login).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let auth = r#"{"auth":"bWU6YTpi"}"#;
        let expected = format!(r#"{{"auths":{{"docker.io":{auth},"{USUAL_IN_FILES}":{auth}}}}}"#);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        drop(file);
        assert!(!path.exists());
    }
}
