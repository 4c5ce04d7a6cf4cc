//! The recordings with something missing, null, unknown, or of another type, at one place after the other.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::pods;
use crate::client::recordings::{self, Recording};
use crate::client::transport::{Answer, Request};
use crate::client::wire;
use crate::door::Door;
use crate::pool::{Fault, Outage, Planned};

super::claims![
    mutated_creates_never_break_the_endpoint,
    mutated_questions_never_break_the_endpoint,
    what_is_accepted_of_mutated_pods_is_not_lost,
    bodies_that_nest_too_deeply_are_refused,
];

/// What can be wrong at a place.
const CHANGES: [fn(&Value) -> Option<Value>; 6] = [
    |_| None,
    |_| Some(Value::Null),
    |value| Some(if value.is_string() { json!(7) } else { json!("text") }),
    |value| Some(if value.is_array() { json!({ "a": 1 }) } else { json!([null]) }),
    |value| Some(if value.is_object() { json!(true) } else { json!({ "unknown": { "deep": [1] } }) }),
    |value| value.as_str().map(|text| json!(format!("../\0\u{1f600}\n{text}\"'$(x)`"))),
];

/// Where in a body: keys and numbers.
type Place = Vec<String>;

fn places(value: &Value, here: &Place, found: &mut Vec<Place>) {
    let mut below = |name: String, value: &Value| {
        let place = [here.as_slice(), &[name]].concat();
        found.push(place.clone());
        places(value, &place, found);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| below(name.clone(), value)),
        Value::Array(values) => values.iter().enumerate().for_each(|(n, value)| below(n.to_string(), value)),
        _ => {}
    }
}

fn change(body: &mut Value, place: &[String], how: fn(&Value) -> Option<Value>) {
    let (last, above) = place.split_last().unwrap();
    let pointer: String =
        above.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
    match body.pointer_mut(&pointer) {
        Some(Value::Object(fields)) => match how(&fields[last]) {
            Some(new) => drop(fields.insert(last.clone(), new)),
            None => drop(fields.remove(last)),
        },
        Some(Value::Array(values)) => {
            let n: usize = last.parse().unwrap();
            match how(&values[n]) {
                Some(new) => values[n] = new,
                None => drop(values.remove(n)),
            }
        }
        other => panic!("{place:?} leads to {other:?}"),
    }
}

/// At most so many mutants of a recording, spread evenly over its places and over what can be wrong.
fn mutants(recording: &Recording, most: usize) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    places(&recording.body, &Vec::new(), &mut all);
    let count = all.len() * CHANGES.len();
    // An odd step, so that all kinds of change come in turn.
    let step = (count / most.max(1)).max(1) | 1;
    (0..count)
        .step_by(step)
        .map(|n| {
            let (place, kind) = (&all[n / CHANGES.len()], n % CHANGES.len());
            let mut body = recording.body.clone();
            change(&mut body, place, CHANGES[kind]);
            (format!("{} {} #{kind}", recording.name, place.join(".")), body)
        })
        .collect()
}

/// The recordings of the newest and the oldest version for a path.
fn of(path: &str) -> Vec<Recording> {
    let all = ["0.6.2", "0.4.1"]
        .iter()
        .flat_map(|version| ["hop1", "hop2"].map(|hop| recordings::all(version, hop)));
    all.flatten().filter(|recording| recording.path == path && recording.body != "").collect()
}

/// A good answer, or the caller's own fault in one plain sentence.
fn assert_decent(what: &str, answer: &Answer) {
    let text = answer.text();
    match answer.code {
        200 => {}
        400..500 => {
            assert!(!text.trim().is_empty() && text.len() < 2000, "{what}: {} {text:?}", answer.code);
            assert!(!text.contains("panicked") && !text.contains("RUST_BACKTRACE"), "{what}: {text}");
        }
        code => panic!("{what}: {code} {text}"),
    }
}

/// A door whose pool is away: what is accepted waits.
async fn without_pool() -> Door {
    let mut door = Door::closed(&[]);
    door.scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    door.start().await;
    door
}

