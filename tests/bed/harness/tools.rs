//! Tools of HTCondor's in whose place the operator finds others: slow ones, dying ones.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::bed::Bed;
use super::patience::until;

/// The first time, the real tool writes its line into a pipe that is full, and is killed there.
/// Each later time it is the real tool.
pub const DYING_SUBMIT: &str = r#"#!/bin/bash
mkdir "$0.called" 2>/dev/null || exec /usr/bin/condor_submit "$@"
mkfifo "$0.pipe"
exec 3<>"$0.pipe"
dd if=/dev/zero of="$0.pipe" bs=4096 count=1000 oflag=nonblock 2>/dev/null
/usr/bin/condor_submit "$@" >&3 &
until [ -e "$0.go" ]; do sleep 0.1; done
kill -KILL $!
exit 1
"#;

/// The first time, the tool takes its time before it does anything; what it holds, it goes on holding.
pub const SLOW_SUBMIT: &str = r#"#!/bin/bash
mkdir "$0.called" 2>/dev/null || exec /usr/bin/condor_submit "$@"
until [ -e "$0.go" ]; do sleep 0.1; done
exec /usr/bin/condor_submit "$@"
"#;

/// The first times, the tool fails in ways that say nothing about a job. Later it is the real tool.
pub const FAILING_SUBMIT: &str = r#"#!/bin/bash
times=$(find "$0".failed.* -maxdepth 0 2>/dev/null | wc -l)
mkdir "$0.failed.$times"
case $times in
  0) echo "what is this?" >&2; exit 1 ;;
  1) kill -SEGV $$ ;;
  2) echo "error while loading shared libraries: libcondor_utils.so" >&2; exit 127 ;;
esac
exec /usr/bin/condor_submit "$@"
"#;

/// A tool in whose place the operator finds another.
pub struct Tool(PathBuf);

impl Bed {
    /// Lets the operator find another tool of this name, from its next start on.
    pub fn replace_tool(&mut self, name: &str, script: &str) -> Tool {
        let tools = self.folder.join("tools");
        let tool = tools.join(name);
        fs::create_dir_all(&tools).unwrap();
        fs::write(&tool, script).unwrap();
        fs::set_permissions(&tool, Permissions::from_mode(0o755)).unwrap();
        self.set("PATH", Some(&format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())));
        Tool(tool)
    }
}

impl Tool {
    /// Waits until the operator has called it.
    pub async fn until_called(&self) {
        until("the tool to be called", async || match self.0.with_extension("called").exists() {
            true => Ok(()),
            false => Err("it was not".to_owned()),
        })
        .await;
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        fs::write(self.0.with_extension("go"), "").unwrap();
    }
}
