//! Those who follow a log: how they end, how they are noticed to have left, and what many of them cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::dialect::{Dialect, Opts};
use crate::client::pods::{container, pod};
use crate::client::transport::{Keys, Request};
use crate::door::{Door, PATIENCE, free_port};
use crate::jobs::{self, Running};
use crate::pool::{Fault, Planned};
use crate::tools::job;

super::claims![
    a_silent_follow_ends_with_the_endpoint,
    who_reads_a_log_that_does_not_come_is_told_that_the_endpoint_ends,
    a_caller_that_leaves_a_silent_follow_is_noticed,
    who_was_silent_longest_makes_room_for_the_seventeenth,
    a_follow_ends_when_the_job_says_that_the_log_is_closed,
    two_hundred_followers_of_jobs_that_poll_need_no_tool,
    those_who_follow_jobs_that_do_not_poll_share_eight_tools,
    who_follows_a_pod_that_is_deleted_while_it_runs_has_its_log_through_its_grace,
    however_long_a_tool_is_waited_for_the_log_of_an_ended_container_is_whole,
];

const FOLLOWERS: &str = "htc_interlink_followers";

type Stream = reqwest::Response;

fn request(job: &Running, opts: &Opts) -> Request {
    Dialect::NEWEST.logs(&job.pod, "main", opts)
}

fn follow() -> Opts {
    Opts { follow: true, ..Opts::default() }
}

/// One who will never get a line.
fn silent() -> Opts {
    Opts { since_time: Some("2999-01-01T00:00:00Z".to_owned()), ..follow() }
}

async fn open(door: &Door, job: &Running, opts: &Opts) -> Stream {
    let stream = timeout(PATIENCE, door.transport().open(&request(job, opts))).await;
    let stream = stream.expect("the head").unwrap();
    assert_eq!(stream.status(), 200);
    stream
}

/// What comes until there is this line.
async fn until_line(stream: &mut Stream, line: &str) -> String {
    let mut got = String::new();
    while !got.ends_with(&format!("{line}\n")) {
        let more = timeout(PATIENCE, stream.chunk()).await.unwrap_or_else(|_| panic!("no {line:?}: {got:?}"));
        got += &String::from_utf8_lossy(&more.unwrap().expect("no end yet"));
    }
    got
}

/// The rest, up to an end as it should be.
async fn rest(stream: Stream) -> String {
    let rest = timeout(PATIENCE, stream.text()).await;
    rest.expect("the end").expect("an end in order")
}

async fn a_silent_follow_ends_with_the_endpoint() {
    for polls in [true, false] {
        let mut door = if polls { jobs::open_with_route().await } else { Door::open().await };
        let job = jobs::run(&door, 1).await.remove(0);
        job.say(1, "one");
        let mut stream = open(&door, &job, &follow()).await;
        until_line(&mut stream, "one").await;
        door.terminate();
        assert_eq!(rest(stream).await, "");
        assert!(door.ended().await.success());
        assert!(!door.log().contains("did not end in time"), "{}", door.log());
    }
}

async fn who_reads_a_log_that_does_not_come_is_told_that_the_endpoint_ends() {
    let mut door = Door::open().await;
    let job = jobs::run(&door, 1).await.remove(0);
    door.looks(3).await;
    door.scripted.plan(Planned::next("condor_tail", Fault::Hang).always());
    let stream = open(&door, &job, &Opts::default()).await;
    door.until("a tool", || (!door.scripted.calls("condor_tail").is_empty()).then_some(())).await;
    door.terminate();
    // WIRE 1.3: an API server ends when it cannot read the body to its end.
    let text = rest(stream).await;
    assert!(text.contains("ends") && text.lines().count() == 1, "{text:?}");
    assert!(door.ended().await.success());
    assert!(!door.log().contains("did not end in time"), "{}", door.log());
}

/// A connection of whatever kind.
trait Line: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Line for T {}

/// Where a caller comes in.
#[derive(Clone, Copy, Debug)]
enum Way {
    Socket,
    Tcp,
    Tls,
}

impl Way {
    async fn open(self) -> (Door, u16) {
        let port = free_port();
        let mut door = Door::closed(&[]);
        let listen = format!("127.0.0.1:{port},unix:{}", door.socket().display());
        door.arguments = vec!["--interlink-listen".to_owned(), listen];
        if let Way::Tls = self {
            let keys = Keys::make(door.scripted.path());
            for (flag, kind) in [("--interlink-tls-cert", "crt"), ("--interlink-tls-key", "key")] {
                door.arguments.extend([flag.to_owned(), keys.file("server", kind).display().to_string()]);
            }
        }
        door.start().await;
        (door, port)
    }

