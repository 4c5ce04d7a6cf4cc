//! The first process of a container: takes its orders from the sender outside and becomes the
//! user's program.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use htc_core::workload::report::CANNOT_RUN;

use crate::handshake::{self, Failure, Request};
use crate::process;

/// As shells have it: found, but may not be run.
const MAY_NOT_RUN: i32 = 126;

/// `htc-sender init`: its stdin is the socket of the handshake. Returns only when it failed.
pub fn init() -> ExitCode {
    let (request, [stdin, stdout, stderr, pipe]) = match handshake::report_for_duty(io::stdin()) {
        Ok(orders) => orders,
        Err(error) => {
            eprintln!("htc-sender init is started by htc-sender run only: {error}");
            return ExitCode::from(2);
        }
    };
    let failure = become_program(&request, [stdin, stdout, stderr]);
    // What the sender does not get to know, it sees as an exit with this code.
    let _ = serde_json::to_vec(&failure).map(|text| File::from(pipe).write_all(&text));
    ExitCode::from(u8::try_from(failure.exit_code).unwrap_or(1))
}

fn become_program(request: &Request, [stdin, stdout, stderr]: [OwnedFd; 3]) -> Failure {
    let streams = || {
        rustix::stdio::dup2_stdin(stdin)?;
        rustix::stdio::dup2_stdout(stdout)?;
        rustix::stdio::dup2_stderr(stderr)
    };
    if let Err(error) = streams() {
        return Failure { exit_code: CANNOT_RUN, message: format!("cannot set up its streams: {error}") };
    }
    for (target, path) in &request.links {
        // Where it cannot be made, nobody misses it so much that the program should not run.
        let _ = std::os::unix::fs::symlink(target, path);
    }
    if let Some(folder) = &request.working_dir
        && let Err(error) = std::env::set_current_dir(folder)
    {
        return failure(&error, format!("cannot start in folder {folder:?}: {}", plain(&error)));
    }
    let inherited = std::env::vars_os().filter(|(name, _)| !is_noise(&name.to_string_lossy()));
    let error = process::become_program(&request.argv, inherited, &request.env);
    let program = request.argv.first().map_or("", String::as_str);
    let why = match error.kind() {
        io::ErrorKind::NotFound if !program.contains('/') => "executable file not found in $PATH".to_owned(),
        _ => plain(&error),
    };
    failure(&error, format!("exec: {program:?}: {why}"))
}

/// Variables that apptainer leaves for itself: settings that would steer a second apptainer inside,
/// and what its shell leaves. What comes from the image (`PATH`, …) stays.
fn is_noise(name: &str) -> bool {
    let prefixes = ["APPTAINER", "SINGULARITY"];
    prefixes.iter().any(|p| name.starts_with(p))
        || matches!(name, "PROMPT_COMMAND" | "PS1" | "PWD" | "OLDPWD" | "SHLVL")
}

fn failure(error: &io::Error, message: String) -> Failure {
    let exit_code = match error.kind() {
        io::ErrorKind::PermissionDenied => MAY_NOT_RUN,
        _ => CANNOT_RUN,
    };
    Failure { exit_code, message }
}

/// The error in words that users of containers know, without the number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    words.to_lowercase()
}
