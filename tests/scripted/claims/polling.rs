//! Running jobs are asked for their logs, by the sender's own code over a socket: quickly, without tools,
//! and by nobody but the operator.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use futures::StreamExt;
use htc_core::events::{self, JOB_KEY_HEADER, SIGNATURE_HEADER, Signature, job_key, sign};
use htc_core::poll::{ANSWER_PATH, Answer, Ask, Asks, LogPart, POLL_PATH, Poll, Position, Reply, Want};
use htc_core::workload::names::JobKey;
use htc_core::workload::spec::{Events, ImageSettings, JobSpec, Route};
use htc_operator::callbacks;
use htc_operator::engine::keys::MasterKeys;
use htc_operator::engine::{LogError, LogOptions, Options, Piece};
use htc_sender::log::Closed;
use htc_sender::poll::{Logs, Poller};
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::logs::{Pieces, follow, line, logs, rest, some};
use crate::life::{Life, PATIENCE, options, wish};
use crate::pool::{Ending, Scripted};
use crate::tools::job;

super::claims![
    the_log_of_a_job_that_polls_is_read_without_a_tool,
    a_follower_gets_every_byte_once_through_the_poll_and_across_the_end,
    a_log_that_begins_anew_is_followed_from_file_to_file_and_home,
    a_log_that_begins_anew_under_a_tool_is_whole_at_home,
    a_log_that_began_anew_is_read_in_two_parts,
    those_who_follow_one_log_share_its_answers,
    two_hundred_followers_of_as_many_jobs_need_no_tool,
    a_job_whose_answers_never_arrive_is_read_by_the_tool,
    a_job_says_that_its_log_is_closed_and_goes_on,
    a_job_that_polls_no_more_is_read_by_the_tool_until_it_polls_again,
    a_job_that_does_not_know_what_it_is_asked_is_read_by_the_tool,
    a_poll_that_was_seen_or_was_signed_by_nobody_is_refused,
    an_answer_counts_once_and_only_for_what_was_asked,
    no_body_passes_for_one_of_another_kind,
    polls_are_held_as_long_as_there_is_room_and_jobs_that_are_wanted_find_some,
    polls_and_those_who_follow_end_with_the_operator,
];

/// The callbacks door on a socket, and jobs that poll there.
struct Line {
    door: Router,
    url: String,
    life: Life,
}

