//! Where a link leads, by its words: never by what it would lead this process to, since `/proc/self` is another one
//! for HTCondor's starter.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::found::Why;

/// A link is followed for so many steps. Each takes a look at the disk, and there may be a link for each file.
const STEPS: usize = 100;

/// Whether HTCondor finds a file of `work` behind a link at this path below it. What lies between must be folders: a link
/// to a folder does not travel, and whatever leads over it would lead nowhere.
pub fn leads_to_file(work: &Path, link: &Path) -> Result<(), Why> {
    let kind = |path: &Path| work.join(path).symlink_metadata().map(|meta| meta.file_type());
    let mut path: PathBuf = link.to_owned();
    let mut steps = 0;
    while steps < STEPS {
        match kind(&path) {
            Ok(kind) if kind.is_file() => return Ok(()),
            Ok(kind) if kind.is_dir() => return Err(Why::LinkToFolder),
            Ok(kind) if kind.is_symlink() => {}
            _ => return Err(Why::LinkNowhere),
        }
        let target = fs::read_link(work.join(&path)).map_err(|_| Why::LinkNowhere)?;
        path.pop();
        for part in target.components() {
            steps += 1;
            if steps > STEPS || !kind(&path).is_ok_and(|kind| kind.is_dir()) {
                return Err(Why::LinkNowhere);
            }
            match part {
                Component::CurDir => {}
                Component::Normal(name) => path.push(name),
                Component::ParentDir if path.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Why::LinkOut),
            }
        }
    }
    Err(Why::LinkNowhere)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_stays_only_where_words_alone_lead_to_a_file_of_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let work = scratch.path().join("work");
        fs::create_dir_all(work.join("deep/er")).unwrap();
        fs::write(scratch.path().join("secret"), "").unwrap();
        fs::write(work.join("file"), "").unwrap();
        fs::write(work.join("deep/er/file"), "").unwrap();
        let whole = work.join("file").display().to_string();
        // What this process, and no other, would find there.
        let mine = format!("/proc/self/cwd/{whole}");
        let cases: [(&str, &str, Result<(), Why>); 16] = [
            ("plain", "file", Ok(())),
            ("deep/up", "../file", Ok(())),
            ("deep/down", "./er/../er/file", Ok(())),
            ("twice", "plain", Ok(())),
            ("etc", "/etc/hostname", Err(Why::LinkOut)),
            ("whole", &whole, Err(Why::LinkOut)),
            ("mine", &mine, Err(Why::LinkOut)),
            ("secret", "../secret", Err(Why::LinkOut)),
            ("there-and-back", "../work/file", Err(Why::LinkOut)),
            ("over-etc", "etc", Err(Why::LinkOut)),
            ("folder", "deep", Err(Why::LinkToFolder)),
            ("itself", ".", Err(Why::LinkToFolder)),
            ("over-folder", "folder/er/file", Err(Why::LinkNowhere)),
            ("nowhere", "no-such", Err(Why::LinkNowhere)),
            ("round", "round", Err(Why::LinkNowhere)),
            ("through-file", "file/../file", Err(Why::LinkNowhere)),
        ];
        for (name, target, _) in &cases {
            symlink(target, work.join(name)).unwrap();
        }
        for (name, target, led) in cases {
            assert_eq!(leads_to_file(&work, Path::new(name)), led, "{name} -> {target}");
        }
    }

    #[test]
    fn no_link_is_followed_for_long() {
        let work = tempfile::tempdir().unwrap();
        fs::create_dir(work.path().join("d")).unwrap();
        fs::write(work.path().join("file"), "").unwrap();
        symlink("d/../".repeat(700) + "file", work.path().join("long")).unwrap();
        assert_eq!(leads_to_file(work.path(), Path::new("long")), Err(Why::LinkNowhere));
    }
}
