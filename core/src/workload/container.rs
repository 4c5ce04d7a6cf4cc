//! One container: what it runs, where, and with what mounted.

use serde::{Deserialize, Serialize};

/// A container of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Container {
    /// Unique in its job; its log is `log.<name>`.
    pub name: String,
    /// Where its root file system comes from.
    pub image: Image,
    /// Program and arguments; never empty.
    pub argv: Vec<Arg>,
    /// Set beside what the image sets; a later entry of the same name wins.
    pub env: Vec<EnvVar>,
    /// Where it starts: a path inside the container.
    pub working_dir: Option<Arg>,
    /// Its view of the job's volumes.
    pub mounts: Vec<Mount>,
}

/// Where a container's root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Image {
    /// None: the process runs on the worker itself.
    Host,
    /// What apptainer takes: `docker://…`, `oras://…`, a `.sif` file, an unpacked folder.
    Apptainer(String),
}

/// A word of the command line, or a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Arg {
    /// As it stands.
    Text(String),
    /// The place of the mount with this `path`, as the process sees it: the path itself in an
    /// image, the file or folder behind it where there is no image.
    Mount(String),
    /// The index of the job in its workload.
    Index,
}

impl From<&str> for Arg {
    fn from(text: &str) -> Arg {
        Arg::Text(text.to_owned())
    }
}

/// One variable of the environment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvVar {
    /// Its name: not empty, without `=` and NUL.
    pub name: String,
    /// Its value, byte for byte, without NUL.
    pub value: String,
}

/// Values may be secrets and Workloads get logged: only the name is shown.
impl std::fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// A volume, or a part of it, at a path of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// The name of a volume of the job.
    pub volume: String,
    /// Absolute path in the container.
    pub path: String,
    /// A file or folder in the volume; the whole volume without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// Whether the container may not write there.
    #[serde(default)]
    pub read_only: bool,
}
