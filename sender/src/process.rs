//! The only place that starts, signals and reaps processes.
//!
//! The sender is a child subreaper: whatever a container leaves behind becomes its child. That is
//! why children are reaped here for all, and never by std, which would wait for one of them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, WaitOptions, WaitStatus};
pub use rustix::process::{Pid, Signal};

/// How long killed processes may take to go.
pub const CLEARING: Duration = Duration::from_secs(5);

/// A command line with its whole environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// All that is in its environment.
    pub env: Vec<(String, OsString)>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// As a shell gives it: 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// Makes this process unreadable for others of the same user, and the parent of all orphans below.
pub fn guard() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Starts the process that runs the job, with everything that this one has but stdin.
pub fn start_job(stdin: PipeReader) -> io::Result<Pid> {
    let job = Command::new(std::env::current_exe()?).arg("job").stdin(stdin).spawn()?;
    Ok(Pid::from_child(&job))
}

/// Starts a process as the leader of a group of its own.
pub fn start(what: &Invocation, stdin: impl Into<OwnedFd>, output: File) -> io::Result<Pid> {
    let mut command = Command::new(&what.program);
    command.args(&what.args).env_clear().envs(what.env.iter().map(|(name, value)| (name, value)));
    command.stdin(stdin.into()).stdout(output.try_clone()?).stderr(output);
    let child = command.process_group(0).spawn()?;
    Ok(Pid::from_child(&child))
}

/// Becomes another program; returns only the reason why not. The program is looked up in the `PATH`
/// of the new environment.
pub fn become_program(
    argv: &[String],
    inherited: impl Iterator<Item = (OsString, OsString)>,
    env: &[(String, String)],
) -> io::Error {
    let Some((program, args)) = argv.split_first() else { return io::ErrorKind::NotFound.into() };
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(inherited).envs(env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::inherit()).exec()
}

/// Every child that has ended since the last call.
pub fn reap() -> Vec<(Pid, Exit)> {
    let ended = || loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(child) => return child.map(|(pid, status)| (pid, exit(status))),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    };
    std::iter::from_fn(ended).collect()
}

fn exit(status: WaitStatus) -> Exit {
    let signal = status.terminating_signal();
    Exit { code: signal.map_or_else(|| status.exit_status().unwrap_or(0), |s| 128 + s), signal }
}

/// Sends a signal to one process. One that has gone needs none.
pub fn signal(pid: Pid, signal: Signal) {
    let _ = rustix::process::kill_process(pid, signal);
}

/// Sends a signal that came to this process to another one.
pub fn pass_on(pid: Pid, number: i32) {
    if let Some(number) = Signal::from_named_raw(number) {
        signal(pid, number);
    }
}

/// Ends this process as this signal does, so that whoever waits for it sees the signal.
pub fn die_by(number: i32) {
    // What catches it or does not end by it, such as a stop, is killed.
    let _ = signal_hook::low_level::emulate_default_handler(number);
    signal(rustix::process::getpid(), Signal::KILL);
}

/// Sends a signal to a process group.
pub fn signal_group(leader: Pid, signal: Signal) {
    let _ = rustix::process::kill_process_group(leader, signal);
}

/// Kills everything below this process. Orphans become our children, so looking again finds those
/// too that were born meanwhile.
pub fn kill_all_below() {
    for pid in below() {
        signal(pid, Signal::KILL);
    }
}

/// Kills and reaps everything below this process, for as long as it takes, up to the limit.
pub fn clear_below(limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while !below().is_empty() {
        kill_all_below();
        reap();
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// All processes below this one: children, their children, ….
fn below() -> HashSet<Pid> {
    let parents: Vec<(Pid, Pid)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((Pid::from_raw(pid)?, parent(pid)?))
        })
        .collect();
    let mut found = HashSet::from([rustix::process::getpid()]);
    loop {
        let child = |(pid, parent): &&(Pid, Pid)| found.contains(parent) && !found.contains(pid);
        let children: Vec<_> = parents.iter().filter(child).map(|(pid, _)| *pid).collect();
        if children.is_empty() {
            found.remove(&rustix::process::getpid());
            return found;
        }
        found.extend(children);
    }
}

/// From `pid (name) state parent …`, where the name may hold anything.
fn parent(pid: i32) -> Option<Pid> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
    Pid::from_raw(parent.parse().ok()?)
}
