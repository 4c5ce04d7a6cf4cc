//! Parses the command line and does what it asks.

use std::process::ExitCode;

use clap::Parser;
use htc_operator::cli::{Cli, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Once, for everything that speaks TLS here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|rt| rt.block_on(run(cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // A person reads this: the chain of reasons, no back trace.
            eprintln!("htc-operator: {why:#}");
            ExitCode::FAILURE
        }
    }
}
