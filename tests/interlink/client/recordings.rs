//! The recorded requests of `tests/recordings/`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::transport::Request;

/// The versions that there are recordings of.
pub const VERSIONS: [&str; 4] = ["0.4.1", "0.5.2-patch1", "0.6.1-patch1", "0.6.2"];

/// A recorded request.
#[derive(Clone, Debug, Deserialize)]
pub struct Recording {
    /// `010-create-plain`, ….
    #[serde(skip)]
    pub name: String,
    /// The verb.
    pub method: String,
    /// The path.
    pub path: String,
    /// Header names and values.
    headers: std::collections::BTreeMap<String, String>,
    /// The decoded body; an empty text for none.
    pub body: Value,
}

impl Recording {
    /// What went over the wire: compact JSON. The client itself writes `Host` and `Content-Length`.
    pub fn request(&self) -> Request {
        let body = if self.body == "" { Vec::new() } else { serde_json::to_vec(&self.body).unwrap() };
        let ours = |name: &str| ["host", "content-length"].contains(&name.to_ascii_lowercase().as_str());
        let headers = self.headers.clone().into_iter().filter(|(name, _)| !ours(name)).collect();
        Request { method: self.method.clone(), path: self.path.clone(), headers, body }
    }

    /// The pods that it brings: in a create each element's `pod`, else the pods themselves.
    pub fn pods(&self) -> Vec<&Value> {
        let elements = self.body.as_array().map_or(std::slice::from_ref(&self.body), Vec::as_slice);
        elements.iter().map(|element| element.get("pod").unwrap_or(element)).collect()
    }

    /// The UID of the first pod that it is about.
    pub fn uid(&self) -> &str {
        let pods = self.pods();
        let uid = pods.first().map(|pod| pod.get("PodUID").unwrap_or(&pod["metadata"]["uid"]));
        uid.and_then(Value::as_str).unwrap_or_default()
    }
}

/// Where they are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// All of a version and hop (`hop1`, `hop2`), in order.
pub fn all(version: &str, hop: &str) -> Vec<Recording> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join(version).join(hop))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 20, "{version} {hop}: only {} recordings", files.len());
    files.iter().map(|file| read(file)).collect()
}

/// The one of this name.
pub fn one(version: &str, hop: &str, name: &str) -> Recording {
    read(&folder().join(version).join(hop).join(format!("{name}.json")))
}

fn read(file: &Path) -> Recording {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Recording { name: file.file_stem().unwrap().to_string_lossy().into_owned(), ..parse(&text) }
}

/// The one in this text, without its name.
pub fn parse(text: &str) -> Recording {
    serde_json::from_str(text).unwrap()
}
