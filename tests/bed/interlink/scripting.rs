//! A script that a job-script builder made for a pod, in the place of its containers, on a real worker.

use serde_json::Value;

use super::{by_socket, start};
use crate::client::dialect::{Dialect, Hop, Opts, Version};
use crate::client::kubelet::VirtualKubelet;
use crate::client::pods::{self, container, pod};
use crate::client::transport::Request;
use crate::harness::{Bed, on_bed};

/// The API server, which alone sends scripts (WIRE 1.3).
const SERVER: Dialect = Dialect { version: Version::V062, hop: Hop::Server };

/// A pod whose image nobody has, so that only the script can run.
fn scripted(name: &str) -> Value {
    let main = container("main", "registry.invalid/nobody/has:this", &["no", "such", "program"]);
    let init = container("prepare", "registry.invalid/nobody/has:this", &["false"]);
    let mut pod =
        pod(name, &[init], &[main, container("side", "registry.invalid/nobody/has:this", &["false"])]);
    pod["spec"]["containers"][0]["env"] = serde_json::json!([{ "name": "GREETING", "value": "it's \"me\"" }]);
    pod
}

/// Its `/create` with a script.
fn brought(pod: &Value, script: &str) -> Request {
    let mut request = SERVER.create(pod);
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    body["jobScript"] = script.into();
    request.body = serde_json::to_vec(&body).unwrap();
    request
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_that_the_site_allows_runs_in_the_place_of_the_containers() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_INTERLINK_JOB_SCRIPTS", Some("true"));
        start(bed).await;
        let mut kubelet = VirtualKubelet::new(by_socket(bed), SERVER);
        let said = "#!/bin/bash\nset -eu\necho \"to $GREETING\"\necho loud >&2\n[[ -n $BASH_VERSION ]] && echo bash\n";
        // Without a first line that names its shell it is one for /bin/sh.
        for (name, script, code, log) in [
            ("well", said, 0, &["bash", "loud", "to it's \"me\""][..]),
            ("bad", "echo before\nexit 42\necho after\n", 42, &["before"]),
        ] {
            let pod = scripted(name);
            let uid = kubelet.hold(&pod);
            kubelet.transport.send(&brought(&pod, script)).await.unwrap().success().unwrap();
            let phase = if code == 0 { "Succeeded" } else { "Failed" };
            kubelet.until_phase(&uid, phase).await;
            let end = |name| kubelet.held(&uid).copy.state(name).terminated.clone().unwrap();
            assert_eq!(end("main").exit_code, code, "{:?}", end("main"));
            // WIRE 10.5: every container ends, though only one script ran.
            assert_eq!((end("prepare").exit_code, end("side").exit_code), (0, 0));
            // WIRE 10.10: a caller may name none.
            for container in ["main", ""] {
                let said = kubelet.log(&uid, container, &Opts::default()).await;
                // What is said on two streams at once has no order.
                let mut lines: Vec<&str> = said.lines().collect();
                lines.sort_unstable();
                assert_eq!(lines, log, "{container:?}");
            }
            kubelet.delete(&uid).await.success().unwrap();
        }
        bed.until_queue_empty().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_script_that_the_site_does_not_allow_runs_nowhere_and_the_pod_says_why() {
    on_bed(async |bed: &mut Bed| {
        start(bed).await;
        let mut kubelet = VirtualKubelet::new(by_socket(bed), SERVER);
        let pod = scripted("refused");
        let uid = kubelet.hold(&pod);
        assert_eq!(uid, pods::uid_of(&pod));
        let answer = kubelet.transport.send(&brought(&pod, "#!/bin/sh\ntrue\n")).await.unwrap();
        let why = answer.text();
        assert_eq!(answer.code, 400, "{why}");
        assert!(why.starts_with("jobScript: ") && why.trim_end().lines().count() == 1, "{why}");
        // WIRE 0 (1): who goes on asking learns it too.
        kubelet.until_phase(&uid, "Failed").await;
        let end = kubelet.held(&uid).copy.state("main").terminated.clone().unwrap();
        assert!(end.message.is_some_and(|message| message.starts_with("jobScript: ")), "{:?}", end.exit_code);
        assert!(super::committed(bed).await.is_empty());
    })
    .await;
}
