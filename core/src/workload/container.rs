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
    /// When the image is pulled.
    #[serde(default)]
    pub pull: Pull,
    /// What its first process is.
    pub program: Program,
    /// Set beside what the image sets; a later entry of the same name wins.
    pub env: Vec<EnvVar>,
    /// Where it starts: a path inside the container.
    pub working_dir: Option<Arg>,
    /// Its view of the job's volumes.
    pub mounts: Vec<Mount>,
    /// Where it leaves its last words, if anybody wants them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_message: Option<TerminationMessage>,
}

impl Container {
    /// What a status says of it, without what it was given.
    pub fn told_only(&self) -> Container {
        let Container {
            name,
            image,
            pull: _,
            program: _,
            env: _,
            working_dir: _,
            mounts: _,
            termination_message: _,
        } = self;
        Container {
            name: name.clone(),
            image: image.clone(),
            pull: Pull::default(),
            program: Program::EntryPoint(Vec::new()),
            env: Vec::new(),
            working_dir: None,
            mounts: Vec::new(),
            termination_message: None,
        }
    }
}

/// What the first process of a container is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Program {
    /// These words: program and arguments, never empty.
    Words(Vec<Arg>),
    /// The image's entry point with these arguments; with the image's own where there are none.
    EntryPoint(Vec<Arg>),
}

/// When an image is pulled, as `imagePullPolicy` has it.
/// <https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pull {
    /// What the cache has is compared with the registry.
    Always,
    /// Only what the cache does not have.
    #[default]
    IfNotPresent,
    /// What the cache does not have cannot run.
    Never,
}

/// Where a container leaves a sentence about its end.
/// <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TerminationMessage {
    /// A file that the container may write: an absolute path in it.
    pub path: String,
    /// The end of the log counts where the file is empty and the container failed.
    pub fallback_to_logs: bool,
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
