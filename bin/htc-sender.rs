//! The command line of the in-job runtime.

use std::process::ExitCode;

const USAGE: &str = "usage: htc-sender run | job | init | probe | --version";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|a| a.to_str().unwrap_or_default()).collect();
    match words[..] {
        ["run"] => htc_sender::run(),
        ["job"] => htc_sender::job(),
        ["init"] => htc_sender::init(),
        ["probe"] => htc_sender::probe(),
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
