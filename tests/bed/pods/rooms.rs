//! Several containers in one job.

use serde_json::json;

use super::{code, create, end, ended, until_log, with_endpoint};
use crate::client::pods::{container, pod};
use crate::harness::Bed;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn two_containers_share_a_volume_that_one_of_them_only_reads() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let write =
            "until [ -e /shared/ready ]; do echo written > /shared/words && touch /shared/ready; done";
        let read =
            "until [ -e /mine/ready ]; do sleep 0.1; done; cat /mine/words; touch /mine/x || echo refused";
        let mut writer = container("writer", "busybox", &["sh", "-c", write]);
        let mut reader = container("reader", "busybox", &["sh", "-c", &format!("({read}) 2> /dev/null")]);
        writer["volumeMounts"] = json!([{ "name": "shared", "mountPath": "/shared" }]);
        reader["volumeMounts"] = json!([{ "name": "shared", "mountPath": "/mine", "readOnly": true }]);
        let mut pod = pod("share", &[], &[writer, reader]);
        pod["spec"]["volumes"] = json!([{ "name": "shared", "emptyDir": {} }]);
        let uid = create(kubelet, &pod).await;
        ended(kubelet, &uid, "Succeeded").await;
        until_log(kubelet, &uid, "reader", "written\nrefused\n").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn the_logs_of_three_inits_are_read_one_by_one() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let says = |name: &str| container(name, "busybox", &["echo", "words of", name]);
        let names = ["first", "second", "third"];
        let inits = names.map(says);
        let uid = create(kubelet, &pod("inits", &inits, &[says("main")])).await;
        let answer = ended(kubelet, &uid, "Succeeded").await;
        for name in names.into_iter().chain(["main"]) {
            assert_eq!(code(&answer, name), (0, "Completed".to_owned()));
            until_log(kubelet, &uid, name, &format!("words of {name}\n")).await;
        }
        for (before, after) in [("first", "second"), ("second", "third"), ("third", "main")] {
            let ended = end(&answer, before).finished_at.unwrap().0;
            let started = end(&answer, after).started_at.unwrap().0;
            assert!(ended <= started, "{after} did not wait for {before}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_second_init_that_fails_is_the_end_and_nothing_after_it_starts() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let says = |name: &str| container(name, "busybox", &["echo", "ran"]);
        let fails = container("second", "busybox", &["sh", "-c", "echo trouble >&2; exit 5"]);
        let inits = [says("first"), fails, says("third")];
        let uid = create(kubelet, &pod("fails", &inits, &[says("main")])).await;
        let answer = ended(kubelet, &uid, "Failed").await;
        assert_eq!(code(&answer, "first"), (0, "Completed".to_owned()));
        assert_eq!(code(&answer, "second"), (5, "Error".to_owned()));
        until_log(kubelet, &uid, "second", "trouble\n").await;
        // Callers take the pod's own code from its containers.
        let main = end(&answer, "main");
        assert_eq!((main.exit_code, main.started_at), (5, None));
        assert_eq!(main.message.as_deref(), Some("not started: init container second failed"));
        until_log(kubelet, &uid, "main", "").await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn one_of_three_fails_while_the_others_go_on_to_their_ends() {
    with_endpoint(async |bed: &mut Bed, kubelet| {
        // Without a container it sees the gate.
        let waits = bed.gate("go") + "echo finished";
        let waits = |name: &str| container(name, "host", &["sh", "-c", &waits]);
        let fails = container("fails", "busybox", &["sh", "-c", "exit 7"]);
        let uid = create(kubelet, &pod("three", &[], &[waits("one"), fails, waits("two")])).await;
        let failed = "one to fail while the others run";
        kubelet
            .until(&uid, failed, |copy| {
                let runs = |name| copy.state(name).running.is_some();
                copy.state("fails").terminated.is_some() && runs("one") && runs("two")
            })
            .await;
        bed.open("go");
        let answer = ended(kubelet, &uid, "Failed").await;
        assert_eq!(code(&answer, "fails"), (7, "Error".to_owned()));
        for name in ["one", "two"] {
            assert_eq!(code(&answer, name), (0, "Completed".to_owned()));
            until_log(kubelet, &uid, name, "finished\n").await;
        }
    })
    .await;
}
