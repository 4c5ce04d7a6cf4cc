//! Starts HTCondor's tools: argument vectors only, a cleared environment, and a deadline that holds
//! without us.
//!
//! Tools hang (a stopped schedd holds `condor_submit` for ever), so each runs under coreutils'
//! `timeout -s KILL` in a process group of its own: it dies in time even when we are gone. A tool
//! that fails tells us nothing about jobs, only that the question was not answered.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use super::pool::Pool;
use crate::limits::{STDERR_KEPT, TOOL_OUTPUT_MAX};

/// What is read at once of a tool that goes on writing.
const PIECE: usize = 64 << 10;

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// `condor_q`, `condor_submit`, ….
    pub tool: &'static str,
    /// Its arguments, without the pool's.
    pub arguments: Vec<String>,
    /// The pool it speaks to.
    pub pool: &'a Pool,
    /// After this it is killed.
    pub deadline: Duration,
}

/// Why a call gave no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// The tool is not installed, or we may not start it.
    #[error("failed to start {tool}: {source}; are HTCondor's tools in PATH?")]
    Start {
        /// Which tool.
        tool: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// It was killed: at its deadline, if nobody else has done it.
    #[error("{tool} {}", killed(*deadline, *after))]
    Deadline {
        /// Which tool.
        tool: &'static str,
        /// Its deadline.
        deadline: Duration,
        /// When it was killed.
        after: Duration,
    },
    /// A signal ended it.
    #[error("{tool} was ended by signal {signal}: {message}")]
    Died {
        /// Which tool.
        tool: &'static str,
        /// Which signal.
        signal: i32,
        /// What it wrote to stderr, on one line.
        message: String,
    },
    /// It said no.
    #[error("{tool} failed: {message}")]
    Failed {
        /// Which tool.
        tool: &'static str,
        /// What it wrote to stderr, on one line.
        message: String,
    },
    /// It said more than is read, and was killed.
    #[error("{tool} said more than {most} bytes and was killed")]
    TooLong {
        /// Which tool.
        tool: &'static str,
        /// So much is read.
        most: u64,
    },
    /// It ended well but what it wrote cannot be read.
    #[error("{tool} gave an answer that cannot be read: {message}")]
    Unreadable {
        /// Which tool.
        tool: &'static str,
        /// Why.
        message: String,
    },
}

impl CallError {
    /// A label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            CallError::Start { .. } => "start",
            CallError::Deadline { .. } => "deadline",
            CallError::Died { .. } => "died",
            CallError::Failed { .. } => "failed",
            CallError::TooLong { .. } => "too_long",
            CallError::Unreadable { .. } => "unreadable",
        }
    }
}

/// Runs a tool to its end and gives what it wrote to stdout.
pub async fn run(call: Call<'_>) -> Result<Vec<u8>, CallError> {
    run_up_to(call, TOOL_OUTPUT_MAX).await
}

/// The same for one whose answer others can make as long as they like: it is killed after so many bytes.
pub async fn run_up_to(call: Call<'_>, most: u64) -> Result<Vec<u8>, CallError> {
    Running::start(&call, None)?.end(most).await
}

/// A tool that has been started. Dropping it kills its process group.
pub struct Running {
    tool: &'static str,
    deadline: Duration,
    began: Instant,
    child: Child,
    stdout: BufReader<tokio::process::ChildStdout>,
    /// Read from the start on: a tool that warns a lot must not wait for us.
    stderr: JoinHandle<Vec<u8>>,
    ended: bool,
}

impl Running {
    /// Starts a tool. `lock` becomes its standard input: the tool does not read it, but as long as
    /// the tool lives, whoever its parent is, the lock on that open file lives too.
    pub fn start(call: &Call<'_>, lock: Option<File>) -> Result<Running, CallError> {
        let Call { tool, arguments, pool, deadline } = call;
        let start = |source| CallError::Start { tool, source };
        let mut command = Command::new("timeout");
        command
            .args(["-s", "KILL", &deadline.as_secs().to_string(), tool])
            .args(pool.arguments())
            .args(arguments)
            .env_clear()
            .envs(pool.environment.iter().map(|(name, value)| (name, value)))
            .envs(pool.config.iter().map(|path| ("CONDOR_CONFIG", path)))
            .stdin(lock.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(start)?;
        let stdout = child.stdout.take().ok_or_else(|| start(std::io::Error::other("no stdout")))?;
        let stderr = tokio::spawn(drain(child.stderr.take()));
        let stdout = BufReader::new(stdout);
        Ok(Running { tool, deadline: *deadline, began: Instant::now(), child, stdout, stderr, ended: false })
    }

    /// The next line of stdout as soon as it is there; empty at its end.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        // What cannot be read is judged by the exit code in `finish`.
        let _ = self.stdout.read_line(&mut line).await;
        line
    }

