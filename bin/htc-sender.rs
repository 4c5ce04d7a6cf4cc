//! The command line of the in-job runtime.

use std::process::ExitCode;

const USAGE: &str = "usage: htc-sender run | init | --version";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|a| a.to_str().unwrap_or_default()).collect();
    match words[..] {
        ["run"] => htc_sender::run(),
        ["init"] => htc_sender::init(),
        ["--version"] => {
            println!("htc-sender {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