    async fn connect(self, door: &Door, port: u16) -> Box<dyn Line> {
        let tcp = async || TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        match self {
            Way::Socket => Box::new(UnixStream::connect(door.socket()).await.unwrap()),
            Way::Tcp => Box::new(tcp().await),
            Way::Tls => {
                let mut roots = RootCertStore::empty();
                let authority = CertificateDer::from_pem_file(door.scripted.path().join("ca.crt"));
                roots.add(authority.unwrap()).unwrap();
                let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
                let name = ServerName::try_from("127.0.0.1").unwrap();
                Box::new(TlsConnector::from(Arc::new(config)).connect(name, tcp().await).await.unwrap())
            }
        }
    }
}

/// Asks for a log, and reads until this has come.
async fn ask(line: &mut Box<dyn Line>, request: &Request, closes: bool, until: &str) {
    let close = if closes { "Connection: close\r\n" } else { "" };
    let length = request.body.len();
    let head = format!("GET /getLogs HTTP/1.1\r\nHost: localhost\r\n{close}Content-Length: {length}\r\n\r\n");
    line.write_all(&[head.as_bytes(), &request.body].concat()).await.unwrap();
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(until) {
        let mut more = [0; 4096];
        let read = timeout(PATIENCE, line.read(&mut more)).await.expect("an answer").unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&got));
        got.extend(&more[..read]);
    }
}

async fn a_caller_that_leaves_a_silent_follow_is_noticed() {
    for way in [Way::Socket, Way::Tcp, Way::Tls] {
        let (door, port) = way.open().await;
        let job = jobs::run(&door, 1).await.remove(0);
        job.say(1, "one");
        for (closes, half) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut line = way.connect(&door, port).await;
            ask(&mut line, &request(&job, &follow()), closes, "one\n").await;
            assert_eq!(door.metric(FOLLOWERS).await, 1, "{way:?} {closes} {half}");
            if half {
                // He says no more, and would still listen; released callers never do.
                line.shutdown().await.unwrap();
                door.until_metric(FOLLOWERS, 0).await;
            }
            drop(line);
            door.until_metric(FOLLOWERS, 0).await;
        }
        // And what was started for them is gone.
        let tools = || door.scripted.calls("condor_tail");
        let words = |pid: u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let all_gone = || tools().iter().all(|call| words(call.pid).is_empty()).then_some(());
        assert!(!tools().is_empty());
        door.until("no tool is left", all_gone).await;
    }
}

async fn who_was_silent_longest_makes_room_for_the_seventeenth() {
    let door = jobs::open_with_route().await;
    let job = jobs::run(&door, 1).await.remove(0);
    let mut active = open(&door, &job, &follow()).await;
    let mut waiting = Vec::new();
    for _ in 0..15 {
        waiting.push(open(&door, &job, &silent()).await);
    }
    job.say(1, "one");
    until_line(&mut active, "one").await;
    assert_eq!(door.metric(FOLLOWERS).await, 16);
    for n in 0..3 {
        waiting.push(open(&door, &job, &silent()).await);
        assert_eq!(rest(waiting.remove(0)).await, "");
        door.until_metric(FOLLOWERS, 16).await;
        let said = format!("after {n}");
        job.say(2, &said);
        until_line(&mut active, &said).await;
    }
    drop(active);
    door.until_metric(FOLLOWERS, 15).await;
    for stream in &mut waiting {
        assert!(timeout(Duration::from_millis(1), stream.chunk()).await.is_err(), "it was shown out");
    }
}

async fn a_follow_ends_when_the_job_says_that_the_log_is_closed() {
    let door = jobs::open_with_route().await;
    let job = jobs::run(&door, 1).await.remove(0);
    let closes = job.closed.when_dropped("main");
    let mut stream = open(&door, &job, &follow()).await;
    job.say(1, "one");
    until_line(&mut stream, "one").await;
    job.say(2, "last");
    drop(closes);
    // No report says that it has ended.
    assert_eq!(rest(stream).await, "last\n");
    assert_eq!(rest(open(&door, &job, &follow()).await).await, "one\nlast\n");
    assert!(door.scripted.calls("condor_tail").is_empty());
}

/// How many tools were started, of all kinds.
fn tools(door: &Door) -> usize {
    door.scripted.state().calls.len()
}

