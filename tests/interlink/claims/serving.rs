//! HTTP as such: segments, verbs, paths, sizes, slow and silent callers.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::client::dialect::Dialect;
use crate::client::pods::{self, plain};
use crate::client::transport::{Request, Transport};
use crate::client::wire;
use crate::door::{Door, PATIENCE, free_port};

super::claims![
    an_answer_leaves_in_one_piece,
    answers_are_neither_compressed_nor_redirected,
    every_verb_is_taken_on_every_path,
    the_paths_of_other_plugins_answer,
    sixteen_mebibytes_are_taken_and_more_are_refused,
    ten_thousand_idle_connections_do_not_keep_others_out,
    callers_that_never_finish_do_not_keep_others_out,
    questions_wait_for_no_pod_that_is_brought,
    what_is_not_http_is_shown_the_door,
];

/// A door on a port, and the address.
async fn on_port() -> (Door, String) {
    let port = free_port().to_string();
    let mut door = Door::closed(&["--port", &port]);
    let address = format!("127.0.0.1:{port}");
    door.start_on(&Transport::tcp(&address)).await;
    (door, address)
}

async fn an_answer_leaves_in_one_piece() {
    let (door, address) = on_port().await;
    let pod = plain("one");
    let mut kubelet = door.kubelet();
    kubelet.transport = Transport::tcp(&address);
    kubelet.create(&pod).await.unwrap();
    let body = serde_json::to_string(&json!([pod])).unwrap();
    let head = format!("GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let request = format!("{head}{body}");
    let mut connection = TcpStream::connect(&address).await.unwrap();
    connection.set_nodelay(true).unwrap();
    for n in 0..100 {
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 65536];
        let length = connection.read(&mut buffer).await.unwrap();
        let got = String::from_utf8_lossy(&buffer[..length]).into_owned();
        // WIRE 1.1: in two segments each poll of a Go client takes 47 ms.
        let (head, body) = got.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{n}: {got}"));
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        assert_eq!(length.unwrap().parse::<usize>().unwrap(), body.len(), "{n}: {got}");
    }
}

async fn answers_are_neither_compressed_nor_redirected() {
    let door = Door::open().await;
    for path in ["/status", "/status/", "//status", "/pinglink", "/create", "/system-info", "/nowhere"] {
        for method in ["GET", "POST"] {
            let answer = door.transport().send(&Request::json(method, path, &json!([]))).await.unwrap();
            assert!(!(300..400).contains(&answer.code), "{method} {path}: {}", answer.code); // WIRE 1.1
            assert_eq!(answer.header("content-encoding"), None, "{method} {path}");
        }
    }
}

async fn every_verb_is_taken_on_every_path() {
    let door = Door::open().await;
    let transport = door.transport();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
        // WIRE 0: accept any method on every path; the API server does not look at it either.
        let pod = plain("verb");
        let send = async |request: Request| {
            let request = Request { method: method.to_owned(), ..request };
            let answer = transport.send(&request).await.unwrap();
            answer.success().map_or_else(|why| panic!("{method} {}: {why}", request.path), <[u8]>::to_vec)
        };
        let made = send(Dialect::NEWEST.create(&pod)).await;
        assert_eq!(wire::create_struct(&made).unwrap().pod_uid, pods::uid_of(&pod));
        let told = send(Dialect::NEWEST.status(std::slice::from_ref(&pod))).await;
        assert_eq!(wire::pod_statuses(&told).unwrap().len(), 1);
        assert_eq!(wire::json(&send(Dialect::NEWEST.delete(&pod)).await).unwrap(), json!([]));
        wire::ping_response(&send(Dialect::NEWEST.ping()).await).unwrap();
    }
}

async fn the_paths_of_other_plugins_answer() {
    let door = Door::open().await;
    let transport = door.transport();
    // WIRE 1.4: /updateCache with a pod, health as other plugins have it, the version of later releases.
    let update = Request::json("POST", "/updateCache", &plain("cached"));
    transport.send(&update).await.unwrap().success().unwrap();
    for path in ["/system-info", "/version"] {
        let answer = transport.send(&Request::bytes("GET", path, Vec::new())).await.unwrap();
        assert!(wire::json(answer.success().unwrap()).unwrap().is_object(), "{path}");
    }
    let answer = transport.send(&Request::bytes("GET", "/version", Vec::new())).await.unwrap();
    assert_eq!(wire::json(&answer.body).unwrap()["version"], env!("CARGO_PKG_VERSION"));
    let nowhere = transport.send(&Request::bytes("GET", "/nowhere", Vec::new())).await.unwrap();
    assert_eq!(nowhere.code, 404);
}

