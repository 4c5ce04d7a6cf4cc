//! Logs are read where they are, and a reader that follows loses and doubles no byte.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use htc_core::workload::report::Phase;
use htc_operator::engine::{LogError, LogOptions, Piece, Wanted};

use crate::harness::running;
use crate::life::{Life, PATIENCE, uid};
use crate::pool::{Ending, Fault, Planned, Scripted};

super::claims![
    the_log_of_a_running_job_is_read_as_far_as_it_is,
    a_reader_that_follows_gets_every_byte_once_across_the_end,
    readers_of_one_log_share_one_tool,
    a_job_that_starts_again_begins_its_log_anew_and_says_so,
    a_job_that_waits_says_so_and_is_waited_for,
    a_reader_that_leaves_ends_its_tool_at_once,
    more_readers_than_places_take_turns,
    the_last_lines_and_then_what_is_added,
    what_cannot_be_read_now_comes_home,
    a_removed_job_ends_its_readers_with_the_reason,
    there_is_no_log_of_what_does_not_exist,
];

pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Piece, LogError>> + Send>>;

pub(super) fn follow() -> LogOptions {
    LogOptions { follow: true, ..LogOptions::default() }
}

pub(super) fn logs(life: &Life, index: u32, options: LogOptions) -> Pieces {
    let wanted = Wanted { uid: uid("a"), index, container: "main".to_owned(), options };
    Box::pin(life.engine.logs(wanted))
}

/// Everything to the end: the bytes, the notices, and why it ended.
pub(super) async fn rest(mut pieces: Pieces) -> (String, Vec<String>, Option<LogError>) {
    let (mut log, mut notices, mut end) = (Vec::new(), Vec::new(), None);
    while let Some(piece) = next(&mut pieces).await {
        match piece {
            Ok(Piece::Log(bytes)) => log.extend(bytes),
            Ok(Piece::Notice(text)) => notices.push(text),
            Ok(Piece::Closed) => {}
            Err(why) => end = Some(why),
        }
    }
    (String::from_utf8(log).unwrap(), notices, end)
}

async fn next(pieces: &mut Pieces) -> Option<Result<Piece, LogError>> {
    tokio::time::timeout(PATIENCE, pieces.next()).await.expect("something to come")
}

/// The next bytes, at least so many.
pub(super) async fn some(pieces: &mut Pieces, bytes: usize) -> String {
    let mut log = Vec::new();
    while log.len() < bytes {
        match next(pieces).await.unwrap().unwrap() {
            Piece::Log(more) => log.extend(more),
            other => panic!("{other:?}"),
        }
    }
    String::from_utf8(log).unwrap()
}

pub(super) fn line(second: usize, text: &str) -> String {
    format!(
        "2026-01-01T{:02}:{:02}:{:02}.000000000Z stdout F {text}\n",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Whether a process lives that is no zombie.
fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}

async fn runs(scripted: &Scripted, indices: u32) -> Life {
    let life = Life::on(scripted).await;
    life.open_door();
    life.wish("a", indices).await;
    for index in 0..indices {
        life.is_queued("a", index).await;
    }
    scripted.start_jobs();
    for index in 0..indices {
        life.runs("a", index).await;
    }
    life
}

async fn the_log_of_a_running_job_is_read_as_far_as_it_is() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 1).await;
    scripted.write("a/0/0/0", "log.main", &(line(1, "one") + &line(2, "two") + "2026-01-01T00:"));
    let (log, notices, end) = rest(logs(&life, 0, LogOptions::default())).await;
    assert_eq!((log.as_str(), notices.len(), end.is_none()), ("one\ntwo\n", 0, true));
    let last = LogOptions { tail: Some(1), timestamps: true, ..LogOptions::default() };
    scripted.write("a/0/0/0", "log.main", "00:03.000000000Z stdout F three\n");
    assert_eq!(rest(logs(&life, 0, last)).await.0, "2026-01-01T00:00:03.000000000Z three\n");
    let first = LogOptions { since: Some("2026-01-01T00:00:02Z".parse().unwrap()), ..LogOptions::default() };
    assert_eq!(rest(logs(&life, 0, first)).await.0, "two\nthree\n");
    let previous = LogOptions { previous: true, ..LogOptions::default() };
    scripted.write("a/0/0/0", "log.main.prev", "");
    let end = rest(logs(&life, 0, previous)).await.2;
    assert!(matches!(end, Some(LogError::NoPrevious { .. })), "{end:?}");
    life.end().await;
}

