//! A report by chirp comes out as it went in, or shorter, and never too long or unsigned.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::events::{job_key, sign};
use crate::workload::report::{ContainerState, Excess};

fn job() -> JobKey {
    "0013742e-b431-4b57-9f39-bd77d8fda467/6/0/0".parse().unwrap()
}

fn key() -> Vec<u8> {
    job_key(b"master", &job())
}

fn read(text: &str) -> Option<Report> {
    decode(text, &job(), |id| (id == "k1").then(key))
}

fn report(phase: Phase, containers: Vec<ContainerStatus>) -> Report {
    Report {
        name: String::new(),
        namespace: String::new(),
        jobid: None,
        retcode: None,
        key: job(),
        start: 1,
        seq: 2,
        now: Timestamp::from_second(1_795_237_017).unwrap(),
        phase,
        cut: None,
        worker_fault: None,
        left_out: None,
        init_containers: vec![],
        containers,
    }
}

fn ended(name: &str, message: &str) -> ContainerStatus {
    let state = ContainerState::Terminated {
        exit_code: 127,
        signal: None,
        reason: "ErrImagePull".to_owned(),
        message: message.to_owned(),
        started_at: None,
        finished_at: Timestamp::UNIX_EPOCH,
    };
    ContainerStatus { name: name.to_owned(), state }
}

prop_compose! {
    fn timestamps()(nanoseconds in 0..4_000_000_000_000_000_000_i128) -> Timestamp {
        Timestamp::from_nanosecond(nanoseconds).unwrap()
    }
}

fn states() -> impl Strategy<Value = ContainerState> {
    let waiting =
        (".{0,20}", ".{0,700}").prop_map(|(reason, message)| ContainerState::Waiting { reason, message });
    let running = timestamps().prop_map(|started_at| ContainerState::Running { started_at });
    let terminated = (
        any::<i32>(),
        option::of(any::<i32>()),
        ".{0,20}",
        ".{0,700}",
        option::of(timestamps()),
        timestamps(),
    );
    let terminated = terminated.prop_map(|(exit_code, signal, reason, message, started_at, finished_at)| {
        ContainerState::Terminated { exit_code, signal, reason, message, started_at, finished_at }
    });
    prop_oneof![waiting, running, terminated]
}

fn reports() -> impl Strategy<Value = Report> {
    let status = || (".{0,63}", states()).prop_map(|(name, state)| ContainerStatus { name, state });
    let phase =
        prop_oneof![Just(Phase::Preparing), Just(Phase::Running), Just(Phase::Stopping), Just(Phase::Done)];
    let deadline = any::<u32>().prop_map(|seconds| Cut::Deadline { seconds });
    let volume = (".{0,63}", any::<u64>(), any::<u64>());
    let volume = volume.prop_map(|(name, bytes, limit)| Cut::Volume { name, bytes, limit });
    let outputs = any::<u32>().prop_map(|limit| Cut::Outputs { excess: Excess::Entries { limit } });
    let cut = option::of(prop_oneof![deadline, volume, outputs]);
    let rest = (any::<u32>(), any::<u64>(), timestamps(), option::of(any::<i32>()));
    (rest, phase, cut, vec(status(), 0..3), vec(status(), 0..4)).prop_map(
        |((start, seq, now, retcode), phase, cut, init_containers, containers)| Report {
            cut,
            worker_fault: None,
            start,
            seq,
            now,
            retcode,
            init_containers,
            ..report(phase, containers)
        },
    )
}

#[test]
fn names_of_files_that_were_left_out_are_not_for_everybody_to_read() {
    let last =
        Report { left_out: Some("secret-name".to_owned()), ..report(Phase::Done, vec![ended("main", "")]) };
    assert_eq!(encode("k1", &key(), &last), None);
    assert!(encode("k1", &key(), &Report { left_out: None, ..last }).is_some());
}

