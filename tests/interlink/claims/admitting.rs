//! Who may call: what is listened on, and what is asked for there.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use crate::client::dialect::{Dialect, Hop, Version};
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::plain;
use crate::client::transport::{Answer, Keys, Transport};
use crate::client::wire;
use crate::door::{Door, free_port};

super::claims![
    without_a_flag_there_is_a_socket_for_us_alone,
    a_port_alone_is_open_on_loopback,
    a_token_is_asked_for_where_a_file_names_it,
    a_token_file_that_changes_counts_soon,
    tls_takes_only_certified_callers,
    another_address_needs_protection_or_a_clear_word,
    an_old_socket_is_no_obstacle,
];

/// Creates a pod and asks for it, this way.
async fn lives(door: &Door, transport: Transport) {
    for hop in [Hop::Kubelet, Hop::Server] {
        let dialect = Dialect { version: Version::V062, hop };
        let mut kubelet = VirtualKubelet::new(transport.clone(), dialect);
        kubelet.transport.send(&dialect.ping()).await.unwrap().success().unwrap();
        let uid = kubelet.create(&plain("plain")).await.unwrap().pod_uid;
        kubelet.ask(&uid).await;
        door.until_queued(&uid).await;
        let answer = kubelet.delete(&uid).await;
        assert_eq!(wire::json(answer.success().unwrap()).unwrap(), serde_json::json!([]));
    }
}

async fn without_a_flag_there_is_a_socket_for_us_alone() {
    let door = Door::open().await;
    let metadata = std::fs::metadata(door.socket()).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    // WIRE 1.1, 10.18: both hops; the client sends `Host: unix`.
    lives(&door, door.transport()).await;
}

async fn a_port_alone_is_open_on_loopback() {
    let port = free_port().to_string();
    let mut door = Door::closed(&["--port", &port]);
    let transport = Transport::tcp(&format!("127.0.0.1:{port}"));
    door.start_on(&transport).await;
    lives(&door, transport).await; // WIRE 10.17: without a token, as API servers never have one
    let elsewhere = Transport::tcp(&format!("127.0.0.3:{port}"));
    elsewhere.send(&Dialect::NEWEST.ping()).await.unwrap_err();
    let warnings = door.log().lines().filter(|line| line.contains("WARN") && line.contains(&port)).count();
    assert_eq!(warnings, 1, "{}", door.log());
}

/// A door behind a token, and the way there without one.
async fn guarded(token: &str) -> (Door, Transport) {
    let port = free_port().to_string();
    let door = Door::closed(&["--port", &port]);
    let file = door.scripted.path().join("token");
    std::fs::write(&file, token).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let mut door = door.set("HTC_INTERLINK_TOKEN_FILE", file.to_str().unwrap());
    door.spawn();
    let transport = Transport::tcp(&format!("127.0.0.1:{port}"));
    assert_eq!(door.until_answers(&transport).await.code, 401);
    (door, transport)
}

async fn ping(transport: &Transport) -> Answer {
    transport.send(&Dialect::NEWEST.ping()).await.unwrap()
}

async fn a_token_is_asked_for_where_a_file_names_it() {
    let (door, transport) = guarded("the right token\n").await;
    for wrong in ["the wrong token", "", "the right toke", "the right token and more", "THE RIGHT TOKEN"] {
        let answer = ping(&transport.clone().with_token(wrong)).await;
        assert_eq!(answer.code, 401, "{wrong:?}: {}", answer.text());
    }
    // WIRE 1.1: on every call; nothing happens without.
    let refused = transport.send(&Dialect::NEWEST.create(&plain("refused"))).await.unwrap();
    assert_eq!(refused.code, 401);
    lives(&door, transport.with_token("the right token")).await;
    assert_eq!(door.committed().len(), 2);
    assert!(!door.log().contains("right token") && !door.log().contains("wrong token"), "{}", door.log());
}

async fn a_token_file_that_changes_counts_soon() {
    let (mut door, transport) = guarded("first").await;
    let (first, second) = (transport.clone().with_token("first"), transport.with_token("second"));
    assert_eq!((ping(&first).await.code, ping(&second).await.code), (200, 401));
    let file = door.scripted.path().join("token");
    let new = door.scripted.path().join("token.new");
    std::fs::write(&new, "second").unwrap();
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::rename(&new, &file).unwrap();
    for _ in 0..600 {
        if ping(&second).await.code == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!((ping(&first).await.code, ping(&second).await.code), (401, 200));
    door.assert_alive();
}

async fn tls_takes_only_certified_callers() {
    let port = free_port().to_string();
    let door = Door::closed(&["--port", &port]);
    let keys = Keys::make(door.scripted.path());
    let file = |name, kind| keys.file(name, kind).display().to_string();
    let mut door = door
        .set("HTC_INTERLINK_TLS_CERT", &file("server", "crt"))
        .set("HTC_INTERLINK_TLS_KEY", &file("server", "key"))
        .set("HTC_INTERLINK_CLIENT_CA", &file("ca", "crt"));
    let address = format!("127.0.0.1:{port}");
    let certified = Transport::tls(&address, &keys, true);
    door.start_on(&certified).await;
    // WIRE 1.1, 10.19: a connection per request.
    lives(&door, certified).await;
    Transport::tls(&address, &keys, false).send(&Dialect::NEWEST.ping()).await.unwrap_err();
    let strangers = door.scripted.path().join("strangers");
    std::fs::create_dir(&strangers).unwrap();
    let strange = Keys::make(&strangers);
    Transport::tls(&address, &strange, true).send(&Dialect::NEWEST.ping()).await.unwrap_err();
    assert!(Transport::tcp(&address).send(&Dialect::NEWEST.ping()).await.is_err_and(|_| true));
    door.assert_alive();
}

async fn another_address_needs_protection_or_a_clear_word() {
    let port = free_port();
    let url = format!("http://0.0.0.0:{port}");
    let mut door = Door::closed(&[]).set("HTC_INTERLINK_LISTEN", &format!("0.0.0.0:{port}"));
    door.spawn();
    assert!(!door.ended().await.success());
    assert!(door.log().contains("--insecure-public"), "{url}: {}", door.log());
    door.arguments.push("--insecure-public".to_owned());
    let transport = Transport::tcp(&format!("127.0.0.1:{port}"));
    door.start_on(&transport).await;
    lives(&door, transport).await;
}

async fn an_old_socket_is_no_obstacle() {
    let mut door = Door::open().await;
    door.kill().await;
    assert!(door.socket().exists(), "kill -9 leaves it");
    door.start().await;
    lives(&door, door.transport()).await;
}
