//! Tests of the words of polls.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn key() -> JobKey {
    "u/1/0/2".parse().unwrap()
}

fn log(want: LogWant) -> Asks {
    Asks { seq: 3, asks: vec![Ask { id: 9, want: Want::Log(want) }] }
}

fn position() -> impl Strategy<Value = Position> {
    (prop::collection::vec(any::<u8>(), 0..crate::log::HEAD), any::<u64>())
        .prop_map(|(head, offset)| Position { head, offset })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        at in position(),
        (seq, size) in any::<(u64, u64)>(),
        (wait, continues, closed) in any::<(bool, bool, bool)>(),
        open in prop::collection::vec(any::<u64>(), 0..ASKS),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let poll = Poll { key: key(), start: 2, seq, open };
        prop_assert_eq!(Poll::read(&poll.write()), Some(poll));
        let from = Begin::Position(at.clone());
        let asks = log(LogWant { container: "main\n\0".into(), previous: false, from, wait });
        prop_assert_eq!(Asks::read(&asks.write()), Some(asks));
        let part = LogPart { at, size, continues, closed };
        let reply = Reply { key: key(), id: 1, answer: Answer::Log(part) };
        let body = reply.write(&bytes);
        prop_assert_eq!(Reply::read(&body), Some((reply, bytes.as_slice())));
    }

    #[test]
    fn no_body_is_too_odd(word in 0..3_usize, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let body = [[Poll::WORD, Asks::WORD, Reply::WORD][word], b"\n", &bytes].concat();
        let _ = (Poll::read(&body), Asks::read(&body), Reply::read(&body));
        let _ = (Poll::read(&bytes), Asks::read(&bytes), Reply::read(&bytes));
    }
}

#[test]
fn no_body_passes_for_another() {
    let poll = Poll { key: key(), start: 1, seq: 1, open: vec![] }.write();
    let reply = Reply { key: key(), id: 1, answer: Answer::Unsupported }.write(&[]);
    let asks = Asks { seq: 1, asks: vec![] }.write();
    assert!(Reply::read(&poll).is_none() && Asks::read(&poll).is_none());
    assert!(Poll::read(&reply).is_none() && Asks::read(&reply).is_none());
    assert!(Poll::read(&asks).is_none() && Reply::read(&asks).is_none());
    // Reports are JSON, as objects or as arrays.
    for body in [poll, reply, asks] {
        assert!(serde_json::from_slice::<Value>(&body).is_err());
    }
}

#[test]
fn what_is_newer_than_its_reader_is_told_from_what_is_known() {
    let ask = |want: Value| serde_json::from_value::<Ask>(json!({ "id": 1, "want": want })).unwrap().want;
    let known = json!({ "log": { "container": "main", "previous": false, "from": "start", "wait": true } });
    assert!(matches!(ask(known), Want::Log(_)));
    for newer in [
        json!("renew"),
        json!({ "exec": { "container": "main", "words": ["sh"] } }),
        json!({ "log": { "container": "main", "previous": false, "from": "start", "wait": true, "limit": 1 } }),
        json!({ "log": { "container": "main", "previous": false, "from": { "time": 7 }, "wait": true } }),
    ] {
        assert_eq!(ask(newer.clone()), Want::Other(newer));
    }
    let answer: Answer = serde_json::from_value(json!({ "exec": { "code": 0 } })).unwrap();
    assert!(matches!(answer, Answer::Other(_)));
}

#[test]
fn a_sender_that_does_not_say_that_a_log_is_closed_is_understood() {
    let part = json!({ "at": { "head": "", "offset": 0 }, "size": 0, "continues": true });
    assert!(!serde_json::from_value::<LogPart>(part).unwrap().closed);
}

#[test]
fn a_reply_has_no_more_bytes_than_a_piece() {
    let reply = Reply { key: key(), id: 1, answer: Answer::Unsupported };
    assert!(Reply::read(&reply.write(&vec![0; PIECE])).is_some());
    assert!(Reply::read(&reply.write(&vec![0; PIECE + 1])).is_none());
}
