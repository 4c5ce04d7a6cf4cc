//! What a job leaves in `work`, made fit to travel once nothing of the user runs any more.
//!
//! HTCondor's starter carries `work` home outside of the container, as the account of all jobs of the operator. It
//! follows links to files, waits for ever for somebody who writes to a FIFO, and tells the path of what it cannot read
//! in the job's ad. So links that lead out of `work` go, and whatever is neither file nor folder; what is too much
//! stays beside it, where it does not travel and goes with the job.

mod found;
mod links;
mod walk;

use std::fs::{self, DirBuilder, FileType, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use htc_core::workload::report::Excess;
use htc_core::workload::spec::{JobSpec, MAX_OUTPUT_FILES};
use rustix::fs::{Access, access};

use crate::outputs::{PRIVATE, SPARE, WORK};
use crate::words::say;
use crate::{log, outputs};
pub use found::Found;
use found::Why;
use walk::{Next, walk};

/// How deep a file may lie in `work`. HTCondor tells of deep paths at length, and keeps the folders on the way to
/// them in memory.
const DEPTH_MAX: usize = 64;
/// The longest path in `work`, in bytes: the spool, and the operator's data folder, have room before it
/// within the 4,096 bytes of a path.
const PATH_MAX: usize = 1_000;

/// Makes all outputs of a job fit to travel, and says in the log of its first container what was in the way.
pub fn outputs_of(job: &JobSpec, scratch: &Path) -> Found {
    let all = job.init_containers.iter().chain(&job.containers);
    let names: Vec<String> = all.map(|container| container.name.clone()).collect();
    mend(scratch, &names);
    let found = tidy(scratch, job.max_output_files);
    for text in found.told() {
        say(&text);
        if let Some(first) = job.containers.first() {
            let added = log::add(&outputs::log(scratch, &first.name), &scratch.join(PRIVATE), &text);
            added.unwrap_or_else(|why| say(format_args!("the log does not say so: {why}")));
        }
    }
    found
}

/// The same for a job whose own sender was killed: HTCondor carries its outputs home nevertheless. What the job may
/// have is not known any more.
pub fn after_kill(scratch: &Path) {
    mend(scratch, &[]);
    tidy(scratch, MAX_OUTPUT_FILES).told().for_each(say);
}

fn mend(scratch: &Path, containers: &[String]) {
    if let Err(error) = outputs::mend(scratch, containers) {
        say(error);
    }
}

/// Makes what lies in `work` fit to travel; it may have `limit` files, folders and links. Says what became of it.
fn tidy(scratch: &Path, limit: u32) -> Found {
    if let Ok(meta) = scratch.symlink_metadata() {
        // A job without an image may have taken our right to write here.
        make_readable(scratch, &meta);
    }
    let mut tidying =
        Tidying { scratch: scratch.to_owned(), work: scratch.join(WORK), found: Found::default() };
    if let Err(excess) = tidying.whole(limit) {
        tidying.found.excess = Some(excess);
        if let Err(why) = tidying.begin_anew() {
            say(format_args!("cannot keep {WORK} from travelling: {why}"));
        }
    }
    tidying.found
}

struct Tidying {
    /// The job's folder, of which only what is named travels: what is too much lies there.
    scratch: PathBuf,
    work: PathBuf,
    found: Found,
}

/// What is to be done with something in `work`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// A folder or a file, if it can be read.
    Keep,
    /// To be judged when all else is settled, since it may lead to what goes.
    Link,
    /// It goes.
    Remove(Why),
    /// It stays behind, and the job has failed for it.
    SetAside,
}

fn rule(kind: FileType, path: &Path) -> Rule {
    match kind {
        _ if path.as_os_str().len() > PATH_MAX || path.components().count() > DEPTH_MAX => Rule::SetAside,
        _ if kind.is_dir() || kind.is_file() => Rule::Keep,
        _ if kind.is_symlink() => Rule::Link,
        _ if kind.is_fifo() => Rule::Remove(Why::Fifo),
        _ if kind.is_socket() => Rule::Remove(Why::Socket),
        _ => Rule::Remove(Why::Device),
    }
}

impl Tidying {
    fn whole(&mut self, limit: u32) -> Result<(), Excess> {
        let work = self.work.clone();
        if !work.symlink_metadata().is_ok_and(|meta| meta.is_dir() && make_readable(&work, &meta)) {
            say(format_args!("{WORK} is no folder any more"));
            return Err(Excess::Unreadable);
        }
        walk(&work, limit, |path, meta| self.settle(path, meta))?;
        walk(&work, limit, |path, meta| self.judge_link(path, meta))
    }

    fn settle(&mut self, path: &Path, meta: &Metadata) -> io::Result<Next> {
        let whole = self.work.join(path);
        match rule(meta.file_type(), path) {
            Rule::Keep if make_readable(&whole, meta) => return Ok(Next::of(meta)),
            Rule::Keep if meta.is_dir() => self.set_aside(&whole, Excess::Unreadable)?,
            Rule::Keep => self.remove(path, Why::Unreadable)?,
            Rule::Remove(why) => self.remove(path, why)?,
            Rule::SetAside => {
                // Who moves a folder elsewhere writes in it.
                let _ = make_readable(&whole, meta);
                self.set_aside(&whole, Excess::Path)?;
            }
            Rule::Link => {}
        }
        Ok(Next::Beside)
    }

    fn judge_link(&mut self, path: &Path, meta: &Metadata) -> io::Result<Next> {
        if meta.is_symlink()
            && let Err(why) = links::leads_to_file(&self.work, path)
        {
            self.remove(path, why)?;
        }
        Ok(Next::of(meta))
    }

    fn remove(&mut self, path: &Path, why: Why) -> io::Result<()> {
        fs::remove_file(self.work.join(path))?;
        self.found.removed(path, why);
        Ok(())
    }

    /// To where it goes with the job. It is never taken apart: it may have millions of files.
    fn set_aside(&mut self, whole: &Path, excess: Excess) -> io::Result<()> {
        self.found.excess.get_or_insert(excess);
        loop {
            self.found.aside += 1;
            let place = self.scratch.join(format!("left.{}", self.found.aside));
            // Somebody may have put something there.
            if place.symlink_metadata().is_err() {
                return fs::rename(whole, place);
            }
        }
    }

    /// Nothing of `work` travels; but there must be one, or HTCondor puts the job on hold.
    fn begin_anew(&mut self) -> io::Result<()> {
        let work = self.work.clone();
        if work.symlink_metadata().is_ok() {
            self.set_aside(&work, Excess::Unreadable)?;
        }
        // A full disk has no room for a new folder.
        fs::rename(self.scratch.join(SPARE), &work).or_else(|_| DirBuilder::new().mode(0o755).create(&work))
    }
}

/// Makes a file or folder readable where its mode is in the way; says whether it is.
fn make_readable(path: &Path, meta: &Metadata) -> bool {
    let mode = meta.permissions().mode();
    let (enough, given, wanted) = match meta.is_dir() {
        true => (0o700, 0o700, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK),
        false => (0o400, 0o600, Access::READ_OK),
    };
    if mode & enough != enough {
        // Where it is not ours, what follows tells.
        let _ = fs::set_permissions(path, Permissions::from_mode(mode | given));
    }
    access(path, wanted).is_ok()
}

#[cfg(test)]
mod tests;
