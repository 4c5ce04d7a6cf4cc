//! Tests of what a job says of its logs to those who ask.

use std::fs;

use super::*;

struct Folder {
    folder: tempfile::TempDir,
    logs: Logs,
}

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs {
            scratch: folder.path().to_owned(),
            containers: vec!["main".to_owned()],
            closed: Closed::default(),
        };
        let new = Folder { folder, logs };
        new.write("log.main", "");
        new.write("log.main.prev", "");
        new
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// As the writer of a log does it.
    fn begin_anew(&self, text: &str) {
        let [now, before] = ["log.main", "log.main.prev"].map(|name| self.folder.path().join(name));
        fs::rename(now, before).unwrap();
        self.write("log.main", text);
    }

    fn read(&self, from: Begin, wait: bool) -> Found {
        self.logs.read(&LogWant { container: "main".to_owned(), previous: false, from, wait })
    }

    /// Where it is, how it got there and what is there.
    fn go_on(&self, at: &Position) -> (Position, bool, String) {
        match self.read(Begin::Position(at.clone()), false) {
            Found::Part(part, bytes) => (part.at, part.continues, String::from_utf8(bytes).unwrap()),
            other => panic!("{other:?}"),
        }
    }
}

fn line(n: u32) -> String {
    format!("2026-01-01T00:00:00.{n:09}Z stdout F {n}\n")
}

fn after(text: &str) -> Position {
    Position { head: text.as_bytes()[..HEAD.min(text.len())].to_vec(), offset: text.len() as u64 }
}

#[test]
fn the_last_lines_are_found_where_the_log_is() {
    let folder = Folder::new();
    folder.write("log.main", &(line(1) + &line(2) + &line(3)));
    let Found::Part(part, bytes) = folder.read(Begin::Lines(2), false) else { panic!("nothing") };
    assert_eq!(String::from_utf8(bytes).unwrap(), line(2) + &line(3));
    assert_eq!((part.at.offset, part.size), (line(1).len() as u64, 3 * line(1).len() as u64));
}

#[test]
fn what_is_not_there_yet_is_waited_for_only_by_those_who_want_to() {
    let folder = Folder::new();
    assert_eq!(folder.read(Begin::Start, true), Found::NotYet);
    let part = LogPart { at: Position { head: vec![], offset: 0 }, size: 0, continues: true, closed: false };
    assert_eq!(folder.read(Begin::Start, false), Found::Part(part, vec![]));
    folder.write("log.main", &line(1));
    assert_eq!(folder.read(Begin::Position(after(&line(1))), true), Found::NotYet);
}

#[test]
fn who_has_come_to_the_end_of_a_closed_log_is_told_so_and_waits_no_more() {
    let folder = Folder::new();
    let closes = folder.logs.closed.when_dropped("main");
    folder.write("log.main", &line(1));
    folder.begin_anew(&line(2));
    let (between, end) = (after(&line(1)), after(&line(2)));
    let told = |from: &Position| match folder.read(Begin::Position(from.clone()), true) {
        Found::Part(part, bytes) => Some((String::from_utf8(bytes).unwrap(), part.closed)),
        Found::NotYet => None,
        Found::Failed(why) => panic!("{why}"),
    };
    assert_eq!([told(&between), told(&end)], [Some((line(2), false)), None]);
    drop(closes);
    assert_eq!([told(&between), told(&end)], [Some((line(2), true)), Some((String::new(), true))]);
    // The file before has a next one.
    let start = Position { head: line(1).as_bytes()[..HEAD.min(line(1).len())].to_vec(), offset: 0 };
    assert_eq!(told(&start), Some((line(1), false)));
}

#[test]
fn a_reader_goes_on_in_the_next_file_without_losing_a_byte() {
    let folder = Folder::new();
    folder.write("log.main", &(line(1) + &line(2)));
    let mut at = after(&line(1));
    folder.begin_anew(&line(3));
    let mut read = String::new();
    for _ in 0..2 {
        let (from, continues, text) = folder.go_on(&at);
        assert!(continues);
        at = Position { offset: from.offset + text.len() as u64, ..from };
        read += &text;
    }
    assert_eq!(read, line(2) + &line(3));
    assert_eq!(at, after(&line(3)));
}

#[test]
fn what_was_begun_anew_twice_is_told_and_read_from_the_oldest_file() {
    let folder = Folder::new();
    folder.write("log.main", &line(1));
    let at = after(&line(1));
    folder.begin_anew(&line(2));
    folder.begin_anew(&line(3));
    assert_eq!(folder.go_on(&at), (Position { offset: 0, ..after(&line(2)) }, false, line(2)));
    // Another start of the job has nothing before.
    folder.write("log.main.prev", "");
    assert_eq!(folder.go_on(&at), (Position { offset: 0, ..after(&line(3)) }, false, line(3)));
}

#[test]
fn a_piece_is_no_larger_than_it_may_be_and_says_how_much_there_is() {
    let folder = Folder::new();
    let log = line(1).repeat(PIECE / 30);
    folder.write("log.main", &log);
    let Found::Part(part, bytes) = folder.read(Begin::Start, false) else { panic!("nothing") };
    assert_eq!((bytes.len(), part.size), (PIECE, log.len() as u64));
}

#[test]
fn nothing_but_logs_is_read() {
    let folder = Folder::new();
    let read = |container: &str| {
        let container = container.to_owned();
        folder.logs.read(&LogWant { container, previous: false, from: Begin::Start, wait: false })
    };
    assert!(matches!(read("../main"), Found::Failed(_)));
    let path = folder.folder.path().join("log.main");
    folder.write("secret", "secret");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("secret", &path).unwrap();
    assert!(matches!(read("main"), Found::Failed(_)));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(read("main"), Found::Failed(_)));
    // One that is being begun anew comes back.
    fs::remove_dir(&path).unwrap();
    assert_eq!(read("main"), Found::NotYet);
}