    /// The next bytes of stdout as soon as they are there; none at its end.
    pub async fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; PIECE];
        // As above.
        let read = self.stdout.read(&mut bytes).await.unwrap_or(0);
        bytes.truncate(read);
        bytes
    }

    /// Waits for the end; gives the rest of stdout.
    pub async fn finish(self) -> Result<Vec<u8>, CallError> {
        self.end(TOOL_OUTPUT_MAX).await
    }

    async fn end(mut self, most: u64) -> Result<Vec<u8>, CallError> {
        let tool = self.tool;
        let mut out = Vec::new();
        let read = (&mut self.stdout).take(most + 1).read_to_end(&mut out).await;
        if out.len() as u64 > most {
            // Nobody reads on, so it would wait until its deadline; it is killed when it is dropped.
            return Err(CallError::TooLong { tool, most });
        }
        let err = (&mut self.stderr).await.unwrap_or_default();
        let status = self.child.wait().await;
        self.ended = true;
        let unreadable = |e: std::io::Error| CallError::Unreadable { tool, message: e.to_string() };
        let status = status.map_err(unreadable)?;
        if status.success() {
            read.map_err(unreadable)?;
            return Ok(out);
        }
        // `timeout -s KILL` kills itself with the tool, or gives 137 when only the tool died.
        use std::os::unix::process::ExitStatusExt;
        if status.code() == Some(137) || status.signal() == Some(9) {
            return Err(CallError::Deadline { tool, deadline: self.deadline, after: self.began.elapsed() });
        }
        let message = one_line(if err.trim_ascii().is_empty() { &out } else { &err });
        // 125 to 127 are given by `timeout` itself, or by a loader that misses a library of the tool.
        if matches!(status.code(), Some(125..=127)) {
            return Err(CallError::Start { tool, source: std::io::Error::other(message) });
        }
        match status
            .signal()
            .or(status.code().filter(|code| (129..192).contains(code)).map(|code| code - 128))
        {
            Some(signal) => Err(CallError::Died { tool, signal, message }),
            None => Err(CallError::Failed { tool, message }),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended in this moment; then there is nothing left to do.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

/// What became of a tool that was killed.
fn killed(deadline: Duration, after: Duration) -> String {
    let (deadline, after) = (deadline.as_secs(), after.as_secs());
    // `timeout` may have begun to count a moment before us.
    if after + 1 >= deadline {
        return format!("did not answer within {deadline} s and was killed");
    }
    format!("was killed after {after} of its {deadline} s, as the kernel does where memory runs out")
}

/// Reads to the end and keeps the beginning.
async fn drain(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut stderr) = stderr {
        // What cannot be read is missing in a message, nothing more.
        let _ = (&mut stderr).take(STDERR_KEPT).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    }
    kept
}

/// What a tool said, fit for one line of a log or a condition.
fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(2_000)]);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "it gave no reason".to_owned() } else { lines.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tool: &'static str, arguments: &[&str], pool: &Pool, seconds: u64) -> Result<Running, CallError> {
        let arguments = arguments.iter().map(|a| a.to_string()).collect();
        Running::start(&Call { tool, arguments, pool, deadline: Duration::from_secs(seconds) }, None)
    }

    fn pool() -> Pool {
        Pool { environment: vec![("PATH".into(), "/usr/bin:/bin".into())], ..Pool::default() }
    }

    #[tokio::test]
    async fn a_tool_that_hangs_is_killed_at_its_deadline() {
        let error = call("sleep", &["600"], &pool(), 1).unwrap().finish().await.unwrap_err();
        assert!(matches!(error, CallError::Deadline { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_tool_that_the_kernel_kills_is_not_called_slow() {
        let error = call("sh", &["-c", "kill -9 $$"], &pool(), 600).unwrap().finish().await.unwrap_err();
        assert!(error.to_string().contains("was killed after 0 of its 600 s"), "{error}");
    }

    #[tokio::test]
    async fn a_tool_that_says_too_much_is_killed_at_once() {
        let pool = pool();
        let call = |tool: &'static str, arguments: &[&str]| {
            let arguments = arguments.iter().map(|a| a.to_string()).collect();
            Call { tool, arguments, pool: &pool, deadline: Duration::from_secs(600) }
        };
        let error = run_up_to(call("yes", &[]), 1 << 20).await.unwrap_err();
        assert!(matches!(error, CallError::TooLong { .. }), "{error}");
        assert_eq!(run_up_to(call("echo", &["abc"]), 4).await.unwrap(), b"abc\n");
    }

    #[tokio::test]
    async fn a_missing_tool_is_told_from_one_that_fails() {
        let error = call("condor_no_such_tool", &[], &pool(), 5).unwrap().finish().await.unwrap_err();
        assert!(matches!(error, CallError::Start { .. }), "{error}");
        let error = call("ls", &["/no/such"], &pool(), 5).unwrap().finish().await.unwrap_err();
        assert!(
            matches!(&error, CallError::Failed { message, .. } if message.contains("/no/such")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_tool_that_could_not_work_is_told_from_one_that_says_no() {
        for code in [125, 126, 127] {
            let script = format!("echo libcondor_utils.so: cannot open >&2; exit {code}");
            let error = call("sh", &["-c", &script], &pool(), 5).unwrap().finish().await.unwrap_err();
            assert!(matches!(error, CallError::Start { .. }), "{error}");
            assert!(error.to_string().contains("libcondor_utils.so"), "{error}");
        }
        for signal in [6, 11, 15] {
            let script = format!("kill -{signal} $$");
            let error = call("sh", &["-c", &script], &pool(), 5).unwrap().finish().await.unwrap_err();
            assert!(matches!(error, CallError::Died { signal: s, .. } if s == signal), "{error}");
        }
    }

    #[tokio::test]
    async fn a_tool_sees_nothing_of_our_environment() {
        let out = call("env", &[], &pool(), 5).unwrap().finish().await.unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "PATH=/usr/bin:/bin\n");
    }

    #[tokio::test]
    async fn a_line_can_be_had_before_the_tool_ends() {
        let script = "echo 1.0 - 1.2; exec sleep 600";
        let mut running = call("sh", &["-c", script], &pool(), 60).unwrap();
        assert_eq!(running.line().await, "1.0 - 1.2\n");
    }
}
