//! A pod's whole life, over every way to the endpoint, with real HTCondor and apptainer.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{by_socket, kubelet, quick, start, until_answers, with_endpoint};
use crate::client::dialect::{Dialect, Hop, Opts, Version};
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::{self, container, pod};
use crate::client::recordings;
use crate::client::transport::{Keys, Transport};
use crate::client::wire;
use crate::harness::{Bed, on_bed, until};

/// Create, status, logs, delete, of a pod with an init container and two containers in an image.
async fn lives(bed: &Bed, transport: Transport, hop: Hop) {
    let mut kubelet = VirtualKubelet::new(transport, Dialect { version: Version::V062, hop });
    let shell = |name, script: &str| container(name, "docker.io/library/busybox:1", &["sh", "-c", script]);
    let gate = bed.gate("go");
    let mut pod = pod(
        "life",
        &[shell("first", "echo from the init; echo made > /common/file")],
        &[shell("main", &format!("cat /common/file; {gate}echo out")), shell("side", "echo err >&2; exit 0")],
    );
    pod["spec"]["volumes"] = json!([
        { "name": "work", "emptyDir": {} },
        { "name": "gates", "hostPath": { "path": bed.folder.join("gates") } },
    ]);
    let mount = |name: &str, path: String| json!({ "name": name, "mountPath": path });
    let gates = bed.folder.join("gates").display().to_string();
    pod["spec"]["initContainers"][0]["volumeMounts"] = json!([mount("work", "/common".to_owned())]);
    pod["spec"]["containers"][0]["volumeMounts"] =
        json!([mount("work", "/common".to_owned()), mount("gates", gates)]);
    let uid = kubelet.create(&pod).await.unwrap().pod_uid;
    kubelet.until_phase(&uid, "Running").await;
    kubelet.until(&uid, "one over", |copy| copy.state("side").terminated.is_some()).await;
    assert_eq!(kubelet.held(&uid).copy.phase, "Running"); // WIRE 4: one over, the other runs
    let first = kubelet.held(&uid).copy.state("first").terminated.clone().unwrap();
    assert_eq!(first.exit_code, 0);
    bed.open("go");
    kubelet.until_phase(&uid, "Succeeded").await;
    let log = async |name| kubelet.log(&uid, name, &Opts::default()).await;
    assert_eq!(
        (log("first").await.as_str(), log("main").await.as_str(), log("side").await.as_str()),
        ("from the init\n", "made\nout\n", "err\n")
    );
    std::fs::remove_file(bed.folder.join("gates/go")).unwrap();
    let answer = kubelet.delete(&uid).await;
    assert_eq!(wire::json(answer.success().unwrap()).unwrap(), json!([]));
    bed.until_queue_empty().await;
}

