//! What InterLink's plugins and API server were told by flags, variables and YAML files of every age, in
//! the words of today. Each key is honoured, or it says why not. Pure functions of values.

mod address;
mod file;
mod keys;
mod listeners;
mod settle;
mod table;
#[cfg(test)]
mod tests;
mod tools;

use std::path::PathBuf;

use serde_json::Value;

use crate::http::place::Place;
pub use file::parse;
pub use keys::variables;
pub use settle::settle;
pub use table::table;

/// The folder that the plugins were shipped with.
pub const WORKING_FOLDER_FILES: &[&str] =
    &["SidecarConfig.yaml", "InterLinkConfig.yaml", "kustomizations/InterLinkConfig.yaml"];

/// The variable that names a configuration file.
pub const FILE_VARIABLE: &str = "INTERLINKCONFIGPATH";

/// Everything that was given.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// On the command line, or by a variable of ours.
    pub flags: Flags,
    /// Variables that override keys.
    pub variables: Vec<(String, String)>,
    /// The keys of files, each with the file's name; a file before another counts more.
    pub files: Vec<(String, Vec<(String, Value)>)>,
    /// Whether a flag of ours says where to listen.
    pub listens: bool,
    /// Whether our settings ask callers who they are.
    pub asks: bool,
    /// Whether others may call without being asked.
    pub insecure_public: bool,
}

/// The plugin's flags.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--port`
    pub port: Option<u16>,
    /// `--schedd-name`
    pub schedd_name: Option<String>,
    /// `--schedd-host`
    pub schedd_host: Option<String>,
    /// `--collector-host`
    pub collector_host: Option<String>,
    /// `--condor-config`
    pub condor_config: Option<PathBuf>,
    /// `--auth-method`
    pub auth_method: Option<String>,
    /// `--proxy`
    pub proxy: Option<String>,
    /// `--cadir`
    pub cadir: Option<String>,
    /// `--certfile`
    pub certfile: Option<String>,
    /// `--keyfile`
    pub keyfile: Option<String>,
    /// `--debug`
    pub debug: Option<String>,
    /// `--dummy-job`
    pub dummy_job: bool,
    /// `--data-root-folder`
    pub data_root_folder: Option<String>,
    /// What stands behind `--`.
    pub rest: Vec<String>,
}

/// What is made of it.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// A line for everything that was given.
    pub rows: Vec<Row>,
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// The names under which callers call.
    pub names: Vec<String>,
    /// The certificate of listeners with TLS.
    pub tls: Option<TlsBlock>,
    /// DataRootFolder.
    pub data_root: Option<PathBuf>,
    /// What is logged.
    pub log: Option<&'static str>,
    /// What HTCondor's tools are told.
    pub tools: Tools,
    /// Whether a sleep runs in the place of containers.
    pub dummy_job: bool,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The place.
    pub place: Place,
    /// Whether callers speak TLS there.
    pub tls: bool,
}

/// The block `TLS` of the API server's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsBlock {
    /// `CertFile`
    pub certificate: PathBuf,
    /// `KeyFile`
    pub key: PathBuf,
    /// `CACertFile`: callers need a certificate of this authority.
    pub client_ca: Option<PathBuf>,
}

/// What HTCondor's tools are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    /// The schedd's name.
    pub schedd: Option<String>,
    /// Variables of the tools.
    pub variables: Vec<(String, String)>,
    /// The proxy or token that they show.
    pub credential: Option<PathBuf>,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what it did.
    Honoured,
    /// It has no meaning here.
    Ignored,
    /// It had a meaning that we do not give it.
    Refused,
}

/// A line about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The flag, variable or key.
    pub key: String,
    /// Where it was given.
    pub source: String,
    /// What was given, unless it is a secret.
    pub value: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What it does now, or why it does nothing.
    pub why: String,
}
