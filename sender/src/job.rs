//! Reading `job.json`.

use std::io;
use std::path::Path;

use htc_core::workload::spec::{FILE, JobSpec, VERSION};
use serde::Deserialize;

/// Why there is no job to run. The messages hold no content of the file: it has secrets.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file, or no leave to read it.
    #[error("cannot read {FILE}: {0}")]
    Read(#[source] io::Error),
    /// It could not be unlinked, so the user's processes could read it.
    #[error("cannot remove {FILE}, which user processes must not see: {0}")]
    Remove(#[source] io::Error),
    /// It is not a job.
    #[error("{FILE} does not describe a job (line {line}, column {column})")]
    Shape {
        /// Where the reader stopped.
        line: usize,
        /// Where the reader stopped.
        column: usize,
    },
    /// It was written by another operator.
    #[error("{FILE} has version {0}, this sender reads {VERSION}: it came with another operator")]
    Version(u32),
    /// The name would leave the job's folder.
    #[error("{FILE} names a container {0:?}, which cannot be part of a file name")]
    Name(String),
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::Shape { line: error.line(), column: error.column() }
    }
}

/// The little that is needed to make the outputs, even where the rest cannot be understood.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    version: u32,
    init_containers: Vec<Named>,
    containers: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Reads the file and unlinks it.
pub fn take(scratch: &Path) -> Result<Vec<u8>, Error> {
    let path = scratch.join(FILE);
    let bytes = std::fs::read(&path).map_err(Error::Read)?;
    std::fs::remove_file(&path).map_err(Error::Remove)?;
    Ok(bytes)
}

/// The names of all containers, init containers first; `main` where they cannot be read.
pub fn names(bytes: &[u8]) -> Vec<String> {
    let Ok(outline) = serde_json::from_slice::<Outline>(bytes) else { return vec!["main".to_owned()] };
    let all = outline.init_containers.into_iter().chain(outline.containers);
    all.map(|c| c.name).filter(|name| is_file_name(name)).collect()
}

/// Understands the whole.
pub fn parse(bytes: &[u8]) -> Result<JobSpec, Error> {
    let outline: Outline = serde_json::from_slice(bytes)?;
    if outline.version != VERSION {
        return Err(Error::Version(outline.version));
    }
    let job: JobSpec = serde_json::from_slice(bytes)?;
    match job.init_containers.iter().chain(&job.containers).find(|c| !is_file_name(&c.name)) {
        Some(container) => Err(Error::Name(container.name.clone())),
        None => Ok(job),
    }
}

/// Whether this names something in a folder, and nothing else.
pub fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = r#"{"version":1,"key":"u/0/0/0","name":"n","namespace":"","initContainers":[],
        "containers":[],"volumes":[],"graceSeconds":30}"#;

    #[test]
    fn a_job_of_another_version_is_refused_though_its_outputs_are_known() {
        let other = r#"{"version":2,"initContainers":[{"name":"i"}],"containers":[{"name":"c","new":1}]}"#;
        assert!(matches!(parse(other.as_bytes()), Err(Error::Version(2))));
        assert_eq!(names(other.as_bytes()), ["i", "c"]);
        assert!(parse(EMPTY.as_bytes()).is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_said_without_its_content() {
        let error = parse(EMPTY.replace("30", r#""secret""#).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "job.json does not describe a job (line 2, column 60)");
        assert_eq!(names(b"{"), ["main"]);
    }

    #[test]
    fn a_container_name_cannot_lead_out_of_the_folder() {
        let bad = EMPTY.replace(
            r#""containers":[]"#,
            r#""containers":[{"name":"../x","image":"host","program":{"words":[]},"env":[],"workingDir":null,"mounts":[]}]"#,
        );
        assert!(matches!(parse(bad.as_bytes()), Err(Error::Name(_))));
        assert!(names(bad.as_bytes()).is_empty());
    }
}