/// The pods of a create body get a UID of their own, if they have one: else each would be the first again.
fn renew(body: &mut Value) {
    let elements = match body {
        Value::Array(elements) => elements.iter_mut().collect(),
        other => vec![other],
    };
    for element in elements {
        if let Some(uid) = element.pointer_mut("/pod/metadata/uid")
            && uid.as_str().is_some_and(|uid| uid.len() == 36)
        {
            *uid = pods::uid().into();
        }
    }
}

async fn mutated_creates_never_break_the_endpoint() {
    let mut door = without_pool().await;
    let transport = door.transport();
    let (mut good, mut refused) = (0, 0);
    for recording in of("/create") {
        for (what, mut body) in mutants(&recording, 40) {
            renew(&mut body);
            let request = Request { body: serde_json::to_vec(&body).unwrap(), ..recording.request() };
            let answer = transport.send(&request).await.unwrap_or_else(|why| panic!("{what}: {why}"));
            assert_decent(&what, &answer);
            if answer.code == 200 {
                wire::create_struct(&answer.body).unwrap_or_else(|why| panic!("{what}: {why}"));
                good += 1;
            } else {
                refused += 1;
            }
        }
    }
    door.assert_alive();
    assert!(good > 500 && refused > 100, "{good} taken, {refused} refused: these are no mutants");
}

async fn mutated_questions_never_break_the_endpoint() {
    let mut door = without_pool().await;
    let transport = door.transport();
    for recording in of("/create").iter().filter(|recording| !recording.name.contains("repeated")) {
        let answer = transport.send(&recording.request()).await.unwrap();
        assert!(answer.code == 200 || answer.code == 400, "{}: {}", recording.name, answer.text());
    }
    for path in ["/status", "/getLogs", "/delete"] {
        for recording in of(path) {
            for (what, body) in mutants(&recording, 60) {
                let request = Request { body: serde_json::to_vec(&body).unwrap(), ..recording.request() };
                let answer = transport.open(&request).await.unwrap_or_else(|why| panic!("{what}: {why}"));
                // A log that is followed may have no end.
                let code = answer.status().as_u16();
                let ends = path != "/getLogs" || code != 200;
                let body = if ends { answer.bytes().await.unwrap().to_vec() } else { Vec::new() };
                assert_decent(&what, &Answer { code, headers: Vec::new(), body: body.clone() });
                if (path, code) == ("/status", 200) {
                    let is_ping = wire::ping_response(&body).is_ok();
                    assert!(is_ping || wire::pod_statuses(&body).is_ok(), "{what}: {body:?}");
                }
            }
        }
    }
    door.assert_alive();
}

async fn what_is_accepted_of_mutated_pods_is_not_lost() {
    let mut door = without_pool().await;
    let transport = door.transport();
    let recording = recordings::one("0.6.2", "hop2", "014-create-inits");
    let mut accepted = BTreeMap::new();
    for (what, mut body) in mutants(&recording, 60) {
        renew(&mut body);
        let request = Request { body: serde_json::to_vec(&body).unwrap(), ..recording.request() };
        let answer = transport.send(&request).await.unwrap();
        if answer.code == 200 {
            accepted.insert(wire::create_struct(&answer.body).unwrap().pod_uid, what);
        }
    }
    assert!(accepted.len() > 20, "{accepted:?}");
    door.kill().await;
    door.scripted.heal();
    door.start().await;
    for (uid, what) in &accepted {
        let key = door.until("its job", || accepted_ends(&door, uid)).await;
        assert!(key, "{what}");
    }
    let committed = door.committed();
    for (uid, what) in &accepted {
        assert!(committed.iter().filter(|committed| *committed == uid).count() <= 1, "{what}");
    }
}

/// Whether a pod has a job, or is told to have failed; nothing while neither is so.
fn accepted_ends(door: &Door, uid: &str) -> Option<bool> {
    door.committed().iter().any(|committed| committed == uid).then_some(true)
}

async fn bodies_that_nest_too_deeply_are_refused() {
    let mut door = Door::open().await;
    for path in ["/create", "/status", "/delete", "/getLogs"] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let body = open.repeat(100_000) + "1" + &close.repeat(100_000);
            let answer = door.transport().send(&Request::bytes("POST", path, body.into())).await.unwrap();
            assert!(answer.code < 500, "{path}: {}", answer.code);
            assert!(path != "/create" || answer.code == 400, "{}", answer.text());
        }
    }
    door.assert_alive();
}