impl Line {
    /// So many jobs run, and none of them polls yet.
    async fn with(scripted: &Scripted, indices: u32, polls: usize) -> Line {
        let route = Route { url: String::new(), source: "cern.ch".to_owned(), ca: None };
        let options = Options { route: Some(route), polls, ..options(&scripted.path().join("data")) };
        let life = Life::begin(options, scripted.pool()).await;
        life.open_door();
        life.wish("a", indices).await;
        for index in 0..indices {
            life.is_queued("a", index).await;
        }
        scripted.start_jobs();
        for index in 0..indices {
            life.runs("a", index).await;
            for name in ["log.main", "log.main.prev"] {
                scripted.write(&key(index).to_string(), name, "");
            }
        }
        let keys = MasterKeys::parse("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        let (engine, metrics) = (life.engine.clone(), life.metrics());
        let door = callbacks::router(engine, Arc::new(keys), metrics, callbacks::Options::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = door.clone();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Line { door, url, life }
    }

    /// A job that polls as its sender does, until that is dropped.
    fn poller(&self, scripted: &Scripted, index: u32) -> Poller {
        self.poller_with(scripted, index, Closed::default())
    }

    fn poller_with(&self, scripted: &Scripted, index: u32, closed: Closed) -> Poller {
        let key = key(index);
        let route = Route { url: self.url.clone(), source: "cern.ch".to_owned(), ca: None };
        let events = Events { key_id: "k1".to_owned(), key: secret(&key), route: Some(route) };
        let images = ImageSettings::default();
        let spec = JobSpec::new(&wish("a", 1).workload, "default", key.clone(), "", None, &images, 1);
        let logs = Logs::new(&folder(scripted, index), &spec, closed);
        Poller::start(&events, &key, 1, logs).unwrap()
    }

    /// What the door answers to a body that the job has signed.
    async fn post(&self, path: &str, body: Vec<u8>) -> (u16, HeaderMap, Vec<u8>) {
        self.post_as(&key(0), sign("k1", &secret(&key(0)), &body), path, body).await
    }

    async fn post_as(
        &self,
        key: &JobKey,
        signature: String,
        path: &str,
        body: Vec<u8>,
    ) -> (u16, HeaderMap, Vec<u8>) {
        let request = Request::post(path).header(SIGNATURE_HEADER, signature);
        let request = request.header(JOB_KEY_HEADER, key.to_string()).body(Body::from(body)).unwrap();
        let response = self.door.clone().oneshot(request).await.unwrap();
        let (code, headers) = (response.status().as_u16(), response.headers().clone());
        (code, headers, to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    /// What the only job is asked, when it polls for the n-th time.
    async fn asked(&self, seq: u64) -> Vec<Ask> {
        let (code, headers, body) = self.post(POLL_PATH, poll(0, seq)).await;
        assert_eq!(code, 200, "{}", String::from_utf8_lossy(&body));
        let signature = Signature::parse(headers[SIGNATURE_HEADER].to_str().unwrap()).unwrap();
        assert!(signature.is_of(&secret(&key(0)), &body), "it is not signed");
        let asks = Asks::read(&body).unwrap();
        assert_eq!(asks.seq, seq);
        asks.asks
    }

    fn tails(&self) -> u64 {
        self.life.metric("htc_condor_tails_total")
    }
}

fn key(index: u32) -> JobKey {
    format!("a/{index}/0/0").parse().unwrap()
}

fn secret(key: &JobKey) -> Vec<u8> {
    job_key(&[0; 32], key)
}

fn poll(index: u32, seq: u64) -> Vec<u8> {
    Poll { key: key(index), start: 1, seq, open: vec![] }.write()
}

fn reply(id: u64, answer: Answer) -> Vec<u8> {
    Reply { key: key(0), id, answer }.write(b"")
}

/// The folder in which a job writes.
fn folder(scripted: &Scripted, index: u32) -> PathBuf {
    let state = scripted.state();
    let ad = state.queue.iter().find(|ad| job::text(ad, job::KEY) == key(index).to_string()).unwrap();
    job::spool(&state.spool, ad)
}

/// A log begins anew, as the sender does it.
fn begin_anew(scripted: &Scripted, index: u32) {
    let folder = folder(scripted, index);
    let [now, before, next] = ["log.main", "log.main.prev", "next"].map(|name| folder.join(name));
    std::fs::write(&next, "").unwrap();
    std::fs::rename(&now, before).unwrap();
    std::fs::rename(next, now).unwrap();
}

async fn text(pieces: Pieces) -> String {
    let (log, notices, end) = rest(pieces).await;
    assert!(notices.is_empty() && end.is_none(), "{notices:?} {end:?}");
    log
}

async fn the_log_of_a_job_that_polls_is_read_without_a_tool() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let _poller = here.poller(&scripted, 0);
    let log: String = (0..5_000).map(|n| line(n, &format!("{n} {}", "x".repeat(n % 90)))).collect();
    scripted.write("a/0/0/0", "log.main", &log);
    let read = |options: LogOptions| text(logs(&here.life, 0, options));
    let all = read(LogOptions::default()).await;
    assert_eq!(all.lines().count(), 5_000);
    assert!(all.starts_with("0 \n1 x\n") && log.len() > 2 * htc_core::poll::PIECE);
    assert!(read(LogOptions { tail: Some(4_999), ..LogOptions::default() }).await == all[3..]);
    let last = read(LogOptions { tail: Some(1), timestamps: true, ..LogOptions::default() }).await;
    assert!(last.starts_with("2026-01-01T01:23:19.000000000Z 4999 xx"), "{last}");
    let since = Some("2026-01-01T01:23:18Z".parse().unwrap());
    let last = read(LogOptions { since, limit_bytes: Some(6), ..LogOptions::default() }).await;
    assert_eq!(last, "4998 x");
    let end = rest(logs(&here.life, 0, LogOptions { previous: true, ..LogOptions::default() })).await.2;
    assert!(matches!(end, Some(LogError::NoPrevious { .. })), "{end:?}");
    assert_eq!(here.tails(), 0);
    assert!(here.life.metric("htc_answer_bytes_total") > log.len() as u64);
    here.life.end().await;
}

async fn a_follower_gets_every_byte_once_through_the_poll_and_across_the_end() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let poller = here.poller(&scripted, 0);
    let mut pieces = logs(&here.life, 0, follow());
    let (mut expected, mut got) = (String::new(), String::new());
    for n in 0..300 {
        let said = format!("line {n} {}", "x".repeat(n * 7 % 900));
        expected += &(said.clone() + "\n");
        // Cut where no record ends.
        let record = line(n, &said);
        let cut = n * 31 % record.len();
        scripted.write("a/0/0/0", "log.main", &record[..cut]);
        if n % 100 == 50 {
            got += &some(&mut pieces, 1_000).await;
        }
        scripted.write("a/0/0/0", "log.main", &record[cut..]);
    }
    assert_eq!(here.tails(), 0);
    // How it reads the rest is up to it.
    drop(poller);
    scripted.write("a/0/0/0", "log.main", &line(999, "the last one"));
    scripted.finish("a/0/0/0", Ending::code(0));
    got += &text(pieces).await;
    assert_eq!(got, expected + "the last one\n");
    here.life.end().await;
}

async fn a_log_that_begins_anew_is_followed_from_file_to_file_and_home() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let poller = here.poller(&scripted, 0);
    let mut pieces = logs(&here.life, 0, follow());
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    assert_eq!(some(&mut pieces, 1).await, "one\n");
    scripted.write("a/0/0/0", "log.main", &line(2, "two"));
    begin_anew(&scripted, 0);
    scripted.write("a/0/0/0", "log.main", &line(3, "three"));
    assert_eq!(some(&mut pieces, 10).await, "two\nthree\n");
    // The next change of files is seen only at home.
    drop(poller);
    scripted.write("a/0/0/0", "log.main", &line(4, "four"));
    begin_anew(&scripted, 0);
    scripted.write("a/0/0/0", "log.main", &line(5, "five"));
    scripted.finish("a/0/0/0", Ending::code(0));
    assert_eq!(text(pieces).await, "four\nfive\n");
    assert_eq!(here.tails(), 0);
    here.life.end().await;
}

async fn a_log_that_begins_anew_under_a_tool_is_whole_at_home() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let mut pieces = logs(&here.life, 0, follow());
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    assert_eq!(some(&mut pieces, 1).await, "one\n");
    scripted.write("a/0/0/0", "log.main", &line(2, "two"));
    begin_anew(&scripted, 0);
    scripted.write("a/0/0/0", "log.main", &line(3, "three"));
    scripted.finish("a/0/0/0", Ending::code(0));
    assert_eq!(text(pieces).await, "two\nthree\n");
    assert!(here.tails() > 0);
    here.life.end().await;
}

