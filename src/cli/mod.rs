//! The command line: one sub-command, one file.

mod crd;
mod db;
mod doctor;
mod door;
mod identity;
mod interlink;
mod jobs;
mod kubernetes;
mod lease;
mod logs;
mod operator;
mod serve;
mod token_review;

use clap::{Parser, Subcommand};

use crate::config::LogFormat;

/// Runs Kubernetes work on an HTCondor pool.
#[derive(Parser, Debug)]
#[command(name = "htc-operator", version, about, max_term_width = 100)]
pub struct Cli {
    /// How log lines look.
    #[arg(long, env = "HTC_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    log_format: LogFormat,

    /// What is logged: `info` (the default), `debug`, or `module=level` pairs.
    #[arg(long, env = "HTC_LOG", global = true)]
    log: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the operator.
    Serve(Box<serve::Arguments>),
    /// Run InterLink's endpoint without Kubernetes, in the place of its plugin and API server.
    Interlink(Box<interlink::Arguments>),
    /// Tell the operator what to do about its database.
    Db(db::Arguments),
    /// Print the CustomResourceDefinition of HTCJob.
    Crd,
    /// Check what the operator needs: pool, credentials, Kubernetes, files, and the way back from workers.
    /// Without Kubernetes: `interlink --doctor`.
    Doctor(Box<doctor::Arguments>),
    /// Print the log of an HTCJob.
    Logs(logs::Arguments),
    /// List the HTCJobs and their HTCondor jobs, as the operator knows them.
    Jobs(jobs::Arguments),
}

/// Does what the command line asks.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { log_format, log, command } = cli;
    // The files of old plugins say what is logged too.
    let command = match command {
        Command::Interlink(arguments) => {
            let plan = interlink::Plan::of(*arguments)?;
            start_logging(log_format, log.as_deref().or(plan.log()).unwrap_or("info"))?;
            return interlink::run(plan).await;
        }
        other => other,
    };
    start_logging(log_format, log.as_deref().unwrap_or("info"))?;
    match command {
        Command::Interlink(_) => unreachable!("it has been run"),
        Command::Serve(arguments) => serve::run(*arguments).await,
        Command::Crd => crd::run(),
        Command::Db(arguments) => db::run(arguments).await,
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

fn start_logging(format: LogFormat, log: &str) -> anyhow::Result<()> {
    use tracing_subscriber::{EnvFilter, fmt};

    let filter = EnvFilter::try_new(log)?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_setting_of_an_operator_has_a_variable_and_a_sentence() {
        let command = Cli::command();
        for name in ["serve", "interlink"] {
            let command = command.find_subcommand(name).unwrap();
            for argument in command.get_arguments().filter(|a| a.get_long().is_some()) {
                let flag = argument.get_long().unwrap();
                let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                let asks_only = ["explain-config", "doctor"].contains(&flag);
                assert!(asks_only || variable.starts_with("HTC_"), "{name} --{flag} has no variable");
                assert!(argument.get_help().is_some(), "{name} --{flag} says nothing of itself");
            }
        }
    }
}
