//! Arguments, environment, files and entry points arrive as they were sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{create, create_with, ended, until_log, with_endpoint};
use crate::client::pods::{container, pod};
use crate::harness::{Bed, until};

#[path = "../../../sender/tests/it/trouble.rs"]
pub mod trouble;

/// As `base64 -w 0` writes it.
fn encoded(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn seventeen_kinds_of_quoting_and_the_longest_value_arrive() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let mut values = trouble::troublesome();
        assert_eq!(values.len(), 17);
        // The name, `=` and the value together.
        values.push("x".repeat(trouble::LONGEST - "V17=".len()));
        let said = r#"printf %s "$1" | base64 -w 0; echo"#;
        let script = format!(
            "say() {{ {said}; }}\n\
             for n in $(seq 0 {}); do eval \"say \\\"\\$V$n\\\"\"; done\n\
             for word; do say \"$word\"; done",
            values.len() - 1
        );
        let mut main = container("main", "busybox", &["sh", "-c", &script, "sh"]);
        let words = trouble::troublesome();
        main["args"] = json!(words);
        let variable = |(n, value): (usize, &String)| json!({ "name": format!("V{n}"), "value": value });
        main["env"] = values.iter().enumerate().map(variable).collect::<Value>();
        let uid = create(kubelet, &pod("values", &[], &[main])).await;
        ended(kubelet, &uid, "Succeeded").await;
        let lines: Vec<String> = values.iter().chain(&words).map(|v| encoded(v) + "\n").collect();
        until_log(kubelet, &uid, "main", &lines.concat()).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn files_of_volumes_have_their_bytes_and_modes() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let script = "#!/bin/sh\necho \"hello $1\"\n\n";
        let text = "[main]\r\nname = \"x\"\n\ttabs\t= yes\n no newline at the end";
        let blob: Vec<u8> = (0..=255).collect();
        let show = "cd /all; for f in maps/run.sh maps/blob.bin maps/deep/settings secrets/password projected/token;\n\
                    do echo \"$f $(stat -L -c %a $f) $(base64 -w 0 < $f)\"; done\n\
                    maps/run.sh you; touch maps/x 2> /dev/null || echo refused";
        let mut main = container("main", "busybox", &["sh", "-c", show]);
        main["volumeMounts"] = json!([
            { "name": "maps", "mountPath": "/all/maps" }, { "name": "secrets", "mountPath": "/all/secrets" },
            { "name": "projected", "mountPath": "/all/projected" },
        ]);
        let mut pod = pod("files", &[], &[main]);
        let items = json!([
            { "key": "run.sh", "path": "run.sh", "mode": 0o755 }, { "key": "blob", "path": "blob.bin" },
            { "key": "settings.ini", "path": "deep/settings" },
        ]);
        pod["spec"]["volumes"] = json!([
            { "name": "maps", "configMap": { "name": "app", "items": items, "defaultMode": 0o640 } },
            { "name": "secrets", "secret": { "secretName": "app", "defaultMode": 0o400 } },
            { "name": "projected", "projected": { "defaultMode": 0o644, "sources": [
                { "serviceAccountToken": { "path": "token" } } ] } },
        ]);
        let config = json!({
            "metadata": { "name": "app", "namespace": "default" },
            "data": { "run.sh": script, "settings.ini": text }, "binaryData": { "blob": encoded(&blob) },
        });
        let secret = json!({
            "metadata": { "name": "app", "namespace": "default" },
            "data": { "password": encoded("p@ss'word\"$HOME\n") },
        });
        let projected = json!({ "metadata": { "name": "projected" }, "data": { "token": "a.b.c\n" } });
        let uid = create_with(kubelet, &pod, [json!([config]), json!([secret]), json!([projected])]).await;
        ended(kubelet, &uid, "Succeeded").await;
        let line = |name: &str, mode: &str, bytes: &[u8]| format!("{name} {mode} {}\n", encoded(bytes));
        let expected = [
            line("maps/run.sh", "755", script.as_bytes()),
            line("maps/blob.bin", "640", &blob),
            line("maps/deep/settings", "640", text.as_bytes()),
            line("secrets/password", "400", b"p@ss'word\"$HOME\n"),
            // As kubelets have it for tokens.
            line("projected/token", "600", b"a.b.c\n"),
            "hello you\nrefused\n".to_owned(),
        ];
        until_log(kubelet, &uid, "main", &expected.concat()).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_web_server_starts_by_the_entry_point_of_its_image() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // Its arguments are ours, since the image's own name a port that others use.
        let mut server = container("server", "web", &[]);
        server.as_object_mut().unwrap().remove("command");
        server["args"] = json!(["-f", "-p", address.to_string()]);
        let uid = create(kubelet, &pod("web", &[], &[server])).await;
        kubelet.until_phase(&uid, "Running").await;
        let page = until("the page", async || page(address).map_err(|e| e.to_string())).await;
        // The folder of the image's own `workingDir`.
        assert!(page.contains("of the test bed"), "{page}");
        kubelet.delete(&uid).await.success().unwrap();
        until("the server to be gone", async || match TcpStream::connect(address) {
            Ok(_) => Err("it listens".to_owned()),
            Err(_) => Ok(()),
        })
        .await;
    })
    .await;
}

fn page(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /os-release HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