async fn a_log_that_began_anew_is_read_in_two_parts() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let _poller = here.poller(&scripted, 0);
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    begin_anew(&scripted, 0);
    scripted.write("a/0/0/0", "log.main", &line(2, "two"));
    for _ in ["with the job", "at home"] {
        let previous = LogOptions { previous: true, ..LogOptions::default() };
        assert_eq!(text(logs(&here.life, 0, previous)).await, "one\n");
        assert_eq!(text(logs(&here.life, 0, LogOptions::default())).await, "two\n");
        scripted.finish_jobs(Ending::code(0));
        here.life.ends("a").await;
    }
    assert_eq!(here.tails(), 0);
    here.life.end().await;
}

async fn those_who_follow_one_log_share_its_answers() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let _poller = here.poller(&scripted, 0);
    let mut readers: Vec<Pieces> = (0..20).map(|_| logs(&here.life, 0, follow())).collect();
    for n in 0..10 {
        let said = format!("line {n}\n");
        scripted.write("a/0/0/0", "log.main", &line(n, said.trim()));
        for reader in &mut readers {
            assert_eq!(some(reader, 1).await, said);
        }
    }
    let answers = here.life.metric("htc_answers_total{kind=\"taken\"}");
    assert!(answers < 100, "{answers} answers for 10 lines and 20 readers");
    scripted.finish_jobs(Ending::code(0));
    for reader in readers {
        assert_eq!(text(reader).await, "");
    }
    here.life.end().await;
}

