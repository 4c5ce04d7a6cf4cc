//! Parses the command line and does what it asks.

use clap::Parser;
use htc_operator::cli::{Cli, run};

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    // Once, for everything that speaks TLS here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Runtime::new()?.block_on(run(cli))
}
