//! The door for events, without a socket: whatever comes in, one plain answer goes out.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use cloudevents::{EventBuilder, EventBuilderV10};
use futures::stream;
use htc_core::events::{JOB_KEY_HEADER, PATH, PROBE_BODY, PROBE_TYPE, SIGNATURE_HEADER, TYPE, job_key, sign};
use htc_core::workload::report::{Phase, Report};
use htc_operator::callbacks::{self, Options};
use htc_operator::engine::keys::MasterKeys;
use htc_operator::metrics::Metrics;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tower::ServiceExt;

use crate::harness::running;
use crate::life::{Life, options};
use crate::pool::Scripted;

super::claims![
    each_refusal_has_its_code_and_one_plain_sentence,
    a_report_is_no_probe_whatever_its_headers_say,
    a_replay_is_taken_and_changes_nothing,
    whatever_comes_in_nothing_panics_and_nothing_is_believed,
    a_body_that_is_too_large_or_too_slow_is_not_waited_for,
    an_unsigned_event_is_refused_unless_a_setting_allows_it,
    an_unsigned_event_only_lets_the_pool_be_looked_at,
];

/// The seconds between two looks of themselves: none comes while a test runs.
const SELDOM: Duration = Duration::from_secs(3_600);

struct Answer {
    code: u16,
    text: String,
}

fn door(life: &Life, options: Options) -> Router {
    let keys = MasterKeys::parse("k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
    callbacks::router(life.engine.clone(), Arc::new(keys), Arc::new(Metrics::default()), options)
}

async fn ask(door: &Router, request: Request<Body>) -> Answer {
    let response = door.clone().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let text = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Answer { code, text: String::from_utf8(text.to_vec()).unwrap() }
}

/// An event in structured mode, signed as the job of this key signs.
fn signed(key: &str, body: impl Into<Bytes>) -> Request<Body> {
    let body = body.into();
    let signature = sign("k1", &job_key(&[0; 32], &key.parse().unwrap()), &body);
    let request = Request::post(PATH).header("content-type", "application/cloudevents+json");
    request.header(SIGNATURE_HEADER, signature).header(JOB_KEY_HEADER, key).body(Body::from(body)).unwrap()
}

fn structured(data: serde_json::Value) -> Vec<u8> {
    let event = EventBuilderV10::new().id("1").ty(TYPE).source("cern.ch").data("application/json", data);
    serde_json::to_vec(&event.build().unwrap()).unwrap()
}

fn report(key: &str, seq: u64) -> Vec<u8> {
    let report = Report { seq, phase: Phase::Running, ..running(key.parse().unwrap(), 1) };
    structured(serde_json::to_value(report).unwrap())
}

/// A life with one queued job, in which the pool is looked at only when somebody asks.
async fn queued(scripted: &Scripted) -> Life {
    let life = Life::begin(
        htc_operator::engine::Options { poll: SELDOM, ..options(&scripted.path().join("data")) },
        scripted.pool(),
    )
    .await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    life
}

async fn each_refusal_has_its_code_and_one_plain_sentence() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    let door = door(&life, Options::default());
    let key = "a/0/0/0";
    let mut forged = signed(key, report(key, 1));
    forged.headers_mut().insert(SIGNATURE_HEADER, HeaderValue::from_static("v1,k1,AAAA"));
    let mut nameless = signed(key, report(key, 1));
    nameless.headers_mut().remove(JOB_KEY_HEADER);
    let mut other_path = signed(key, report(key, 1));
    *other_path.uri_mut() = "/elsewhere".parse().unwrap();
    let mut other_method = signed(key, report(key, 1));
    *other_method.method_mut() = Method::PUT;
    for (request, code, words) in [
        (forged, 401, "the signature is not that of this job"),
        (nameless, 401, "needs the header HTC-Job-Key"),
        (signed("a/1/0/0", report("a/1/0/0", 1)), 410, "no such job is known"),
        (signed("a/1/0/0", report(key, 1)), 400, "another job"),
        (signed(key, "{\"garbage\": ["), 400, "this is no event of a job"),
        (signed(key, structured(json!({ "name": "a" }))), 400, "missing field"),
        (signed(key, vec![b' '; 1 << 20]), 413, "at most 128 KiB"),
        (other_path, 404, "events go to /cloudevents"),
        (other_method, 405, "POST"),
    ] {
        let answer = ask(&door, request).await;
        assert_eq!(answer.code, code, "{}", answer.text);
        assert!(answer.text.contains(words), "{}", answer.text);
        assert_eq!(answer.text.lines().count(), 1, "{}", answer.text);
    }
    assert!(life.view("a").jobs[0].report.is_none());
    life.end().await;
}

