//! Settings of `interlink`: those of an operator without Kubernetes, and the flags of the InterLink plugin
//! whose place it takes.

use std::path::PathBuf;

use clap::Args;

use super::OperatorSettings;

/// Settings of `interlink`.
#[derive(Args, Clone, Debug)]
pub struct StandaloneSettings {
    /// What every kind of operator has.
    #[command(flatten)]
    pub operator: OperatorSettings,
    /// The plugin's flags.
    #[command(flatten)]
    pub old: OldFlags,

    /// The data folder: database, job folders, control socket. On a local disk, for us alone. By default
    /// the folder `htc-operator` in DataRootFolder, else in ~/.local/state.
    #[arg(long, env = "HTC_DATA_DIR")]
    pub data_dir: Option<PathBuf>,

    /// The file with the keys that sign reports. By default `<data folder>.key`, which is made when it is
    /// not there.
    #[arg(long, env = "HTC_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,

    /// InterLink's configuration files (SidecarConfig.yaml, InterLinkConfig.yaml), separated by commas; by
    /// default the one of INTERLINKCONFIGPATH, else those of the working folder.
    #[arg(long, env = "HTC_INTERLINK_CONFIG", value_delimiter = ',')]
    pub config: Vec<PathBuf>,

    /// Print what is made of every old flag, variable and key, and start nothing.
    #[arg(long)]
    pub explain_config: bool,

    /// Check what these settings need (files, credentials, pool, listeners), print a line each with what to
    /// do about it, and start nothing. Ends with 1 if something does not work.
    #[arg(long, conflicts_with = "explain_config")]
    pub doctor: bool,
}

/// The flags of the InterLink plugin for HTCondor. An empty value counts as none, as it did there.
#[derive(Args, Clone, Debug, Default)]
pub struct OldFlags {
    /// Serve InterLink on this port of 127.0.0.1.
    #[arg(long, env = "HTC_INTERLINK_PORT")]
    pub port: Option<u16>,

    /// The schedd's host; its name, unless --schedd-name gives another.
    #[arg(long, env = "HTC_SCHEDD_HOST")]
    pub schedd_host: Option<String>,

    /// How HTCondor's tools prove who they are, such as SCITOKENS, IDTOKENS or SSL. GSI is no more: it is
    /// left to the pool.
    #[arg(long, env = "HTC_AUTH_METHOD")]
    pub auth_method: Option<String>,

    /// The X.509 proxy for HTCondor's tools; with SCITOKENS the token.
    #[arg(long, env = "HTC_PROXY")]
    pub proxy: Option<String>,

    /// The folder of the authorities that HTCondor's tools trust.
    #[arg(long, env = "HTC_CADIR")]
    pub cadir: Option<String>,

    /// The client certificate of HTCondor's tools.
    #[arg(long, env = "HTC_CERTFILE")]
    pub certfile: Option<String>,

    /// The key of that certificate.
    #[arg(long, env = "HTC_KEYFILE")]
    pub keyfile: Option<String>,

    /// The debug level of HTCondor's tools, such as D_FULLDEBUG.
    #[arg(long, env = "HTC_TOOL_DEBUG", num_args = 0..=1, default_missing_value = "D_FULLDEBUG")]
    pub debug: Option<String>,

    /// Submit a sleep in the place of each pod's containers.
    #[arg(long, env = "HTC_DUMMY_JOB")]
    pub dummy_job: bool,

    /// A folder to which `<namespace>-<uid>/run-<container>.out`, the logs of ended pods, are copied; by
    /// default the DataRootFolder of the configuration files.
    #[arg(long, env = "HTC_DATA_ROOT_FOLDER")]
    pub data_root_folder: Option<String>,

    /// What stands behind `--`: an old recipe has its `--port` there.
    #[arg(last = true, hide = true)]
    pub rest: Vec<String>,
}
