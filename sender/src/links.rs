//! Symbolic links in what comes home. HTCondor brings what a link to a file leads to, as the account on the worker sees
//! it: files that no container could read. So links that do not stay in the folder are left out.

use std::fs;
use std::io;
use std::path::Path;

use crate::words::say;

/// So many of them are named.
const NAMED: usize = 20;

/// Removes the links of a folder that lead out of it, or nowhere, and says which. Nobody changes it any more.
pub fn leave_out(folder: &Path) {
    let mut left_out = 0_u64;
    if folder.is_symlink() {
        say(format_args!("left out of what comes home: {} has become a link", folder.display()));
        let made = fs::remove_file(folder).and_then(|()| fs::create_dir(folder));
        made.unwrap_or_else(|error| say(format_args!("it cannot be mended: {error}")));
        return;
    }
    let result = folder.canonicalize().and_then(|root| {
        walk(&root, |link| {
            left_out += 1;
            if left_out <= NAMED as u64 {
                let target = fs::read_link(link).unwrap_or_default();
                say(format_args!(
                    "left out of what comes home: {} is a link to {}",
                    link.display(),
                    target.display()
                ));
            }
        })
    });
    if left_out > NAMED as u64 {
        say(format_args!("{left_out} links in all were left out of what comes home"));
    }
    if let Err(error) = result {
        say(format_args!("links in what comes home could not all be looked at: {error}"));
    }
}

/// Goes through all folders without following a link.
fn walk(root: &Path, mut left_out: impl FnMut(&Path)) -> io::Result<()> {
    let (mut folders, mut failed) = (vec![root.to_owned()], Ok(()));
    while let Some(folder) = folders.pop() {
        // One that we cannot read HTCondor cannot either.
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                failed = failed.and(Err(error));
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_symlink() && !stays_in(root, &path) => {
                    left_out(&path);
                    failed = failed.and(fs::remove_file(&path));
                }
                _ => {}
            }
        }
    }
    failed
}

fn stays_in(root: &Path, link: &Path) -> bool {
    link.canonicalize().is_ok_and(|target| target.starts_with(root))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_where_they_lead_to_what_comes_home_too() {
        let scratch = tempfile::tempdir().unwrap();
        let work = scratch.path().join("work");
        fs::create_dir_all(work.join("deep/er")).unwrap();
        fs::write(work.join("file"), "x").unwrap();
        fs::write(scratch.path().join("secret"), "x").unwrap();
        for (link, target) in [
            ("good", "file"),
            ("deep/good", "../file"),
            ("deep/folder", "er"),
            ("out", "/etc/hostname"),
            ("deep/er/up", "../../../secret"),
            ("nowhere", "/no/such"),
            ("loop", "loop"),
            ("chain", "out"),
        ] {
            symlink(target, work.join(link)).unwrap();
        }
        leave_out(&work);
        let there = |name: &str| work.join(name).symlink_metadata().is_ok();
        for (name, stays) in [
            ("good", true),
            ("deep/good", true),
            ("deep/folder", true),
            ("out", false),
            ("deep/er/up", false),
            ("nowhere", false),
            ("loop", false),
            ("chain", false),
        ] {
            assert_eq!(there(name), stays, "{name}");
        }
        assert!(scratch.path().join("secret").exists() && Path::new("/etc/hostname").exists());
    }

    #[test]
    fn a_folder_that_is_a_link_itself_or_gone_harms_nobody() {
        let scratch = tempfile::tempdir().unwrap();
        leave_out(&scratch.path().join("none"));
        let work = scratch.path().join("work");
        symlink("/proc/self", &work).unwrap();
        leave_out(&work);
        assert!(!work.is_symlink() && work.is_dir());
    }
}