async fn a_report_is_no_probe_whatever_its_headers_say() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    let door = door(&life, Options::default());
    let key = "a/0/0/0";
    let mut changed = signed(key, report(key, 3));
    changed.headers_mut().insert("ce-type", HeaderValue::from_static(PROBE_TYPE));
    assert_eq!(ask(&door, changed).await.code, 202);
    assert_eq!(life.view("a").jobs[0].report.as_ref().unwrap().seq, 3, "it was not forgotten");
    let probe = ask(&door, signed(key, PROBE_BODY)).await;
    assert_eq!((probe.code, life.view("a").jobs[0].report.as_ref().unwrap().seq), (204, 3));
    life.end().await;
}

async fn a_replay_is_taken_and_changes_nothing() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    let door = door(&life, Options::default());
    let key = "a/0/0/0";
    for (seq, kept) in [(3, 3), (3, 3), (2, 3), (4, 4)] {
        let answer = ask(&door, signed(key, report(key, seq))).await;
        assert_eq!((answer.code, answer.text.as_str()), (202, ""));
        assert_eq!(life.view("a").jobs[0].report.as_ref().unwrap().seq, kept);
    }
    life.end().await;
}

/// Requests of all kinds: some nearly right, so that they come far.
fn requests() -> impl Strategy<Value = (Vec<(HeaderName, HeaderValue)>, Vec<u8>, bool)> {
    let names = proptest::sample::select(vec![
        "content-type",
        "ce-id",
        "ce-type",
        "ce-source",
        "ce-specversion",
        "ce-time",
        "ce-data",
        "ce-x",
        "HTC-Signature",
        "HTC-Job-Key",
        "content-encoding",
    ]);
    let values = prop_oneof![
        vec(prop_oneof![32..=126_u8, 128..=255_u8, Just(b'\t')], 0..80),
        proptest::sample::select(vec![
            "application/json",
            "application/cloudevents+json",
            "application/cloudevents-batch+json",
            TYPE,
            "1.0",
            "0.3",
            "9",
            "a/0/0/0",
            "v1,k1,AAAA",
            "v1,,",
            "2026-11-21T07:33:05Z",
            "cern.ch",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let header = (names, values).prop_filter_map("a header that can be sent", |(name, value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(&value).ok()?))
    });
    let bodies = prop_oneof![
        vec(any::<u8>(), 0..2_000),
        any::<u64>().prop_map(|seq| report("a/0/0/0", seq)),
        (any::<u64>(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(seq, at, byte)| {
            let mut body = report("a/0/0/0", seq);
            let at = at.index(body.len());
            body[at] = byte;
            body
        }),
        "\\{\"specversion\":\"[01]\\.[03]\",\"id\":\".{0,5}\",\"type\":\"htcjob.cloudevent\",\"source\":\".{0,9}\",\
         \"data(_base64)?\":(null|1|\"[A-Za-z=]{0,9}\"|\\{\\}|\\[\\])\\}"
            .prop_map(String::into_bytes),
    ];
    (vec(header, 0..8), bodies, any::<bool>())
}

async fn whatever_comes_in_nothing_panics_and_nothing_is_believed() {
    const CASES: usize = 3_000;
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    let doors =
        [false, true].map(|allow_unsigned| door(&life, Options { allow_unsigned, ..Options::default() }));
    let (mut runner, strategy) = (TestRunner::default(), requests());
    let mut codes = std::collections::BTreeMap::new();
    for n in 0..CASES {
        let (headers, body, sign_it) = strategy.new_tree(&mut runner).unwrap().current();
        // A job of another workload signs: nothing of it can be believed of ours.
        let mut request = Request::post(PATH).body(Body::from(body.clone())).unwrap();
        if sign_it {
            request = signed("b/0/0/0", body.clone());
        }
        for (name, value) in &headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let answer = ask(&doors[n % 2], request).await;
        assert!([202, 400, 401, 410, 503].contains(&answer.code), "{headers:?} {body:?}: {}", answer.code);
        let lines = usize::from(answer.code != 202);
        assert_eq!(answer.text.lines().count(), lines, "{headers:?} {body:?}: {:?}", answer.text);
        *codes.entry(answer.code).or_insert(0) += 1;
    }
    assert!(codes.contains_key(&400) && codes.contains_key(&401), "{codes:?}");
    assert!(life.view("a").jobs[0].report.is_none());
    life.end().await;
}

async fn a_body_that_is_too_large_or_too_slow_is_not_waited_for() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096])));
    let request = Request::post(PATH).body(Body::from_stream(endless)).unwrap();
    assert_eq!(ask(&door(&life, Options::default()), request).await.code, 413);
    let silent = stream::pending::<Result<Bytes, std::io::Error>>();
    let request = Request::post(PATH).body(Body::from_stream(silent)).unwrap();
    let hasty = Options { patience: Duration::from_millis(1), ..Options::default() };
    let answer = ask(&door(&life, hasty), request).await;
    assert_eq!(answer.code, StatusCode::REQUEST_TIMEOUT.as_u16(), "{}", answer.text);
    let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]);
    let request = Request::post(PATH).body(Body::from_stream(broken)).unwrap();
    let answer = ask(&door(&life, Options::default()), request).await;
    assert_eq!((answer.code, answer.text.as_str()), (400, "the body did not arrive whole\n"));
    life.end().await;
}

