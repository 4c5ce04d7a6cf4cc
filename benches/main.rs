//! `make bench`: what the operator costs and how quick it is, beside the alternative in the same run.
//! It runs inside the pool's root as the submitting user, with the released binaries of `$HTC_BED/bin`.
//!
//! A row fails only when what it counts is not there; how long something took is for people to judge.
//! Subjects can be named: `testbed/bench.sh submit routed`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on ends")]

mod api;
mod carried;
mod ended;
mod ends;
mod engine;
mod first_line;
mod interlink;
mod lines;
mod operator;
mod profile;
mod queue;
mod raw;
mod scale;
mod sender;
mod submit;
mod table;
mod work;

// Written for tests, which use more of it.
#[allow(dead_code, unused_imports, reason = "it is the tests' harness")]
#[path = "../tests/bed/harness/mod.rs"]
mod harness;

#[allow(dead_code, reason = "it is the tests' virtual kubelet")]
#[path = "../tests/interlink/client/mod.rs"]
mod client;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::process::ExitCode;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::signal::unix::{SignalKind, signal};

use harness::Bed;
use table::Row;

/// What a subject gives: its rows, or why it has none.
type Rows = Result<Vec<Row>, String>;
/// A subject of the bench.
type Subject = for<'a> fn(&'a mut Bed) -> LocalBoxFuture<'a, Rows>;

const SUBJECTS: &[(&str, Subject)] = &[
    ("sender", |_| Box::pin(async { sender::rows() })),
    ("submit", |bed| Box::pin(submit::rows(bed))),
    ("routed", |bed| Box::pin(ends::routed(bed))),
    ("unrouted", |bed| Box::pin(ends::unrouted(bed))),
    ("lines", |bed| Box::pin(lines::rows(bed))),
    ("carried", |bed| Box::pin(carried::rows(bed))),
    ("interlink", |bed| Box::pin(interlink::rows(bed))),
    ("scale", |bed| Box::pin(scale::rows(bed))),
    ("ended", |bed| Box::pin(ended::rows(bed))),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("nothing is measured without --bench: make bench");
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name);
    let level = std::env::var("HTC_LOG").unwrap_or_else(|_| "error".to_owned());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut table = profile::table();
    runtime.block_on(harness::on_bed(async |bed: &mut Bed| {
        let mut stopped = pin!(asked_to_stop());
        for (name, subject) in SUBJECTS.iter().filter(|(name, _)| is_wanted(name)) {
            eprintln!("measuring: {name}");
            let stop = tokio::select! {
                rows = guarded(subject(bed)) => {
                    table.add(name, rows);
                    false
                }
                () = &mut stopped => {
                    table.add(name, Err("stopped by a signal".to_owned()));
                    true
                }
            };
            operator::stop(bed).await;
            engine::all_ended().await;
            if let Err(why) = queue::Corner::clear_all(bed).await {
                table.add(name, Err(format!("something is left: {why}")));
            }
            if stop {
                break;
            }
        }
        if table.has_failed() {
            eprintln!("--- the end of the operator's log ---\n{}", operator::last_words(bed));
        }
        // Before the harness clears up, which may fail.
        table.print();
        table.write();
    }));
    if table.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The harness panics when it has waited too long: that is a failure of this subject only.
async fn guarded(subject: LocalBoxFuture<'_, Rows>) -> Rows {
    let told = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    };
    AssertUnwindSafe(subject).catch_unwind().await.unwrap_or_else(|panic| Err(told(panic)))
}

async fn asked_to_stop() {
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).unwrap());
    let [interrupt, terminate] = &mut signals;
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
}
