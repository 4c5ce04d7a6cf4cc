//! What a job does with what it is asked while it runs.

use std::collections::VecDeque;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use htc_core::events::{SIGNATURE_HEADER, Signature, job_key, sign};
use htc_core::poll::{
    ANSWER_PATH, Answer, Ask, Asks, Begin, LogWant, PIECE, POLL_PATH, Poll, Position, Reply, Want,
};
use htc_core::workload::container::Image;
use htc_core::workload::spec::JobSpec;
use serde_json::json;

use crate::reports::{Request, events, read};
use crate::scratch::{Running, Scratch, job};

const LONG: Duration = Duration::from_secs(60);

/// An operator that takes reports, holds polls until it is told what to ask, and takes answers.
struct Operator {
    url: String,
    polls: Receiver<Poll>,
    replies: Receiver<(Reply, Vec<u8>)>,
    next: Arc<Next>,
}

#[derive(Default)]
struct Next {
    /// What the next polls are answered, as bodies with their signatures.
    asks: Mutex<VecDeque<Vec<Ask>>>,
    bell: Condvar,
    /// Whether somebody else answers.
    forged: bool,
}

impl Operator {
    fn new(forged: bool) -> Operator {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ((poll, polls), (reply, replies)) = (channel(), channel());
        let next = Arc::new(Next { forged, ..Next::default() });
        let shared = next.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (poll, reply, next) = (poll.clone(), reply.clone(), shared.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &poll, &reply, &next));
            }
        });
        Operator { url, polls, replies, next }
    }

    fn ask(&self, asks: Vec<Ask>) {
        self.next.asks.lock().unwrap().push_back(asks);
        self.next.bell.notify_all();
    }

    fn reply(&self) -> (Reply, Vec<u8>) {
        self.replies.recv_timeout(LONG).unwrap()
    }

    /// A job of this script that polls here.
    fn job(&self, script: &str) -> JobSpec {
        let mut job = job(Image::Host, &["sh", "-c", script], "");
        job.events = Some(events(Some(self.url.clone()), None));
        job
    }
}

fn secret() -> Vec<u8> {
    job_key(b"master", &"u/7/0/0".parse().unwrap())
}