async fn a_reader_that_follows_gets_every_byte_once_across_the_end() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 1).await;
    let mut expected = String::new();
    let mut pieces = logs(&life, 0, follow());
    let mut got = String::new();
    for n in 0..300 {
        let text = format!("line {n} {}", "x".repeat(n * 7 % 900));
        expected += &(text.clone() + "\n");
        // Cut where no record ends.
        let record = line(n, &text);
        let cut = n * 31 % record.len();
        scripted.write("a/0/0/0", "log.main", &record[..cut]);
        if n == 100 {
            got += &some(&mut pieces, 1_000).await;
        }
        scripted.write("a/0/0/0", "log.main", &record[cut..]);
    }
    // This is written when nobody can read it there any more.
    scripted.change(|state| state.queue[0].insert("JobStatus".into(), 6.into()));
    scripted.write("a/0/0/0", "log.main", &line(999, "the last one"));
    scripted.finish("a/0/0/0", Ending::code(0));
    let (more, notices, end) = rest(pieces).await;
    assert!(notices.is_empty() && end.is_none(), "{notices:?} {end:?}");
    assert_eq!(got + &more, expected.clone() + "the last one\n");
    // Now it is home.
    assert_eq!(rest(logs(&life, 0, follow())).await.0, expected + "the last one\n");
    life.end().await;
}

async fn readers_of_one_log_share_one_tool() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 1).await;
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    let mut readers: Vec<Pieces> = (0..5).map(|_| logs(&life, 0, follow())).collect();
    for reader in &mut readers {
        assert_eq!(some(reader, 1).await, "one\n");
    }
    scripted.write("a/0/0/0", "log.main", &line(2, "two"));
    for reader in &mut readers {
        assert_eq!(some(reader, 1).await, "two\n");
    }
    let following =
        || scripted.calls("condor_tail").iter().filter(|c| c.arguments.contains(&"-follow".into())).count();
    assert_eq!(following(), 1);
    scripted.finish_jobs(Ending::code(0));
    for reader in readers {
        assert_eq!(rest(reader).await.0, "");
    }
    life.end().await;
}

async fn a_job_that_starts_again_begins_its_log_anew_and_says_so() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 1).await;
    scripted.write("a/0/0/0", "log.main", &line(1, "first start"));
    let mut pieces = logs(&life, 0, follow());
    assert_eq!(some(&mut pieces, 1).await, "first start\n");
    scripted.make_idle("a/0/0/0");
    let Piece::Notice(why) = pieces.next().await.unwrap().unwrap() else { panic!("more log") };
    assert!(why.contains("lost its machine"), "{why}");
    scripted.start_jobs();
    scripted.write("a/0/0/0", "log.main", &line(2, "second start"));
    let Piece::Notice(why) = pieces.next().await.unwrap().unwrap() else { panic!("more log") };
    assert!(why.contains("begins anew"), "{why}");
    scripted.finish_jobs(Ending::code(0));
    assert_eq!(rest(pieces).await.0, "second start\n");
    life.end().await;
}

async fn a_job_that_waits_says_so_and_is_waited_for() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    let (log, _, end) = rest(logs(&life, 0, LogOptions::default())).await;
    let said = end.unwrap().to_string();
    assert!(log.is_empty() && said.contains("waits in the queue") && said.contains("with -f"), "{said}");
    let mut pieces = logs(&life, 0, follow());
    let Piece::Notice(why) = pieces.next().await.unwrap().unwrap() else { panic!("a log") };
    assert!(why.contains("waits in the queue"), "{why}");
    scripted.hold("a/0/0/0", 1, 0, "via condor_hold (by user alice)");
    let Piece::Notice(why) = pieces.next().await.unwrap().unwrap() else { panic!("a log") };
    assert!(why.contains("on hold") && why.contains("by user alice"), "{why}");
    scripted.make_idle("a/0/0/0");
    life.is_queued("a", 0).await;
    scripted.start_jobs();
    scripted.write("a/0/0/0", "log.main", &line(1, "at last"));
    scripted.finish_jobs(Ending::code(0));
    assert_eq!(rest(pieces).await.0, "at last\n");
    life.end().await;
}

async fn a_reader_that_leaves_ends_its_tool_at_once() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 1).await;
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    let mut pieces = logs(&life, 0, follow());
    some(&mut pieces, 1).await;
    scripted.write("a/0/0/0", "log.main", &line(2, "two"));
    some(&mut pieces, 1).await;
    let tool = scripted.calls("condor_tail").pop().unwrap().pid;
    assert!(lives(tool));
    drop(pieces);
    scripted.eventually("the tool is dead", |_| !lives(tool)).await;
    life.end().await;
}

