//! The command line: one sub-command, one file.

mod crd;
mod doctor;
mod jobs;
mod logs;
mod serve;

use clap::{Parser, Subcommand};

use crate::config::LogFormat;

/// Runs Kubernetes work on an HTCondor pool.
#[derive(Parser, Debug)]
#[command(name = "htc-operator", version, about, max_term_width = 100)]
pub struct Cli {
    /// How log lines look.
    #[arg(long, env = "HTC_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    log_format: LogFormat,

    /// What is logged: `info`, `debug`, or `module=level` pairs.
    #[arg(long, env = "HTC_LOG", default_value = "info", global = true)]
    log: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the operator.
    Serve(Box<serve::Arguments>),
    /// Print the CustomResourceDefinition of HTCJob.
    Crd,
    /// Check what the operator needs: pool, credentials, Kubernetes, files, and the way back from workers.
    Doctor(Box<doctor::Arguments>),
    /// Print the log of an HTCJob.
    Logs(logs::Arguments),
    /// List the HTCJobs and their HTCondor jobs, as the operator knows them.
    Jobs(jobs::Arguments),
}

/// Does what the command line asks.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    start_logging(&cli)?;
    match cli.command {
        Command::Serve(arguments) => serve::run(*arguments).await,
        Command::Crd => crd::run(),
        Command::Doctor(arguments) => doctor::run(*arguments).await,
        Command::Logs(arguments) => logs::run(arguments).await,
        Command::Jobs(arguments) => jobs::run(arguments).await,
    }
}

/// That nobody reads on, as with `| head`, is a good end.
fn quietly(result: anyhow::Result<()>) -> anyhow::Result<()> {
    let is_pipe = |why: &(dyn std::error::Error + 'static)| {
        why.downcast_ref::<std::io::Error>().is_some_and(|why| why.kind() == std::io::ErrorKind::BrokenPipe)
    };
    result.or_else(|why| if why.chain().any(is_pipe) { Ok(()) } else { Err(why) })
}

fn start_logging(cli: &Cli) -> anyhow::Result<()> {
    use tracing_subscriber::{EnvFilter, fmt};

    let filter = EnvFilter::try_new(&cli.log)?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
