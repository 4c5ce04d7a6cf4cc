//! The InterLink endpoint from outside: the real program, its own listeners, scripted HTCondor tools. The
//! tests know the wire and the settings, not the source. The same binary is the tools, by the name it is
//! called with. What needs a real pool is in `tests/bed/interlink/`.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod checklist;
mod claims;
#[allow(dead_code, reason = "some verbs are for the tests on the bed")]
mod client;
mod door;
mod jobs;
#[allow(dead_code, reason = "some verbs are for tests of the engine")]
#[path = "../scripted/pool.rs"]
mod pool;
#[allow(dead_code, reason = "some verbs are for tests of the engine")]
#[path = "../scripted/tools/mod.rs"]
mod tools;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let called = arguments.next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if tools::NAMES.contains(&name) {
        return ExitCode::from(tools::run(name, &arguments.collect::<Vec<_>>()));
    }
    let mut arguments = libtest_mimic::Arguments::from_args();
    // They wait for processes most of their time.
    arguments.test_threads.get_or_insert(8);
    libtest_mimic::run(&arguments, claims::all()).exit_code()
}