async fn more_readers_than_places_take_turns() {
    const READERS: u32 = 12;
    let scripted = Scripted::new();
    let life = runs(&scripted, READERS).await;
    for index in 0..READERS {
        scripted.write(&format!("a/{index}/0/0"), "log.main", &line(1, &format!("{index} one")));
    }
    let mut readers: Vec<Pieces> = (0..READERS).map(|index| logs(&life, index, follow())).collect();
    for (index, reader) in readers.iter_mut().enumerate() {
        assert_eq!(some(reader, 1).await, format!("{index} one\n"));
    }
    for index in 0..READERS {
        scripted.write(&format!("a/{index}/0/0"), "log.main", &line(2, &format!("{index} two")));
    }
    for (index, reader) in readers.iter_mut().enumerate() {
        assert_eq!(some(reader, 1).await, format!("{index} two\n"));
    }
    let pids: BTreeSet<u32> = scripted.calls("condor_tail").iter().map(|call| call.pid).collect();
    let alive = pids.into_iter().filter(|pid| lives(*pid)).count();
    assert!(alive <= htc_operator::limits::TAILS_AT_ONCE, "{alive} tools at once");
    scripted.finish_jobs(Ending::code(0));
    for reader in readers {
        assert_eq!(rest(reader).await.0, "");
    }
    life.end().await;
}

async fn the_last_lines_and_then_what_is_added() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 1).await;
    for n in 0..10 {
        scripted.write("a/0/0/0", "log.main", &line(n, &format!("old {n}")));
    }
    let mut pieces = logs(&life, 0, LogOptions { tail: Some(2), ..follow() });
    assert_eq!(some(&mut pieces, 1).await, "old 8\nold 9\n");
    scripted.write("a/0/0/0", "log.main", &line(11, "new"));
    scripted.finish_jobs(Ending::code(0));
    assert_eq!(rest(pieces).await.0, "new\n");
    life.end().await;
}

async fn what_cannot_be_read_now_comes_home() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 1).await;
    let refusal = "Failed to peek at file from starter: Rejecting request, because ENABLE_PEEK_JOB=false";
    scripted.plan(Planned::next("condor_tail", Fault::Fail(refusal.to_owned())).always());
    let why = rest(logs(&life, 0, LogOptions::default())).await.2.unwrap().to_string();
    assert!(why.contains("ENABLE_PEEK_JOB") && why.contains("comes home when the job ends"), "{why}");
    let mut pieces = logs(&life, 0, follow());
    let Piece::Notice(why) = pieces.next().await.unwrap().unwrap() else { panic!("a log") };
    assert!(why.contains("ENABLE_PEEK_JOB"), "{why}");
    scripted.write("a/0/0/0", "log.main", &line(1, "all of it"));
    scripted.finish_jobs(Ending::code(0));
    assert_eq!(rest(pieces).await.0, "all of it\n");
    life.end().await;
}

async fn a_removed_job_ends_its_readers_with_the_reason() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 1).await;
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    let mut pieces = logs(&life, 0, follow());
    assert_eq!(some(&mut pieces, 1).await, "one\n");
    scripted.remove("a/0/0/0");
    let (log, _, end) = rest(pieces).await;
    let why = end.unwrap().to_string();
    assert!(log.is_empty() && why.contains("by user root"), "{why}");
    life.gone("a").await;
    let end = rest(logs(&life, 0, LogOptions::default())).await.2;
    assert!(matches!(end, Some(LogError::Deleted)), "{end:?}");
    life.end().await;
}

async fn there_is_no_log_of_what_does_not_exist() {
    let scripted = Scripted::new();
    let life = runs(&scripted, 2).await;
    let end = rest(logs(&life, 2, LogOptions::default())).await.2.unwrap().to_string();
    assert_eq!(end, "there is no index 2: the job has 2, counted from 0");
    let container = "../main".to_owned();
    let wanted = Wanted { uid: uid("a"), index: 0, container, options: LogOptions::default() };
    let end = rest(Box::pin(life.engine.logs(wanted))).await.2.unwrap().to_string();
    assert_eq!(end, "index 0 has no container ../main; it has main");
    // A job that says that it has ended, and is not home, is waited for.
    let mut report = running("a/1/0/0".parse().unwrap(), 1);
    (report.phase, report.retcode, report.seq) = (Phase::Done, Some(0), 2);
    life.engine.report(report).await.unwrap();
    let mut pieces = logs(&life, 1, LogOptions::default());
    assert!(tokio::time::timeout(Duration::from_millis(300), pieces.next()).await.is_err());
    scripted.write("a/1/0/0", "log.main", &line(1, "mine"));
    scripted.finish("a/1/0/0", Ending::code(0));
    assert_eq!(rest(pieces).await.0, "mine\n");
    life.end().await;
}
