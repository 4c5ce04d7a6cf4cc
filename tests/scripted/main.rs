//! The operator against scripted HTCondor tools: one binary that is the tests, the tools (by the
//! name it is called with) and the process in which the engine is crashed.

#[allow(clippy::unwrap_used, reason = "it is for tests")]
mod endpoint;
mod harness;
#[allow(dead_code, reason = "some verbs are for tests only, some for the harness only")]
mod life;
#[allow(dead_code, reason = "some verbs are for tests of the engine")]
mod pool;
#[allow(clippy::unwrap_used, reason = "it is for tests")]
mod releases;
mod tools;
mod waiting;

#[allow(clippy::unwrap_used, reason = "these are tests")]
mod claims;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let called = arguments.next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if tools::NAMES.contains(&name) {
        return ExitCode::from(tools::run(name, &arguments.collect::<Vec<_>>()));
    }
    // `cargo test engine` gives this word as a filter; only a test sets the variable.
    if arguments.next().as_deref() == Some("engine") && std::env::var_os(tools::STATE_VARIABLE).is_some() {
        return ExitCode::from(harness::run(arguments.next()));
    }
    let mut arguments = libtest_mimic::Arguments::from_args();
    // They wait for processes most of their time.
    arguments.test_threads.get_or_insert(32);
    libtest_mimic::run(&arguments, claims::all()).exit_code()
}
