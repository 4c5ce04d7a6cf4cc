//! `job.json`: what the sender is told to run. It holds secrets, so it is written with mode 0600
//! and read and unlinked before the first process of the user starts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Workload;
use super::container::{Container, EnvVar};
use super::names::JobKey;

/// The version of the format. A sender refuses any other: it came with a different operator.
pub const VERSION: u32 = 1;

/// The name of the file in the job's folder.
pub const FILE: &str = "job.json";

/// What may come home of a job whose description does not say it. `condor_transfer_data` takes 8 kB of memory for
/// each, and the operator calls four of them at once.
pub const MAX_OUTPUT_FILES: u32 = 20_000;

/// The job as the sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    /// Always [`VERSION`].
    pub version: u32,
    /// The job's key, `uid/index/attempt/submission`.
    pub key: JobKey,
    /// The name of the outside object.
    pub name: String,
    /// Its namespace; empty where there is none.
    pub namespace: String,
    /// Run in order before `containers`.
    pub init_containers: Vec<Container>,
    /// Run side by side.
    pub containers: Vec<Container>,
    /// What the containers mount.
    pub volumes: Vec<Volume>,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
    /// Seconds that its containers may run, all together, before the job is ended as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u32>,
    /// What its containers see as the name of their machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Who it is to the registries of its images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistryLogin>,
    /// How to report; without it only the files tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// How many files, folders and links may come home.
    #[serde(default = "max_output_files", skip_serializing_if = "is_max_output_files")]
    pub max_output_files: u32,
    /// How its images get to the worker.
    #[serde(default, skip_serializing_if = "ImageSettings::is_default")]
    pub images: ImageSettings,
}

impl JobSpec {
    /// The description of one job of a workload, whose files come home to `folder`.
    pub fn new(
        workload: &Workload,
        namespace: &str,
        key: JobKey,
        folder: &str,
        events: Option<Events>,
        images: &ImageSettings,
        max_output_files: u32,
    ) -> JobSpec {
        // No `..`: a field that is forgotten here would be lost on the way to the job.
        let Workload {
            name,
            indices: _,
            init_containers,
            containers,
            volumes,
            grace_seconds,
            folder_variable,
            restart_after_eviction: _,
            deadline_seconds,
            hostname,
            registries,
            image_paths,
            submit: _,
        } = workload;
        let variable =
            folder_variable.as_ref().map(|name| EnvVar { name: name.clone(), value: folder.to_owned() });
        let with_folder = |list: &[Container]| -> Vec<Container> {
            let add = |mut c: Container| {
                c.env.splice(0..0, variable.clone());
                c
            };
            list.iter().cloned().map(add).collect()
        };
        JobSpec {
            version: VERSION,
            key,
            name: name.clone(),
            namespace: namespace.to_owned(),
            init_containers: with_folder(init_containers),
            containers: with_folder(containers),
            volumes: volumes.clone(),
            grace_seconds: *grace_seconds,
            deadline_seconds: *deadline_seconds,
            hostname: hostname.clone(),
            registries: registries.clone(),
            events,
            max_output_files,
            images: ImageSettings { paths: image_paths.clone(), ..images.clone() },
        }
    }
}

fn max_output_files() -> u32 {
    MAX_OUTPUT_FILES
}

fn is_max_output_files(most: &u32) -> bool {
    *most == MAX_OUTPUT_FILES
}

/// How images get to a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageSettings {
    /// Registries, `host[:port]`, that speak plain http.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub insecure_registries: Vec<String>,
    /// What images that are paths must lie below, once their links are followed; none: anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Where pulled images stay; without it they go with their job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<ImageCache>,
}

impl ImageSettings {
    fn is_default(&self) -> bool {
        *self == ImageSettings::default()
    }
}

/// A folder of the workers for pulled images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageCache {
    /// Absolute path; every user has a folder in it.
    pub path: String,
    /// A folder in that of the user, for this job and others of its kind; without it all share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// What the images of one user may take there, in bytes; those in use may take more.
    pub bytes: u64,
}

/// A folder, or a set of files, that containers mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Unique in its job.
    pub name: String,
    /// What is in it.
    pub source: VolumeSource,
}

/// What is in a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeSource {
    /// The job's `work` folder, which comes home at the end.
    Work,
    /// A folder that begins empty and goes with the job.
    Empty {
        /// Whether it lies in memory.
        memory: bool,
        /// Bytes that it may hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
    },
    /// A path of the worker.
    Host {
        /// Absolute path.
        path: String,
        /// A path that is not there is left out instead of being an error.
        optional: bool,
        /// What must be there, or is made.
        #[serde(default)]
        kind: HostKind,
        /// What it must lie below, once its links are followed; none: anywhere.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        below: Vec<String>,
    },
    /// Files with the given bytes.
    Files(Vec<File>),
}

/// What a path of the worker must be, as the `type` of a hostPath has it.
/// <https://kubernetes.io/docs/concepts/storage/volumes/#hostpath>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostKind {
    /// Anything.
    #[default]
    Any,
    /// A folder, made where there is none.
    DirectoryOrCreate,
    /// A folder.
    Directory,
    /// A file, made where there is none.
    FileOrCreate,
    /// A file.
    File,
    /// A unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// A file with its bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Relative path in the volume, without `..`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Its bytes.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub data: Vec<u8>,
}

/// Files may be Secrets: only path and size are shown.
impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:o}, {} bytes)", self.path, self.mode, self.data.len())
    }
}

/// A user name and a password for an image registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    /// `host[:port]`, as image names begin with it.
    pub registry: String,
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl RegistryLogin {
    /// User and password as the `auth` of Docker's files has them.
    pub fn auth(&self) -> String {
        STANDARD.encode(format!("{}:{}", self.username, self.password))
    }
}

/// The password is a secret.
impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "login to {} as {}", self.registry, self.username)
    }
}

/// How the job tells of itself: with what key it signs, and where to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Events {
    /// Which master key `key` was made from.
    pub key_id: String,
    /// The job's own signing key.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub key: Vec<u8>,
    /// The way by HTTP; without it HTCondor carries the newest report in the job's ad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
}

/// The way by HTTP from the job to the receiver of its reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// The base URL; reports go to `<url>/cloudevents`.
    pub url: String,
    /// CloudEvents source, `cern.ch` by default.
    pub source: String,
    /// PEM of the certificate authority to trust for https, instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// The key is a secret.
impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.route.as_ref().map_or("no URL", |route| &route.url);
        write!(f, "Events to {url} (key {})", self.key_id)
    }
}

pub(crate) fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

pub(crate) fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
}