proptest! {
    #[test]
    fn every_report_fits_and_comes_out_as_it_went_in_or_shorter(report in reports()) {
        let Some(value) = encode("k1", &key(), &report) else {
            prop_assert!(report.is_final(), "only a last report may not travel");
            return Ok(());
        };
        prop_assert!(value.len() <= MAX);
        let plain = |c: char| c.is_ascii_alphanumeric() || "+/=,".contains(c);
        prop_assert!(value.chars().all(plain), "{value}");
        let read = read(&value).unwrap();
        let left_out = Report { init_containers: vec![], containers: vec![], ..report.clone() };
        prop_assert_eq!(&Report { init_containers: vec![], containers: vec![], ..read.clone() }, &left_out);
        prop_assert!(!report.is_final() || read == report, "an end is judged by the whole or not");
        let names = |report: &Report| report.containers.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        prop_assert!(read.containers.is_empty() || names(&read) == names(&report));
    }

    #[test]
    fn no_text_is_taken_that_this_job_has_not_signed(text in ".{0,1200}", at in 0..900_usize, to in "[A-Za-z0-9,]") {
        prop_assert_eq!(read(&text), None);
        let mut value = encode("k1", &key(), &report(Phase::Running, vec![ended("main", "")])).unwrap();
        let at = at % value.len();
        let same = value[at..=at] == to;
        value.replace_range(at..=at, &to);
        // The last characters of base64 hold bits that stand for nothing.
        prop_assert!(same || read(&value).is_none_or(|read| read == report(Phase::Running, vec![ended("main", "")])));
    }
}

#[test]
fn init_containers_go_first_then_containers() {
    let shortened = |inits: usize, containers: usize| {
        let many = |n| (0..n).map(|n| ended(&format!("c{n}"), "")).collect::<Vec<_>>();
        let report = Report { init_containers: many(inits), ..report(Phase::Running, many(containers)) };
        let read = read(&encode("k1", &key(), &report).unwrap()).unwrap();
        (read.init_containers.len(), read.containers.len())
    };
    assert_eq!(shortened(1, 2), (1, 2));
    assert_eq!(shortened(3, 3), (0, 3));
    assert_eq!(shortened(0, 9), (0, 0));
}

#[test]
fn no_message_is_in_an_ad_that_everybody_reads() {
    let said = |phase| {
        let waiting =
            ContainerState::Waiting { reason: "ErrImagePull".to_owned(), message: "secret".to_owned() };
        let waiting = ContainerStatus { name: "init".to_owned(), state: waiting };
        Report { init_containers: vec![waiting], ..report(phase, vec![ended("main", "secret")]) }
    };
    let told = read(&encode("k1", &key(), &said(Phase::Running)).unwrap()).unwrap();
    assert_eq!((told.init_containers.len(), told.containers), (1, vec![ended("main", "")]));
    assert_eq!(told.init_containers[0].state.message(), "");
    // What an end is judged by is whole or not there: `result.json` has it.
    assert_eq!(encode("k1", &key(), &said(Phase::Done)), None);
}

#[test]
fn a_last_report_travels_whole_or_not_at_all() {
    let last = |containers: usize| report(Phase::Done, vec![ended("main", ""); containers]);
    let whole = last(1);
    assert_eq!(read(&encode("k1", &key(), &whole).unwrap()), Some(whole));
    assert_eq!(encode("k1", &key(), &last(9)), None);
}

#[test]
fn neither_another_job_nor_an_event_passes_for_a_chirp() {
    let running = report(Phase::Running, vec![]);
    let value = encode("k1", &key(), &running).unwrap();
    assert_eq!(decode(&value, &job(), |_| Some(job_key(b"master", &"u/0/0/0".parse().unwrap()))), None);
    assert_eq!(decode(&value, &job(), |_| None), None);
    let event = serde_json::to_vec(&running).unwrap();
    let mut parts = sign("k1", &key(), &event);
    assert_eq!(read(&format!("{parts},{}", STANDARD.encode(&event))), None, "a long signature");
    parts = sign_short("k1", &key(), &event);
    assert_eq!(read(&format!("{parts},{}", STANDARD.encode(&event))), None, "an event as the body");
}
