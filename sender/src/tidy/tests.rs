//! What is tidied of a folder, and what is left alone.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use htc_core::workload::report::Excess;
use rustix::fs::{CWD, FileType as Kind, Mode, mknodat};

use super::*;

const MANY: u32 = 1_000;

fn scratch() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join(WORK)).unwrap();
    fs::create_dir(scratch.path().join(PRIVATE)).unwrap();
    scratch
}

/// Paths below the folder, sorted.
fn below(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut note = |path: &Path, meta: &Metadata| {
        paths.push(path.display().to_string());
        Ok(Next::of(meta))
    };
    walk(folder, u32::MAX, &mut note).unwrap();
    paths.sort();
    paths
}

#[test]
fn only_files_and_folders_and_links_to_files_of_the_folder_stay() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(WORK).join(name);
    fs::create_dir_all(at("sub/empty")).unwrap();
    fs::write(at("sub/file"), "x").unwrap();
    mknodat(CWD, at("sub/fifo"), Kind::Fifo, Mode::RUSR, 0).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    for (name, target) in
        [("in", "sub/file"), ("out", "/etc/hostname"), ("sub/up", "../.."), ("none", "none2")]
    {
        symlink(target, at(name)).unwrap();
    }
    let found = tidy(scratch.path(), MANY);
    assert_eq!((found.excess, found.aside), (None, 0));
    assert_eq!(below(&scratch.path().join(WORK)), ["in", "sub", "sub/empty", "sub/file"]);
    let text = found.left_out().unwrap();
    for part in
        ["sub/fifo (a FIFO)", "socket (a socket)", "out (a link that leads out of the working folder)"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.contains("none (a link that leads nowhere)"), "{text}");
    // A second look finds nothing to do.
    assert_eq!(tidy(scratch.path(), MANY).left_out(), None);
}

#[test]
fn what_only_its_mode_hides_comes_home() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(WORK).join(name);
    fs::create_dir(at("closed")).unwrap();
    for (name, mode) in [("closed/new\nline\u{1b}", 0), ("executable", 0o111), ("read-only", 0o444)] {
        fs::write(at(name), "x").unwrap();
        fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(at("closed"), Permissions::from_mode(0o055)).unwrap();
    fs::set_permissions(at(""), Permissions::from_mode(0o555)).unwrap();
    let found = tidy(scratch.path(), MANY);
    assert_eq!((found.excess, found.left_out()), (None, None));
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("closed"), mode("closed/new\nline\u{1b}")], [0o755, 0o600]);
    assert_eq!([mode(""), mode("executable"), mode("read-only")], [0o755, 0o711, 0o444]);
}

#[test]
fn what_lies_too_deep_or_has_too_long_a_path_stays_behind_and_the_rest_does_not() {
    let scratch = scratch();
    let work = scratch.path().join(WORK);
    fs::create_dir_all(work.join("d/".repeat(DEPTH_MAX + 1))).unwrap();
    let long = "y".repeat(250);
    let mut folder = work.join("long");
    for _ in 0..5 {
        fs::create_dir(&folder).unwrap();
        folder.push(&long);
    }
    fs::write(work.join("file"), "x").unwrap();
    let found = tidy(scratch.path(), MANY);
    assert_eq!((found.excess, found.aside), (Some(Excess::Path), 2));
    let paths = below(&work);
    assert!(paths.contains(&"file".to_owned()) && paths.iter().all(|path| path.len() <= PATH_MAX));
    assert_eq!(paths.iter().map(|path| path.matches('/').count() + 1).max(), Some(DEPTH_MAX));
}

#[test]
fn a_link_to_what_stays_behind_goes_too() {
    let scratch = scratch();
    let work = scratch.path().join(WORK);
    let deepest = "d/".repeat(DEPTH_MAX);
    fs::create_dir_all(work.join(&deepest)).unwrap();
    fs::write(work.join(&deepest).join("file"), "x").unwrap();
    symlink(format!("{deepest}file"), work.join("a")).unwrap();
    let found = tidy(scratch.path(), MANY);
    assert_eq!(found.left_out().unwrap(), "left out of the outputs: a (a link that leads nowhere)");
}

#[test]
fn of_a_folder_with_more_than_the_limit_nothing_travels() {
    let scratch = scratch();
    let work = scratch.path().join(WORK);
    for number in 0..5 {
        fs::write(work.join(number.to_string()), "x").unwrap();
    }
    assert_eq!(tidy(scratch.path(), 5).excess, None);
    assert_eq!(below(&work).len(), 5);
    fs::create_dir(work.join("sixth")).unwrap();
    assert_eq!(tidy(scratch.path(), 5).excess, Some(Excess::Entries { limit: 5 }));
    assert!(below(&work).is_empty() && work.is_dir());
}

#[test]
fn there_is_an_empty_folder_whatever_was_put_in_its_place() {
    type Deed = fn(&Path);
    let deeds: [Deed; 3] = [
        |_| {},
        |work| symlink("/etc", work).unwrap(),
        |work| mknodat(CWD, work, Kind::Fifo, Mode::RUSR, 0).unwrap(),
    ];
    for deed in deeds {
        let scratch = scratch();
        let work = scratch.path().join(WORK);
        fs::remove_dir(&work).unwrap();
        deed(&work);
        assert_eq!(tidy(scratch.path(), MANY).excess, Some(Excess::Unreadable));
        assert!(work.symlink_metadata().unwrap().is_dir() && below(&work).is_empty());
    }
}

#[test]
fn whatever_a_job_does_around_its_folder_too_much_stays_behind() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    fs::remove_dir(at(PRIVATE)).unwrap();
    symlink("/proc", at(PRIVATE)).unwrap();
    fs::create_dir_all(at("left.1/full")).unwrap();
    symlink("/etc/hostname", at("work/out")).unwrap();
    (0..3).for_each(|n| fs::write(at(WORK).join(n.to_string()), "x").unwrap());
    let found = tidy(scratch.path(), 2);
    assert_eq!(found.excess, Some(Excess::Entries { limit: 2 }));
    assert_eq!(below(&at(WORK)), Vec::<String>::new());
    assert!(at("left.1/full").is_dir());
}

#[test]
fn after_a_kill_nothing_travels_that_is_no_file_of_the_job() {
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    for name in ["result.json", "log.main"] {
        mknodat(CWD, at(name), Kind::Fifo, Mode::RUSR, 0).unwrap();
    }
    for name in ["_condor_stdout", "log.main.prev"] {
        symlink("/etc/hostname", at(name)).unwrap();
    }
    fs::write(at("log.side"), "x").unwrap();
    after_kill(scratch.path());
    for name in ["result.json", "log.main", "_condor_stdout", "log.main.prev"] {
        assert!(at(name).symlink_metadata().unwrap().is_file(), "{name}");
        assert_eq!(fs::read(at(name)).unwrap(), b"", "{name}");
    }
    assert_eq!(fs::read(at("log.side")).unwrap(), b"x");
}