fn serve(stream: TcpStream, poll: &Sender<Poll>, reply: &Sender<(Reply, Vec<u8>)>, next: &Next) {
    let mut stream = BufReader::new(stream);
    while let Ok(request) = read(&mut stream) {
        let (body, signature) = match () {
            () if request.head.contains(POLL_PATH) => answer(&request, poll, next),
            () if request.head.contains(ANSWER_PATH) => {
                is_signed(&request);
                let (read, bytes) = Reply::read(&request.body).unwrap();
                let _ = reply.send((read, bytes.to_vec()));
                (Vec::new(), String::new())
            }
            () => (Vec::new(), String::new()),
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 x\r\n{SIGNATURE_HEADER}: {signature}\r\ncontent-length: {length}\r\n\r\n");
        if stream.get_mut().write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

fn answer(request: &Request, poll: &Sender<Poll>, next: &Next) -> (Vec<u8>, String) {
    is_signed(request);
    let read = Poll::read(&request.body).unwrap();
    let seq = read.seq;
    let _ = poll.send(read);
    let mut asks = next.asks.lock().unwrap();
    while asks.is_empty() {
        asks = next.bell.wait(asks).unwrap();
    }
    let body = Asks { seq, asks: asks.pop_front().unwrap() }.write();
    let secret = if next.forged { b"another key".to_vec() } else { secret() };
    let signature = sign("k", &secret, &body);
    (body, signature)
}

fn is_signed(request: &Request) {
    assert_eq!(request.header("HTC-Job-Key"), "u/7/0/0");
    let signature = Signature::parse(request.header(SIGNATURE_HEADER)).unwrap();
    assert!(signature.is_of(&secret(), &request.body));
}

fn log(id: u64, from: Begin, wait: bool) -> Ask {
    Ask { id, want: Want::Log(LogWant { container: "main".to_owned(), previous: false, from, wait }) }
}

fn go(scratch: &Scratch, running: Running) {
    scratch.write("go", b"");
    assert_eq!(running.wait().code(), 0);
}

const WAITS: &str = "until [ -e ../go ]; do sleep 0.02; done";

#[test]
fn a_job_answers_what_it_is_asked_and_waits_with_what_is_not_there_yet() {
    let operator = Operator::new(false);
    let job = operator.job(&format!("echo one; {WAITS}; echo two; until [ -e ../end ]; do sleep 0.02; done"));
    let scratch = Scratch::of(&job);
    let running = scratch.start();
    let first = operator.polls.recv_timeout(LONG).unwrap();
    assert!((first.start, first.open.is_empty()) == (1, true), "{first:?}");
    let newer: Ask = serde_json::from_value(json!({ "id": 8, "want": { "exec": ["sh"] } })).unwrap();
    operator.ask(vec![log(7, Begin::Start, true), newer]);
    let mut answers = [operator.reply(), operator.reply()];
    answers.sort_by_key(|(reply, _)| reply.id);
    let [(one, bytes), (unknown, _)] = answers;
    assert_eq!((unknown.id, unknown.answer), (8, Answer::Unsupported));
    let Answer::Log(part) = one.answer else { panic!("{one:?}") };
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with(" stdout F one\n") && part.size == text.len() as u64, "{text}");
    // What it has answered it does not answer twice, and what it waits for it tells.
    let at = Position { offset: part.size, ..part.at };
    operator.ask(vec![log(9, Begin::Position(at), true)]);
    while operator.polls.recv_timeout(LONG).unwrap().open != [9] {}
    assert!(operator.replies.try_recv().is_err());
    scratch.write("go", b"");
    let (two, bytes) = operator.reply();
    assert_eq!(two.id, 9);
    assert!(String::from_utf8(bytes).unwrap().ends_with(" stdout F two\n"));
    scratch.write("end", b"");
    assert_eq!(running.wait().code(), 0);
}

#[test]
fn what_the_operator_has_not_signed_is_not_answered() {
    let operator = Operator::new(true);
    let scratch = Scratch::of(&operator.job(&format!("echo secret; {WAITS}")));
    let running = scratch.start();
    for _ in 0..2 {
        operator.ask(vec![log(1, Begin::Start, false)]);
        operator.polls.recv_timeout(LONG).unwrap();
    }
    // It has polled again, so it has thrown the first away.
    operator.polls.recv_timeout(LONG).unwrap();
    assert!(operator.replies.try_recv().is_err());
    go(&scratch, running);
    assert!(scratch.read("sender.out").contains("not signed by the operator"));
}

#[test]
fn a_poll_that_is_held_does_not_hold_back_the_end() {
    let operator = Operator::new(false);
    let scratch = Scratch::of(&operator.job(WAITS));
    let running = scratch.start();
    operator.polls.recv_timeout(LONG).unwrap();
    let began = std::time::Instant::now();
    go(&scratch, running);
    // Nobody answers the poll before a minute and a half.
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}

#[test]
fn a_large_log_goes_up_piece_by_piece() {
    let operator = Operator::new(false);
    let scratch = Scratch::of(&operator.job(&format!("seq 200000; {WAITS}")));
    let running = scratch.start();
    let (mut id, mut from, mut whole) = (0, Begin::Start, Vec::new());
    let last = b" stdout F 200000\n";
    while !whole.ends_with(last) {
        id += 1;
        operator.ask(vec![log(id, from, true)]);
        let (reply, bytes) = operator.reply();
        let Answer::Log(part) = reply.answer else { panic!("{reply:?}") };
        assert!(reply.id == id && part.at.offset == whole.len() as u64 && bytes.len() <= PIECE);
        whole.extend(bytes);
        from = Begin::Position(Position { offset: whole.len() as u64, ..part.at });
    }
    assert_eq!(String::from_utf8(whole).unwrap().lines().count(), 200_000);
    go(&scratch, running);
}
