//! The first process of a job: it starts the one that runs it, passes signals on, and sees to it that
//! nothing is left when that one is killed. The other one does the same for it: HTCondor, or the
//! kernel for want of memory, may kill either.

use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::Sender;

use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::Signals;

use crate::event::Event;
use crate::process::{self, CLEARING, Exit};
use crate::words::say;
use crate::{runtime, signals, tidy, volumes};

/// `htc-sender run`: the executable of a job; its working folder is the job's scratch folder.
pub fn run() -> ExitCode {
    // It is tried again, and a failure told, by the one that runs the job.
    let _ = process::guard();
    match keep() {
        Ok(code) => code,
        Err(error) => {
            say(format_args!("nobody looks after this job if it is killed: {error}"));
            runtime::run(false)
        }
    }
}

/// `htc-sender job`: runs the job under the eyes of the first process, whose life is its stdin.
pub fn job() -> ExitCode {
    runtime::run(true)
}

/// From now on the end of the keeper is an event.
pub fn watch(events: Sender<Event>) -> io::Result<()> {
    std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
        // Nothing is ever written: reading ends when the keeper does.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = events.send(Event::Orphaned);
    })?;
    Ok(())
}

fn keep() -> io::Result<ExitCode> {
    // Before there is a child, so that none of its signals is missed.
    let mut signals = Signals::new(signals::ALL)?;
    let (lifeline, _life) = io::pipe()?;
    let job = process::start_job(lifeline)?;
    for signal in signals.forever() {
        if signal != SIGCHLD {
            process::pass_on(job, signal);
        } else if let Some((_, exit)) = process::reap().into_iter().find(|(pid, _)| *pid == job) {
            return Ok(end(exit));
        }
    }
    Ok(ExitCode::FAILURE)
}

/// Ends as the other one did, and nothing of it is left.
fn end(exit: Exit) -> ExitCode {
    // Empty, unless that one had no time to see to it.
    process::clear_below(CLEARING);
    if let Some(signal) = exit.signal {
        say(format_args!("signal {signal} ended the sender: nothing of its job goes on"));
        volumes::sweep();
        tidy::after_kill(Path::new("."));
        process::die_by(signal);
    }
    ExitCode::from(u8::try_from(exit.code).unwrap_or(1))
}
