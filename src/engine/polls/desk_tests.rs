//! Tests of what a job is asked, and in which order.

use htc_core::poll::{Begin, LogWant};

use super::*;

fn want(container: usize, wait: bool) -> Want {
    Want::Log(LogWant { container: container.to_string(), previous: false, from: Begin::Start, wait })
}

#[test]
fn however_many_questions_wait_others_are_asked_and_all_have_their_turn() {
    let polls = Polls::new(1);
    let key: JobKey = "a/0/0/0".parse().unwrap();
    let mut waiting: Vec<_> = (0..ASKS + 8).map(|n| polls.ask(&key, want(n, true))).collect();
    let quick = polls.ask(&key, want(99, false));
    let asks = polls.asks(&key);
    assert_eq!((asks.len(), asks[0].id), (ASKS, quick.id));
    drop(quick);
    // Each is asked again after a while.
    let mut heard = std::collections::BTreeSet::new();
    for n in 0..waiting.len() {
        heard.extend(polls.asks(&key).into_iter().map(|ask| ask.id));
        let first = waiting.remove(0);
        drop(first);
        waiting.push(polls.ask(&key, want(n, true)));
    }
    assert!(waiting.iter().take(8).all(|question| heard.contains(&question.id)));
}