async fn two_hundred_followers_of_as_many_jobs_need_no_tool() {
    const JOBS: u32 = 200;
    let scripted = Scripted::new();
    let here = Line::with(&scripted, JOBS, 1_000).await;
    let _pollers: Vec<Poller> = (0..JOBS).map(|index| here.poller(&scripted, index)).collect();
    let held = || here.life.metric("htc_polls_held") == u64::from(JOBS);
    scripted.eventually("all poll", |_| held()).await;
    let mut readers: Vec<Pieces> = (0..JOBS).map(|index| logs(&here.life, index, follow())).collect();
    let folders: Vec<PathBuf> = (0..JOBS).map(|index| folder(&scripted, index)).collect();
    for n in 0..2 {
        for (index, folder) in folders.iter().enumerate() {
            let mut log = std::fs::OpenOptions::new().append(true).open(folder.join("log.main")).unwrap();
            std::io::Write::write_all(&mut log, line(n, &format!("{index} {n}")).as_bytes()).unwrap();
        }
        for (index, reader) in readers.iter_mut().enumerate() {
            assert_eq!(some(reader, 1).await, format!("{index} {n}\n"));
        }
    }
    assert_eq!(here.tails(), 0);
    here.life.end().await;
}

async fn a_job_whose_answers_never_arrive_is_read_by_the_tool() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let mut pieces = logs(&here.life, 0, follow());
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    let asks = here.asked(1).await;
    let at = Position { head: line(1, "").as_bytes()[..30].to_vec(), offset: 0 };
    let part = LogPart { at, size: line(1, "one").len() as u64, continues: true, closed: false };
    let answer = Reply { key: key(0), id: asks[0].id, answer: Answer::Log(part) };
    assert_eq!(here.post(ANSWER_PATH, answer.write(line(1, "one").as_bytes())).await.0, 204);
    assert_eq!(some(&mut pieces, 1).await, "one\n");
    // From now on only its polls get through.
    scripted.write("a/0/0/0", "log.main", &line(2, "two"));
    let (mut asked_at_once, began) = (false, std::time::Instant::now());
    for seq in 2.. {
        if here.tails() > 0 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it still waits for the answer");
        let asks = here.asked(seq).await;
        asked_at_once |= asks.iter().any(|ask| matches!(&ask.want, Want::Log(want) if !want.wait));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(asked_at_once);
    assert_eq!(some(&mut pieces, 1).await, "two\n");
    here.life.end().await;
}

async fn a_job_says_that_its_log_is_closed_and_goes_on() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let closed = Closed::default();
    let _poller = here.poller_with(&scripted, 0, closed.clone());
    let mut pieces = logs(&here.life, 0, follow());
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    assert_eq!(some(&mut pieces, 1).await, "one\n");
    drop(closed.when_dropped("main"));
    assert_eq!(pieces.next().await.unwrap().unwrap(), Piece::Closed);
    // It waits for the end of the job, and asks no more.
    let answers = here.life.metric("htc_answers_total{kind=\"taken\"}");
    assert_eq!(text(logs(&here.life, 0, LogOptions::default())).await, "one\n");
    assert_eq!(here.life.metric("htc_answers_total{kind=\"taken\"}"), answers + 1);
    scripted.finish_jobs(Ending::code(0));
    assert_eq!(text(pieces).await, "");
    assert_eq!(here.tails(), 0);
    here.life.end().await;
}

async fn a_job_that_polls_no_more_is_read_by_the_tool_until_it_polls_again() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let mut pieces = logs(&here.life, 0, follow());
    let asks = here.asked(1).await;
    scripted.write("a/0/0/0", "log.main", &line(1, "one"));
    let at = Position { head: line(1, "").as_bytes()[..30].to_vec(), offset: 0 };
    let part = LogPart { at, size: line(1, "one").len() as u64, continues: true, closed: false };
    let answer = Reply { key: key(0), id: asks[0].id, answer: Answer::Log(part) };
    assert_eq!(here.post(ANSWER_PATH, answer.write(line(1, "one").as_bytes())).await.0, 204);
    assert_eq!(some(&mut pieces, 1).await, "one\n");
    assert_eq!(here.tails(), 0);
    // It falls silent, and its log begins anew meanwhile.
    scripted.write("a/0/0/0", "log.main", &line(2, "two"));
    begin_anew(&scripted, 0);
    scripted.write("a/0/0/0", "log.main", &line(3, "three"));
    assert_eq!(some(&mut pieces, 10).await, "two\nthree\n");
    assert!(here.tails() > 0);
    let _poller = here.poller(&scripted, 0);
    let answers = || here.life.metric("htc_answers_total{kind=\"taken\"}");
    scripted.write("a/0/0/0", "log.main", &line(4, "four"));
    assert_eq!(some(&mut pieces, 1).await, "four\n");
    scripted
        .eventually("it is asked again", |_| here.life.metric("htc_polls_total{kind=\"asked\"}") > 1)
        .await;
    scripted.write("a/0/0/0", "log.main", &line(5, "five"));
    assert_eq!(some(&mut pieces, 1).await, "five\n");
    assert!(answers() > 1, "{} answers", answers());
    scripted.finish_jobs(Ending::code(0));
    assert_eq!(text(pieces).await, "");
    here.life.end().await;
}