/// The event that the predecessor's jobs send, in both modes.
fn unsigned() -> [Request<Body>; 2] {
    let data = json!({ "name": "a", "jobid": "1.0", "retcode": 0 });
    let whole = Request::post(PATH).header("content-type", "application/cloudevents+json");
    let binary = Request::post(PATH)
        .header("content-type", "application/json")
        .header("ce-specversion", "1.0")
        .header("ce-id", "5c0a7b8c")
        .header("ce-type", TYPE)
        .header("ce-source", "cern.ch");
    [
        whole.body(Body::from(structured(data.clone()))).unwrap(),
        binary.body(Body::from(data.to_string())).unwrap(),
    ]
}

async fn an_unsigned_event_is_refused_unless_a_setting_allows_it() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    for request in unsigned() {
        let answer = ask(&door(&life, Options::default()), request).await;
        assert_eq!(answer.code, 401, "{}", answer.text);
    }
    let door = door(&life, Options { allow_unsigned: true, ..Options::default() });
    for request in unsigned() {
        assert_eq!(ask(&door, request).await.code, 202);
    }
    for data in [json!({ "name": "a" }), json!([1]), json!(null)] {
        let request = Request::post(PATH).header("content-type", "application/cloudevents+json");
        let answer = ask(&door, request.body(Body::from(structured(data))).unwrap()).await;
        assert_eq!(answer.code, 400, "{}", answer.text);
    }
    // Who signs, and wrongly, is not let in by the other door.
    let [mut request, _] = unsigned();
    request.headers_mut().insert(SIGNATURE_HEADER, HeaderValue::from_static("v1,k1,AAAA"));
    assert_eq!(ask(&door, request).await.code, 401);
    life.end().await;
}

async fn an_unsigned_event_only_lets_the_pool_be_looked_at() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    let door = door(&life, Options { allow_unsigned: true, ..Options::default() });
    scripted.start_jobs();
    for request in unsigned() {
        ask(&door, request).await;
    }
    // It says that the job has ended well; the pool says that it runs.
    life.runs("a", 0).await;
    assert!(life.view("a").jobs[0].report.is_none());
    scripted.finish("a/0/0/0", crate::pool::Ending::code(3));
    for request in unsigned() {
        ask(&door, request).await;
    }
    let end = life.ends("a").await;
    assert_eq!(end, [htc_core::workload::progress::Outcome::ExitCode(3)]);
    life.end().await;
}
