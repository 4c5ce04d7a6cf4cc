//! `htc-operator logs`.

use std::io;

use anyhow::{Context, bail};
use clap::Args;
use jiff::{SignedDuration, Timestamp};

use crate::config::DataSettings;
use crate::control::client::{self, LogQuery};

/// Which log, and how.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The HTCJob or pod: `<namespace>/<name>`, or `<namespace>/<name>/<index>` when it has several copies.
    job: String,

    /// The container; the first without.
    #[arg(short, long)]
    container: Option<String>,

    /// Go on until the job has ended; a job that has not started yet is waited for.
    #[arg(short, long)]
    follow: bool,

    /// Only the last lines.
    #[arg(long)]
    tail: Option<u64>,

    /// Only what was written in this time before now, such as 30s, 10m or 1h30m.
    #[arg(long, conflicts_with = "since_time")]
    since: Option<SignedDuration>,

    /// Only what was written at this time or later, such as 2026-01-31T09:00:00Z.
    #[arg(long)]
    since_time: Option<Timestamp>,

    /// Print each line with its time.
    #[arg(long)]
    timestamps: bool,

    /// At most so many bytes; the last line may be cut.
    #[arg(long)]
    limit_bytes: Option<u64>,

    /// The log of the container's run before this one.
    #[arg(short, long, conflicts_with = "follow")]
    previous: bool,

    #[command(flatten)]
    data: DataSettings,
}

/// Prints the log; what there is to say about it goes to standard error.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // No `..`: an option that is forgotten here would do nothing in silence.
    let Arguments {
        job,
        container,
        follow,
        tail,
        since,
        since_time,
        timestamps,
        limit_bytes,
        previous,
        data,
    } = arguments;
    let parts: Vec<&str> = job.split('/').collect();
    let (namespace, name, index) = match parts[..] {
        [namespace, name] => (namespace, name, None),
        [namespace, name, index] => (namespace, name, Some(index.parse().context("the index is a number")?)),
        _ => bail!("{job:?} is not <namespace>/<name> or <namespace>/<name>/<index>"),
    };
    let before = |ago: SignedDuration| Timestamp::now().checked_sub(ago).context("--since is too long");
    let query = LogQuery {
        door: None,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        index,
        container,
        tail,
        since: since.map(before).transpose()?.or(since_time),
        timestamps,
        limit_bytes,
        previous,
        follow,
    };
    super::quietly(client::logs(&data.data_dir, &query, &mut io::stdout().lock(), &mut io::stderr()).await)
}
