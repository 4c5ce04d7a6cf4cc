//! HTCondor's tools as a script: which is called, what is planned for it, what it says.

mod act;
pub mod constraint;
pub mod description;
pub mod faults;
pub mod job;
mod options;
mod parser;
mod query;
pub mod state;
pub mod submit;
mod tail;
mod transfer;

use std::io::Write;
use std::time::{Duration, Instant};

use faults::Fault;
use options::Options;
use state::{Schedd, State};

/// The names that this binary is a tool under.
pub const NAMES: &[&str] = &[
    "condor_submit",
    "condor_q",
    "condor_history",
    "condor_rm",
    "condor_qedit",
    "condor_transfer_data",
    "condor_tail",
    "condor_status",
    "condor_ping",
];

/// The variable that names the state file.
pub const STATE_VARIABLE: &str = "HTC_SCRIPTED_STATE";

/// How long a tool that waits for a moment does so before it goes on by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a tool ends badly.
#[derive(Debug)]
pub struct Failure {
    /// What it writes to stderr.
    text: String,
    /// Its exit code.
    code: u8,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure { text, code: 1 }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::from(format!("scripted: {error}"))
    }
}

/// How a tool ends.
type Outcome = Result<(), Failure>;

/// One call of a tool.
struct Call<'a> {
    schedd: &'a Schedd,
    /// The fault of this call that the tool itself must bring about.
    fault: Option<Fault>,
    /// The state when the call came in.
    before: State,
}

/// Runs a tool and gives its exit code.
pub fn run(tool: &str, arguments: &[String]) -> u8 {
    match call(tool, arguments) {
        Ok(()) => 0,
        Err(Failure { text, code }) => {
            // Nobody to tell when stderr is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
            code
        }
    }
}

fn call(tool: &str, arguments: &[String]) -> Outcome {
    let schedd = &Schedd::of_environment()?;
    let (fault, before) = schedd.change(|state| {
        state.record_call(tool, arguments);
        let fault = state.next_fault(tool);
        (fault, state.clone())
    })?;
    match &fault {
        Some(Fault::Fail(text)) => return Err(Failure::from(text.clone())),
        Some(Fault::Exit { code, text }) => return Err(Failure { text: text.clone(), code: *code }),
        Some(Fault::Signal(number)) => {
            let signal = rustix::process::Signal::from_named_raw(*number);
            let signal = signal.ok_or_else(|| Failure::from(format!("no signal {number}")))?;
            // Rust's own handler lets the first SIGSEGV pass, and takes itself away.
            for _ in 0..2 {
                rustix::process::kill_process(rustix::process::getpid(), signal)
                    .map_err(std::io::Error::from)?;
            }
        }
        Some(Fault::Outage(outage)) => {
            if tool == "condor_history" {
                say("[\n");
            }
            return Err(Failure::from(outage.text(tool, arguments)));
        }
        Some(Fault::Hang) => drop(hang(schedd)?),
        _ => {}
    }
    let call = Call { schedd, fault, before };
    let outcome = Options::parse(arguments).and_then(|options| match tool {
        "condor_submit" => submit::run(call, &options),
        "condor_q" => query::queue(call, &options),
        "condor_history" => query::history(call, &options),
        "condor_status" => query::status(call, &options),
        "condor_ping" => query::ping(call, &options),
        "condor_rm" => act::remove(call, &options),
        "condor_qedit" => act::edit(call, &options),
        "condor_transfer_data" => transfer::run(call, &options),
        "condor_tail" => tail::run(call, &options),
        _ => Err(unscripted(tool)),
    });
    if let Err(Failure { text, .. }) = &outcome
        && text.contains(UNSCRIPTED)
    {
        schedd.change(|state| state.surprises.push(format!("{tool} {arguments:?}: {text}")))?;
    }
    outcome
}

const UNSCRIPTED: &str = "is not scripted";

/// The failure of a tool that was asked for something that only the real one can do.
fn unscripted(what: &str) -> Failure {
    Failure::from(format!("{what} {UNSCRIPTED}"))
}

/// Writes to stdout at once.
fn say(text: &str) {
    say_bytes(text.as_bytes());
}

fn say_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout();
    // A caller that has gone away does not stop a tool.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Never comes back: the tool must be killed.
fn hang(schedd: &Schedd) -> Result<std::convert::Infallible, Failure> {
    let pid = std::process::id();
    schedd.change(|state| state.hanging.push(pid))?;
    loop {
        std::thread::park();
    }
}

/// Waits until `happened`, at most for [`PATIENCE`].
fn wait_until(schedd: &Schedd, happened: impl Fn(&State) -> bool) -> Outcome {
    let started = Instant::now();
    while !happened(&schedd.read()?) && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
