//! The ping, with what the pool has.

use serde_json::{Value, json};

use crate::client::dialect::{Dialect, Hop, Version};
use crate::client::pods::plain;
use crate::client::transport::{Request, Transport};
use crate::client::wire::{self, PingResponse};
use crate::door::Door;
use crate::pool::{Fault, Outage, Planned};

super::claims![
    every_way_to_ping_has_the_same_answer,
    capacity_is_told_in_strings,
    ping_answers_while_the_pool_is_away,
    a_pool_that_is_away_keeps_its_capacity,
    a_pool_that_is_away_is_told_in_words_while_pings_are_well,
    a_pool_that_is_away_for_long_takes_neither_pings_nor_readiness,
    a_missing_proxy_is_a_bad_ping_only_where_that_is_set,
];

const CALLERS: [Hop; 2] = [Hop::Kubelet, Hop::Server];

async fn ping(door: &Door) -> PingResponse {
    let answer = door.transport().send(&Dialect::NEWEST.ping()).await.unwrap();
    wire::ping_response(answer.success().unwrap()).unwrap()
}

/// Pings until there is capacity in the answer.
async fn until_capacity(door: &Door) -> PingResponse {
    for _ in 0..600 {
        let pong = ping(door).await;
        if pong.resources.as_ref().is_some_and(|resources| !resources.cpu.is_empty()) {
            return pong;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no capacity: {:?}\n{}", ping(door).await, door.log());
}

async fn every_way_to_ping_has_the_same_answer() {
    let door = Door::open().await;
    let bodies = [
        Dialect { version: Version::V062, hop: Hop::Kubelet }.ping(),
        Dialect { version: Version::V062, hop: Hop::Server }.ping(),
        Request::bytes("GET", "/pinglink", Vec::new()),
        Request::bytes("POST", "/pinglink", Vec::new()),
        Request::bytes("GET", "/status", Vec::new()), // WIRE 1.4: or empty
        Request::json("POST", "/status", &json!([])),
    ];
    for request in bodies {
        let answer = door.transport().send(&request).await.unwrap();
        let pong: Value = wire::json(answer.success().unwrap()).unwrap();
        assert_eq!(pong["status"], "healthy", "{request:?}");
        assert!(pong["message"].is_string() && pong["taints"].is_array(), "{pong}");
        assert!(pong["resources"].is_object(), "{pong}");
    }
}

async fn capacity_is_told_in_strings() {
    let door = Door::open().await;
    let has = until_capacity(&door).await.resources.unwrap();
    // WIRE 2, 10.15: a number would have voided the answer already. What the scripted pool has:
    assert_eq!(
        (has.cpu.as_str(), has.accelerators.as_deref().unwrap_or_default().len()),
        ("48", 1),
        "{has:?}"
    );
    let gpus = &has.accelerators.as_ref().unwrap()[0];
    assert_eq!((gpus.resource_type.as_str(), gpus.available.as_str()), ("nvidia.com/gpu", "2"));
    assert!(!has.memory.is_empty() && !has.pods.is_empty(), "{has:?}");
}

async fn ping_answers_while_the_pool_is_away() {
    for fault in [Fault::Outage(Outage::Pool), Fault::Hang, Fault::Fail("nonsense".to_owned())] {
        let mut door = Door::closed(&[]);
        door.scripted.plan(Planned::everywhere(fault));
        // WIRE 3.1, 10.16: from the first ping on, else all pods are evicted in five minutes.
        door.start().await;
        for hop in CALLERS {
            let ping = Dialect { version: Version::V062, hop }.ping();
            let transport = door.transport();
            let answer = tokio::time::timeout(std::time::Duration::from_secs(30), transport.send(&ping));
            answer.await.expect("an answer").unwrap().success().unwrap();
        }
        let (code, text) = ready(&door).await;
        assert!(code == 200 && text.contains("the pool has not answered"), "{text}");
        door.scripted.heal();
    }
}

/// What `/readyz` says.
async fn ready(door: &Door) -> (u16, String) {
    let request = Request::bytes("GET", "/readyz", Vec::new());
    let answer = Transport::tcp(&door.settings["HTC_HEALTH_LISTEN"]).send(&request).await.unwrap();
    (answer.code, answer.text())
}

async fn a_pool_that_is_away_for_long_takes_neither_pings_nor_readiness() {
    let door = Door::open().await;
    door.kubelet().create(&plain("looked-for")).await.unwrap();
    until_connected(&door, true).await;
    assert_eq!(
        (ready(&door).await, door.metric("htc_pool_reachable").await),
        ((200, "ready\n".to_owned()), 1)
    );
    door.scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    until_connected(&door, false).await;
    let before = door.scripted.calls("condor_q").len();
    while door.scripted.calls("condor_q").len() < before + 3 {
        let (code, text) = ready(&door).await;
        assert!(code == 200 && text.contains("the pool has not answered since"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(door.metric("htc_pool_reachable").await, 0);
        ping(&door).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    door.scripted.heal();
    until_connected(&door, true).await;
    assert_eq!(
        (ready(&door).await, door.metric("htc_pool_reachable").await),
        ((200, "ready\n".to_owned()), 1)
    );
}

async fn a_pool_that_is_away_keeps_its_capacity() {
    let door = Door::open().await;
    let before = until_capacity(&door).await;
    door.scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    for _ in 0..20 {
        assert_eq!(ping(&door).await, before); // WIRE 3.1: no flicker; 10.15: what was named is named
    }
}

/// Asks for `/system-info` until the pool answers, or does not; gives what else it says.
async fn until_connected(door: &Door, is: bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let answer = door.transport().send(&Request::bytes("GET", "/system-info", Vec::new())).await.unwrap();
        let info = wire::json(answer.success().unwrap()).unwrap();
        if info["htcondor_connected"] == is {
            return info;
        }
        assert!(began.elapsed() < crate::door::PATIENCE, "{info}\n{}", door.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn a_pool_that_is_away_is_told_in_words_while_pings_are_well() {
    let door = Door::open().await;
    // A pool that has nothing to do is asked rarely.
    door.kubelet().create(&plain("looked-for")).await.unwrap();
    assert_eq!(until_connected(&door, true).await["status"], "ok");
    door.scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    let info = until_connected(&door, false).await;
    let why = info["message"].as_str().unwrap();
    assert!(info["status"] == "warning" && why.contains("the pool has not answered since"), "{info}");
    let answer = door.transport().send(&Dialect::NEWEST.ping()).await.unwrap();
    let pong = wire::json(answer.success().unwrap()).unwrap();
    assert_eq!((&pong["status"], pong["message"].as_str()), (&json!("healthy"), Some(why)));
    door.scripted.heal();
    assert_eq!(until_connected(&door, true).await["status"], "ok");
}

async fn a_missing_proxy_is_a_bad_ping_only_where_that_is_set() {
    for (strict, code) in [(false, 200), (true, 503)] {
        let mut door = Door::closed(&["--proxy", "/nowhere/x509up"]);
        if strict {
            door = door.set("HTC_INTERLINK_PING_CHECKS_CREDENTIAL", "true");
        }
        door.spawn();
        let transport = door.transport();
        let answer = door.until_answers(&transport).await;
        assert_eq!(answer.code, code, "{}", answer.text());
        assert!(code == 200 || answer.text().contains("x509up"), "{}", answer.text());
    }
}