async fn a_job_that_does_not_know_what_it_is_asked_is_read_by_the_tool() {
    for (n, answer) in
        [Answer::Unsupported, Answer::Failed("no such file".to_owned())].into_iter().enumerate()
    {
        let scripted = Scripted::new();
        let here = Line::with(&scripted, 1, 10).await;
        scripted.write("a/0/0/0", "log.main", &line(1, "one"));
        let reader = tokio::spawn(text(logs(&here.life, 0, LogOptions::default())));
        let asks = here.asked(1).await;
        assert_eq!(here.post(ANSWER_PATH, reply(asks[0].id, answer)).await.0, 204, "{n}");
        assert_eq!(reader.await.unwrap(), "one\n");
        assert_eq!(here.tails(), 1);
        here.life.end().await;
    }
}

async fn a_poll_that_was_seen_or_was_signed_by_nobody_is_refused() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let _reader = logs(&here.life, 0, follow());
    let asks = here.asked(5).await;
    // Whoever has seen it gets nothing by it, and the job loses nothing.
    assert_eq!(here.post(POLL_PATH, poll(0, 5)).await.0, 409);
    assert_eq!(here.post(POLL_PATH, poll(0, 4)).await.0, 409);
    assert_eq!(here.asked(6).await, asks);
    let start = Poll { key: key(0), start: 0, seq: 99, open: vec![] }.write();
    assert_eq!(here.post(POLL_PATH, start).await.0, 409);

    let forged = sign("k1", &secret(&key(1)), &poll(0, 7));
    assert_eq!(here.post_as(&key(0), forged, POLL_PATH, poll(0, 7)).await.0, 401);
    let unknown = sign("k9", &secret(&key(0)), &poll(0, 7));
    assert_eq!(here.post_as(&key(0), unknown, POLL_PATH, poll(0, 7)).await.0, 401);
    assert_eq!(here.post(POLL_PATH, poll(1, 7)).await.0, 400);
    assert_eq!(here.post(POLL_PATH, b"htc-poll-1\n{}\n".to_vec()).await.0, 400);
    assert_eq!(here.post(POLL_PATH, vec![b' '; 1 << 20]).await.0, 413);
    let signature = sign("k1", &secret(&key(9)), &poll(9, 1));
    assert_eq!(here.post_as(&key(9), signature, POLL_PATH, poll(9, 1)).await.0, 410);
    for (kind, n) in [("old", 3), ("bad_signature", 2), ("garbage", 3), ("unknown", 1), ("asked", 2)] {
        assert_eq!(here.life.metric(&format!("htc_polls_total{{kind=\"{kind}\"}}")), n, "{kind}");
    }
    here.life.end().await;
}