async fn two_hundred_followers_of_jobs_that_poll_need_no_tool() {
    const JOBS: usize = 200;
    let door = jobs::open_with_route().await;
    let all = jobs::run(&door, JOBS).await;
    door.until_metric("htc_polls_held", JOBS as u64).await;
    let (began, before) = (Instant::now(), tools(&door));
    let mut streams = Vec::new();
    for job in &all {
        streams.push(open(&door, job, &follow()).await);
    }
    assert_eq!(door.metric(FOLLOWERS).await, JOBS as u64);
    for n in 0..5 {
        let said = format!("line {n}");
        all.iter().for_each(|job| job.say(n, &said));
        for stream in &mut streams {
            assert_eq!(until_line(stream, &said).await, format!("{said}\n"));
        }
    }
    // What looks at the pool does so once a second, whoever follows.
    let (started, seconds) = (tools(&door) - before, began.elapsed().as_secs() as usize + 1);
    println!("{started} tools in {seconds} s for {JOBS} followers");
    assert!(started <= 2 * seconds + 2, "{started} tools in {seconds} s");
    assert!(door.scripted.calls("condor_tail").is_empty());
    drop(streams);
    door.until_metric(FOLLOWERS, 0).await;
}

async fn those_who_follow_jobs_that_do_not_poll_share_eight_tools() {
    const JOBS: usize = 50;
    let mut door = Door::closed(&[]).set("HTC_POLL_SECONDS", "1");
    door.start().await;
    let all = jobs::run(&door, JOBS).await;
    all.iter().for_each(|job| job.say(1, "one"));
    let began = Instant::now();
    let mut streams = Vec::new();
    for job in &all {
        streams.push(open(&door, job, &follow()).await);
    }
    for stream in &mut streams {
        until_line(stream, "one").await;
    }
    // One look for each follower; then eight at a time, each for 12 s at least.
    let (started, seconds) = (door.scripted.calls("condor_tail").len(), began.elapsed().as_secs() as usize);
    println!("{started} calls of condor_tail in {seconds} s for {JOBS} followers");
    assert!((JOBS..=JOBS + 8 * (seconds / 12 + 1)).contains(&started), "{started} in {seconds} s");
    drop(streams);
    door.until_metric(FOLLOWERS, 0).await;
}

async fn however_long_a_tool_is_waited_for_the_log_of_an_ended_container_is_whole() {
    // Twice as many as there are places, and one more: the next has one after two turns of 12 s.
    const JOBS: usize = 17;
    let mut door = Door::closed(&[]).set("HTC_POLL_SECONDS", "1");
    door.start().await;
    let one = |name| container(name, "busybox", &["true"]);
    let pods = (0..JOBS).map(|n| pod(&format!("init-{n}"), &[one("first")], &[one("main")])).collect();
    let all = jobs::run_these(&door, pods).await;
    let mut mains = Vec::new();
    for job in &all {
        job.say(1, "one");
        job.says("first", 1, "of the init container");
        job.says("first", 2, "its last words");
        mains.push(open(&door, job, &follow()).await);
    }
    for stream in &mut mains {
        until_line(stream, "one").await;
    }
    let mut inits = Vec::new();
    for job in &all[..10] {
        let request = Dialect::NEWEST.logs(&job.pod, "first", &follow());
        inits.push(door.transport().open(&request).await.unwrap());
    }
    for stream in inits {
        assert_eq!(rest(stream).await, "of the init container\nits last words\n");
    }
    // Those whose container runs go on.
    all[0].say(2, "two");
    assert_eq!(until_line(&mut mains[0], "two").await, "two\n");
}

async fn who_follows_a_pod_that_is_deleted_while_it_runs_has_its_log_through_its_grace() {
    for polls in [true, false] {
        let door = if polls { jobs::open_with_route().await } else { Door::open().await };
        let job = jobs::run(&door, 1).await.remove(0);
        // The pool takes its time.
        door.scripted.plan(Planned::next("condor_rm", Fault::NothingDone).always());
        job.say(1, "one");
        let mut stream = open(&door, &job, &follow()).await;
        until_line(&mut stream, "one").await;
        // WIRE 10.9: the grace begins now.
        door.transport().send(&Dialect::NEWEST.delete(&job.pod)).await.unwrap().success().unwrap();
        door.looks(2).await;
        job.say(2, "two");
        until_line(&mut stream, "two").await;
        let key = job::text(&door.scripted.jobs()[0], job::KEY).to_owned();
        if polls {
            door.scripted.set(&key, serde_json::json!({ "JobStatus": 3 }));
            door.looks(3).await;
            job.say(3, "three");
            until_line(&mut stream, "three").await;
            // And one who comes now.
            assert_eq!(rest(open(&door, &job, &Opts::default()).await).await, "one\ntwo\nthree\n");
        }
        door.scripted.remove(&key);
        assert_eq!(rest(stream).await, "");
    }
}
