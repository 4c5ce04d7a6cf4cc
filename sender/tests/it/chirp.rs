//! What the starter gets to carry where a job cannot reach the receiver.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use htc_core::chirp::{ATTRIBUTE, MAX, decode};
use htc_core::events::job_key;
use htc_core::workload::container::Image;
use htc_core::workload::report::{ContainerState, Phase, Report};

use crate::reports::{events, receiver};
use crate::scratch::{Scratch, job};

/// Far more than anything here takes; only a defect waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A starter that gives every line the same answer; what it was asked comes out line by line.
fn starter(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!("127.0.0.1 {} c00kie\n", listener.local_addr().unwrap().port());
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
                let _ = (&stream).write_all(answer.as_bytes());
            }
        }
    });
    (config, asked)
}

/// A job whose reports go to this URL, and by a starter with this file.
fn scratch(url: Option<String>, config: &str, script: &str) -> Scratch {
    let mut job = job(Image::Host, &["sh", "@script"], script);
    job.events = Some(events(url, None));
    let scratch = Scratch::of(&job);
    scratch.write("chirp.config", config.as_bytes());
    scratch.write("ad", b"ClusterId = 12\nProcId = 3\nNumShadowStarts = 2\n");
    scratch
}

fn run(url: Option<String>, config: &str, script: &str) -> Scratch {
    let scratch = scratch(url, config, script);
    let run = scratch.start_as(|command| {
        command.env("_CONDOR_JOB_AD", scratch.path().join("ad"));
        command.env("_CONDOR_CHIRP_CONFIG", scratch.path().join("chirp.config"));
    });
    assert_eq!(run.wait().code(), 3);
    scratch
}

/// The report in what a starter was asked.
fn read(line: &str) -> Report {
    let value = line.strip_prefix(&format!("set_job_attr_delayed {ATTRIBUTE} \"")).unwrap();
    let value = value.strip_suffix('"').unwrap();
    assert!(value.len() <= MAX);
    let key = "u/7/0/0".parse().unwrap();
    decode(value, &key, |id| (id == "k").then(|| job_key(b"master", &key))).unwrap()
}

/// The reports that a starter was asked to carry; each came with the cookie on its connection.
fn reports(asked: &Receiver<String>) -> Vec<Report> {
    let lines: Vec<String> = asked.try_iter().collect();
    lines.chunks(2).for_each(|pair| assert_eq!(pair[0], "cookie c00kie"));
    lines.chunks(2).map(|pair| read(&pair[1])).collect()
}

#[test]
fn without_a_url_the_starter_carries_what_the_job_says_to_its_last_word() {
    let (config, asked) = starter("0\n");
    let scratch = run(None, &config, "exit 3");
    let reports = reports(&asked);
    let last = reports.last().unwrap();
    assert_eq!((last.phase, last.retcode, last.start), (Phase::Done, Some(3), 2));
    let whole = scratch.report();
    assert_eq!((last.order(), &last.containers), (whole.order(), &whole.containers));
}

#[test]
fn a_running_container_is_told_while_it_runs() {
    let (config, asked) = starter("0\n");
    let scratch = scratch(None, &config, "until [ -e ../go ]; do sleep 0.05; done; exit 3");
    let running = scratch.start_as(|command| {
        command.env("_CONDOR_CHIRP_CONFIG", scratch.path().join("chirp.config"));
    });
    loop {
        let line = asked.recv_timeout(PATIENCE).unwrap();
        if line.starts_with("set_job_attr_delayed")
            && matches!(read(&line).containers[0].state, ContainerState::Running { .. })
        {
            break;
        }
    }
    scratch.write("go", b"");
    assert_eq!(running.wait().code(), 3);
}

#[test]
fn many_changes_become_few_values() {
    let (config, asked) = starter("0\n");
    // Container after container starts and ends: each is a report.
    let mut job = job(Image::Host, &["sh", "-c", "exit 3"], "");
    let quick = |n: usize| crate::scratch::container(&format!("i{n}"), Image::Host, &["true"]);
    job.init_containers = (0..20).map(quick).collect();
    job.events = Some(events(None, None));
    let scratch = Scratch::of(&job);
    scratch.write("chirp.config", config.as_bytes());
    let run = scratch.start_as(|command| {
        command.env("_CONDOR_CHIRP_CONFIG", scratch.path().join("chirp.config"));
    });
    assert_eq!(run.wait().code(), 3);
    let told = reports(&asked);
    assert!(scratch.report().seq > 20 && told.len() < 10, "{} of {}", told.len(), scratch.report().seq);
}

#[test]
fn what_http_does_not_take_the_starter_carries() {
    let (config, asked) = starter("0\n");
    run(Some("http://127.0.0.1:1".to_owned()), &config, "exit 3");
    assert_eq!(reports(&asked).last().unwrap().phase, Phase::Done);
}

#[test]
fn where_http_works_the_starter_is_left_alone() {
    let (config, asked) = starter("0\n");
    let (url, requests) = receiver(&[202]);
    run(Some(url), &config, "exit 3");
    assert!(requests.try_iter().count() > 0);
    assert_eq!(reports(&asked).len(), 0);
}

#[test]
fn a_starter_that_refuses_or_is_silent_or_gone_changes_nothing_about_the_job() {
    for answer in ["-1\n", "", "nonsense", "\n"] {
        let (config, _asked) = starter(answer);
        let scratch = run(None, &config, "exit 3");
        assert_eq!(scratch.report().retcode, Some(3), "{answer:?}");
    }
    for config in ["127.0.0.1 1 c00kie\n", "", "somewhere.invalid 1 c\n", "127.0.0.1 99999 c\n"] {
        let scratch = run(None, config, "exit 3");
        assert_eq!(scratch.report().retcode, Some(3), "{config:?}");
    }
}

#[test]
fn the_user_s_process_is_told_nothing_of_the_service() {
    let (config, _asked) = starter("0\n");
    let scratch = run(None, &config, "env; exit 3");
    let output = scratch.output("main", "stdout");
    assert!(output.contains("PATH=") && !output.contains("CHIRP"), "{output}");
}