async fn an_answer_counts_once_and_only_for_what_was_asked() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let mut reader = logs(&here.life, 0, follow());
    let (now, later) = tokio::join!(
        async { tokio::time::timeout(Duration::from_millis(200), reader.next()).await.is_err() },
        here.asked(1)
    );
    assert!(now, "nobody has answered yet");
    let id = later[0].id;
    let answer = |text: &str| {
        let at = Position { head: text.as_bytes()[..30].to_vec(), offset: 0 };
        let part = LogPart { at, size: text.len() as u64, continues: true, closed: false };
        Reply { key: key(0), id, answer: Answer::Log(part) }.write(text.as_bytes())
    };
    let right = answer(&line(1, "right"));
    let forged = sign("k1", &secret(&key(1)), &right);
    assert_eq!(here.post_as(&key(0), forged, ANSWER_PATH, right.clone()).await.0, 401);
    // One byte of the log is another.
    let signature = sign("k1", &secret(&key(0)), &right);
    let changed = answer(&line(1, "wrong"));
    assert_eq!(here.post_as(&key(0), signature, ANSWER_PATH, changed.clone()).await.0, 401);
    assert_eq!(here.post(ANSWER_PATH, reply(id ^ 1, Answer::Unsupported)).await.0, 410);
    assert_eq!(here.post(ANSWER_PATH, vec![b' '; 1 << 20]).await.0, 413);
    assert_eq!(here.post(ANSWER_PATH, right.clone()).await.0, 204);
    assert_eq!(some(&mut reader, 1).await, "right\n");
    assert_eq!(here.post(ANSWER_PATH, right).await.0, 410);
    assert_eq!(here.post(ANSWER_PATH, changed).await.0, 410);
    assert_eq!(here.life.metric("htc_answers_total{kind=\"taken\"}"), 1);
    here.life.end().await;
}

async fn no_body_passes_for_one_of_another_kind() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let report = serde_json::to_vec(&crate::harness::running(key(0), 1)).unwrap();
    for path in [POLL_PATH, ANSWER_PATH] {
        assert_eq!(here.post(path, report.clone()).await.0, 400);
    }
    assert_eq!(here.post(ANSWER_PATH, poll(0, 1)).await.0, 400);
    assert_eq!(here.post(POLL_PATH, reply(1, Answer::Unsupported)).await.0, 400);
    for body in [poll(0, 1), reply(1, Answer::Unsupported)] {
        assert_eq!(here.post(events::PATH, body).await.0, 400);
    }
    here.life.end().await;
}

async fn polls_are_held_as_long_as_there_is_room_and_jobs_that_are_wanted_find_some() {
    let scripted = Scripted::new();
    // One of eight places is kept.
    let here = Line::with(&scripted, 9, 8).await;
    let held: Vec<_> = (0..7)
        .map(|index| {
            let (door, poll) =
                (here.life.engine.clone(), Poll { key: key(index), start: 1, seq: 1, open: vec![] });
            tokio::spawn(async move { door.poll(&poll).await })
        })
        .collect();
    scripted.eventually("seven are held", |_| here.life.metric("htc_polls_held") == 7).await;
    let ask = async |seq: u64| {
        let signature = sign("k1", &secret(&key(8)), &poll(8, seq));
        here.post_as(&key(8), signature, POLL_PATH, poll(8, seq)).await
    };
    let (code, headers, _) = ask(1).await;
    assert_eq!((code, headers["retry-after"].to_str().unwrap()), (503, "300"));
    assert_eq!(headers["connection"], "close");
    // Somebody wants its log, and has it by a tool.
    let reader = logs(&here.life, 8, follow());
    scripted.eventually("a tool", |_| here.tails() > 0).await;
    let (code, _, body) = ask(2).await;
    assert_eq!((code, Asks::read(&body).unwrap().asks.len()), (200, 1));
    drop(reader);
    let mut seq = 3;
    while ask(seq).await.0 != 503 {
        seq += 1;
        tokio::task::yield_now().await;
    }
    held.iter().for_each(|held| held.abort());
    scripted.eventually("none is held", |_| here.life.metric("htc_polls_held") == 0).await;
    here.life.end().await;
}

async fn polls_and_those_who_follow_end_with_the_operator() {
    let scripted = Scripted::new();
    let here = Line::with(&scripted, 1, 10).await;
    let (engine, poll) = (here.life.engine.clone(), Poll { key: key(0), start: 1, seq: 1, open: vec![] });
    let held = tokio::spawn(async move { engine.poll(&poll).await });
    scripted.eventually("it is held", |_| here.life.metric("htc_polls_held") == 1).await;
    here.life.engine.let_go();
    assert_eq!(held.await.unwrap(), Err(htc_operator::engine::PollRefusal::Closing));
    let end = rest(logs(&here.life, 0, follow())).await.2;
    assert!(matches!(end, Some(LogError::Closing)), "{end:?}");
    assert_eq!(here.post(POLL_PATH, self::poll(0, 2)).await.0, 503);
    here.life.end().await;
}
