//! `htc-operator logs`.

use anyhow::{Context, bail};
use clap::Args;

use crate::config::DataSettings;
use crate::control::client::{self, LogQuery};
use crate::htcjob;

/// Which log, and how.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The HTCJob: `<namespace>/<name>`, or `<namespace>/<name>/<index>` when it has several copies.
    job: String,

    /// The container.
    #[arg(short, long, default_value = "main")]
    container: String,

    /// Only the last lines.
    #[arg(long)]
    tail: Option<u64>,

    /// Print each line with its time.
    #[arg(long)]
    timestamps: bool,

    #[command(flatten)]
    data: DataSettings,
}

/// Prints the log.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { job, container, tail, timestamps, data } = arguments;
    let parts: Vec<&str> = job.split('/').collect();
    let (namespace, name, index) = match parts[..] {
        [namespace, name] => (namespace, name, None),
        [namespace, name, index] => (namespace, name, Some(index.parse().context("the index is a number")?)),
        _ => bail!("{job:?} is not <namespace>/<name> or <namespace>/<name>/<index>"),
    };
    let query = LogQuery {
        door: htcjob::DOOR.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        index,
        container: Some(container),
        tail,
        timestamps,
    };
    client::logs(&data.data_dir, &query, &mut std::io::stdout().lock()).await
}