/// The worker sees the gates where we do.
fn with_gates(bed: &mut Bed) {
    let gates = bed.folder.join("gates").display().to_string();
    bed.set("HTC_POD_HOST_PATHS", Some(&gates));
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pod_lives_over_a_unix_socket() {
    on_bed(async |bed: &mut Bed| {
        with_gates(bed);
        start(bed).await;
        let mode = std::fs::metadata(super::socket(bed)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for hop in [Hop::Kubelet, Hop::Server] {
            lives(bed, by_socket(bed), hop).await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pod_lives_over_tcp() {
    on_bed(async |bed: &mut Bed| {
        with_gates(bed);
        let port = free_port();
        bed.spawn_as(&["interlink", "--port", &port]);
        let transport = Transport::tcp(&format!("127.0.0.1:{port}"));
        until_answers(bed, &transport).await;
        lives(bed, transport, Hop::Server).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pod_lives_over_tls_with_a_client_certificate() {
    on_bed(async |bed: &mut Bed| {
        with_gates(bed);
        let (port, keys) = (free_port(), Keys::make(&bed.folder));
        let files = [("CERT", "server", "crt"), ("KEY", "server", "key"), ("CA", "ca", "crt")];
        for (variable, name, kind) in files {
            let variable = match variable {
                "CA" => "HTC_INTERLINK_CLIENT_CA".to_owned(),
                other => format!("HTC_INTERLINK_TLS_{other}"),
            };
            bed.set(&variable, keys.file(name, kind).to_str());
        }
        bed.spawn_as(&["interlink", "--port", &port]);
        let address = format!("127.0.0.1:{port}");
        let transport = Transport::tls(&address, &keys, true);
        until_answers(bed, &transport).await;
        let stranger = Transport::tls(&address, &keys, false);
        stranger.send(&Dialect::NEWEST.ping()).await.unwrap_err();
        lives(bed, transport, Hop::Kubelet).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_failed_init_ends_the_pod_with_its_code() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let shell = |name, script| container(name, "host", &["bash", "-c", script]);
        let inits = [shell("one", "true"), shell("two", "exit 7"), shell("three", "true")];
        let pod = pod("inits", &inits, &[shell("a", "true"), shell("b", "true")]);
        let uid = kubelet.create(&pod).await.unwrap().pod_uid;
        kubelet.until_phase(&uid, "Failed").await;
        let copy = kubelet.held(&uid).copy.clone();
        let end = |name| copy.state(name).terminated.clone().unwrap();
        // WIRE 4, failed in init: its code on the regular ones too, all terminated, and it says which.
        assert_eq!((end("one").exit_code, end("two").exit_code), (0, 7));
        assert_eq!((end("a").exit_code, end("b").exit_code), (7, 7));
        assert!(end("a").message.is_some_and(|message| message.contains("two")), "{:?}", end("a"));
        assert_eq!(copy.reason, "Error: 7");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_running_pod_is_deleted_with_its_job() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let uid = kubelet.create(&quick("deleted", "sleep 1000")).await.unwrap().pod_uid;
        kubelet.until_phase(&uid, "Running").await;
        kubelet.delete(&uid).await.success().unwrap(); // WIRE 3.5: at the start of the grace period
        bed.until_queue_empty().await;
        until("its folder to go", async || match bed.data().join("jobs").join(&uid).exists() {
            true => Err("it is there".to_owned()),
            false => Ok(()),
        })
        .await;
    })
    .await;
}

/// The same pod from a virtual kubelet and from the API server; the bed's root may not have the files.
const RECORDED: [&str; 2] = [
    include_str!("../../recordings/0.6.2/hop1/013-create-volumes.json"),
    include_str!("../../recordings/0.6.2/hop2/013-create-volumes.json"),
];

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_recorded_pod_with_volumes_runs() {
    with_endpoint(async |bed: &mut Bed| {
        let mut kubelet = kubelet(bed);
        let script = "cat /cfg/bin/run.sh /etc/app.ini /sec/password /proj/conf/settings.ini /proj/name /down/labels; \
                      /cfg/bin/run.sh there; stat -c '%a' -L /cfg/bin/run.sh /sec/password; \
                      touch /etc/app.ini 2>/dev/null || echo read-only; echo scratch > /scratch/x";
        for recorded in RECORDED {
            let mut recording = recordings::parse(recorded);
            let uid = pods::uid();
            let pod = &mut recording.body["pod"];
            pod["metadata"]["uid"] = uid.as_str().into();
            pod["spec"]["containers"][0]["command"] = json!(["sh", "-c", script]);
            pod["spec"]["containers"][1]["command"] = json!(["true"]);
            // The bed has this one.
            for n in 0..2 {
                pod["spec"]["containers"][n]["image"] = "docker.io/library/busybox:1".into();
            }
            let pod = pod.clone();
            kubelet.transport.send(&recording.request()).await.unwrap().success().unwrap();
            kubelet.hold(&pod);
            kubelet.until(&uid, "over", |copy| copy.is_over()).await;
            let log = kubelet.log(&uid, "main", &Opts::default()).await;
            assert_eq!(kubelet.held(&uid).copy.phase, "Succeeded", "{log}");
            // WIRE 3.3, 10.11: items with modes, subPath, secrets decoded, projected content.
            for words in ["echo \"hello $1\"", "hello there", "name = \"x\"", "p@ss\"word'$HOME", "app=\"volumes\"", "755", "read-only"] {
                assert!(log.contains(words), "{words}: {log}");
            }
        }
    })
    .await;
}

/// A port that is free now.
pub fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}