async fn sixteen_mebibytes_are_taken_and_more_are_refused() {
    let mut door = Door::open().await;
    let transport = door.transport();
    // Whole ConfigMaps and Secrets travel (WIRE 1.1), though no pod mounts them.
    let request = |bytes: usize| {
        let pod = plain("large");
        let map = json!({ "metadata": { "name": "large" }, "data": { "blob": "x".repeat(bytes) } });
        let body = json!({ "pod": pod, "configmaps": [map], "secrets": null, "projectedvolumesmaps": null });
        (pods::uid_of(&pod).to_owned(), Request::json("POST", "/create", &body))
    };
    let (uid, below) = request((16 << 20) - 8192);
    let answer = transport.send(&below).await.unwrap();
    assert_eq!(wire::create_struct(answer.success().unwrap()).unwrap().pod_uid, uid);
    let (_, above) = request(17 << 20);
    for path in ["/create", "/status", "/delete", "/getLogs", "/updateCache"] {
        // The connection may be closed before all of it has been sent.
        if let Ok(answer) = transport.send(&Request { path: path.to_owned(), ..above.clone() }).await {
            let unread = path == "/updateCache" && answer.code == 200;
            assert!(unread || (400..500).contains(&answer.code), "{path}: {}", answer.code);
        }
    }
    door.assert_alive();
    door.until_queued(&uid).await;
}

async fn ten_thousand_idle_connections_do_not_keep_others_out() {
    let (mut door, address) = on_port().await;
    // WIRE 1.1: a virtual kubelet with TLS leaves one behind with each request.
    let mut idle = Vec::new();
    for n in 0..10_000 {
        match TcpStream::connect(&address).await {
            Ok(connection) => idle.push(connection),
            Err(error) => panic!("connection {n}: {error}"),
        }
        // The listener's queue is short; whoever has an answer has been taken from it.
        if n % 100 == 0 {
            let ping = Transport::tcp(&address);
            let ping = async { ping.send(&Dialect::NEWEST.ping()).await };
            let answer = tokio::time::timeout(PATIENCE, ping).await.expect("an answer").unwrap();
            answer.success().unwrap();
        }
    }
    door.assert_alive();
    let mut kubelet = door.kubelet();
    kubelet.transport = Transport::tcp(&address);
    let made = tokio::time::timeout(PATIENCE, kubelet.create(&plain("new"))).await;
    made.expect("an answer").unwrap();
}

async fn callers_that_never_finish_do_not_keep_others_out() {
    let door = Door::open().await;
    let mut stuck = Vec::new();
    for begin in
        ["", "GET", "POST /create HTTP/1.1\r\n", "POST /create HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"]
    {
        for _ in 0..50 {
            let mut connection = UnixStream::connect(door.socket()).await.unwrap();
            connection.write_all(begin.as_bytes()).await.unwrap();
            stuck.push(connection);
        }
    }
    let mut kubelet = door.kubelet();
    let made = tokio::time::timeout(Duration::from_secs(30), kubelet.create(&plain("quick"))).await;
    let uid = made.expect("an answer").unwrap().pod_uid;
    kubelet.ask(&uid).await;
    drop(stuck);
}

async fn questions_wait_for_no_pod_that_is_brought() {
    let door = Door::open().await;
    let mut stuck = Vec::new();
    // As many as have room at a time: each is read this far when it has its share.
    for (callers, bytes) in [(8, 4 << 20), (2, 16 << 20)] {
        for _ in 0..callers {
            let mut connection = UnixStream::connect(door.socket()).await.unwrap();
            let head = format!("POST /create HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
            connection.write_all(head.as_bytes()).await.unwrap();
            connection.write_all(&vec![b' '; 1 << 20]).await.unwrap();
            stuck.push(connection);
        }
    }
    // And those that wait for them, so that no question's turn comes when those above have had their time.
    for bytes in [4 << 20; 8].into_iter().chain([16 << 20; 2]) {
        let mut connection = UnixStream::connect(door.socket()).await.unwrap();
        let head = format!("POST /create HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        connection.write_all(&vec![b' '; 100 << 10]).await.unwrap();
        stuck.push(connection);
    }
    let many: Vec<_> = (0..1_000).map(|n| plain(&format!("pod-{n}"))).collect();
    for question in
        [Dialect::NEWEST.ping(), Dialect::NEWEST.status(&many[..1]), Dialect::NEWEST.status(&many)]
    {
        let answer = tokio::time::timeout(PATIENCE, door.transport().send(&question)).await;
        answer.expect("an answer").unwrap().success().unwrap();
    }
    drop(stuck);
}

async fn what_is_not_http_is_shown_the_door() {
    let mut door = Door::open().await;
    for nonsense in
        [&b"\x16\x03\x01\x02\x00\x01"[..], b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0; 4096]]
    {
        let mut connection = UnixStream::connect(door.socket()).await.unwrap();
        // It may be closed before all is written.
        let _ = connection.write_all(nonsense).await;
        let _ = connection.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
        drop(read.expect("an answer or an end"));
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&answer));
    }
    for (path, body) in
        [("/status", "{"), ("/create", "not json"), ("/delete", ""), ("/getLogs", "[]"), ("/create", "")]
    {
        let answer = door.transport().send(&Request::bytes("POST", path, body.into())).await.unwrap();
        assert_eq!(answer.code, 400, "{path} {body:?}: {}", answer.text());
    }
    door.assert_alive();
}
