//! `htc-operator db`.

use clap::{Args, Subcommand};

use crate::config::DataSettings;
use crate::control::client;

/// What to do with the database.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Say that the database belongs to the queue that answers, although they differ: the operator submits,
    /// removes and ends jobs again.
    Accept {
        #[command(flatten)]
        data: DataSettings,
    },
}

/// Asks the operator that runs with the data folder.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Command::Accept { data } = arguments.command;
    let differences = client::accept(&data.data_dir).await?.differences;
    if differences.is_empty() {
        println!("The database and the queue belong together; nothing has changed.");
    } else {
        println!("Accepted: {}.", differences.join("; "));
    }
    Ok(())
}
