//! How pods end, and the words that tell it.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{code, create, end, ended, job, until_log, with_endpoint};
use crate::client::dialect::Opts;
use crate::client::pods::{container, pod};
use crate::harness::{Bed, until};

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn exit_codes_and_commands_that_are_not_there() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let fails = container("main", "busybox", &["sh", "-c", "echo before; exit 42"]);
        let none = container("main", "busybox", &["no-such-command", "-x"]);
        let fails = create(kubelet, &pod("fails", &[], &[fails])).await;
        let none = create(kubelet, &pod("none", &[], &[none])).await;
        let answer = ended(kubelet, &fails, "Failed").await;
        assert_eq!(code(&answer, "main"), (42, "Error".to_owned()));
        until_log(kubelet, &fails, "main", "before\n").await;
        let answer = ended(kubelet, &none, "Failed").await;
        let end = end(&answer, "main");
        assert_eq!((end.exit_code, end.reason.as_deref()), (127, Some("ContainerCannotRun")));
        let words = r#"exec: "no-such-command": executable file not found in $PATH"#;
        assert_eq!(end.message.as_deref(), Some(words));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_traceback_is_in_the_log_and_in_the_message_where_that_is_wanted() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let mut main =
            container("main", "python", &["python3", "-c", "print('begun')\nraise ValueError('odd')"]);
        main["terminationMessagePolicy"] = "FallbackToLogsOnError".into();
        let uid = create(kubelet, &pod("python", &[], &[main])).await;
        let answer = ended(kubelet, &uid, "Failed").await;
        let words = ["Traceback (most recent call last):", "ValueError: odd"];
        let end = end(&answer, "main");
        assert_eq!((end.exit_code, end.reason.as_deref()), (1, Some("Error")));
        let message = end.message.unwrap();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
        let log = until("the log", async || {
            let log = kubelet.log(&uid, "main", &Opts::default()).await;
            if log.is_empty() { Err("nothing".to_owned()) } else { Ok(log) }
        })
        .await;
        assert!(log.contains("begun\n") && words.iter().all(|word| log.contains(word)), "{log}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pod_past_its_deadline_has_failed() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let mut pod = pod("late", &[], &[container("main", "busybox", &["sleep", "1000"])]);
        pod["spec"]["activeDeadlineSeconds"] = 2.into();
        let uid = create(kubelet, &pod).await;
        let answer = ended(kubelet, &uid, "Failed").await;
        assert_eq!(code(&answer, "main"), (143, "DeadlineExceeded".to_owned()));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_pod_that_is_deleted_has_its_grace() {
    with_endpoint(async |bed: &mut Bed, kubelet| {
        let told = bed.shared_folder("told");
        let file = |name: &str| told.join(name).display().to_string();
        // It needs a second of the five that it is given.
        let takes =
            format!("trap 'sleep 1; echo took it > {}; exit 0' TERM; touch {}", file("took"), file("up"));
        let deaf = format!("trap '' TERM; touch {}", file("deaf"));
        let waits = "; while :; do sleep 0.1; done";
        let of = |name, script: String| container(name, "host", &["sh", "-c", &(script + waits)]);
        let pod = pod("graceful", &[], &[of("takes", takes), of("deaf", deaf)]);
        let uid = create(kubelet, &pod).await;
        until("both to run", async || {
            let there = |name: &str| told.join(name).exists();
            if there("up") && there("deaf") { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
        kubelet.delete(&uid).await.success().unwrap();
        bed.until_queue_empty().await;
        assert_eq!(fs::read_to_string(told.join("took")).unwrap(), "took it\n");
        until("no process to be left", async || none_with(&file("deaf"))).await;
        bed.assert_committed_once(&job(&pod), 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn nothing_survives_the_kill_of_the_in_job_program_and_htcondor_tells_the_end() {
    with_endpoint(async |bed: &mut Bed, kubelet| {
        let marker = format!("marker-{}", bed.id);
        let scatter =
            format!("sh -c 'sleep 1000; : {marker}' & setsid sh -c 'sleep 1000; : {marker}' & wait");
        let marked = container("marked", "busybox", &["sh", "-c", &scatter]);
        // Without an image a container's parent is the in-job program.
        let killer =
            container("killer", "host", &["sh", "-c", &(bed.gate("go") + "kill -KILL $PPID; sleep 1000")]);
        let pod = pod("killed", &[], &[marked, killer]);
        let uid = create(kubelet, &pod).await;
        kubelet.until_phase(&uid, "Running").await;
        until("the marker", async || match none_with(&marker) {
            Ok(()) => Err("it is not there".to_owned()),
            Err(_) => Ok(()),
        })
        .await;
        bed.open("go");
        let answer = ended(kubelet, &uid, "Failed").await;
        until("no process to be left", async || none_with(&marker)).await;
        let end = end(&answer, "marked");
        assert_eq!((end.exit_code, end.reason.as_deref()), (137, Some("Signal")));
        assert_eq!(
            end.message.as_deref(),
            Some("signal 9 (SIGKILL) ended the job's first process on the worker")
        );
        kubelet.delete(&uid).await.success().unwrap();
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job(&pod), 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn an_image_that_the_registry_does_not_know_is_named() {
    with_endpoint(async |_: &mut Bed, kubelet| {
        let main = container("main", "no-such-image", &["true"]);
        let uid = create(kubelet, &pod("image", &[], &[main])).await;
        let answer = ended(kubelet, &uid, "Failed").await;
        let end = end(&answer, "main");
        assert_eq!(end.reason.as_deref(), Some("ErrImagePull"));
        assert!(end.message.as_ref().is_some_and(|words| words.contains("no-such-image")), "{end:?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_field_that_cannot_be_honoured_is_refused_with_its_path() {
    with_endpoint(async |bed: &mut Bed, kubelet| {
        let mut pod = pod("refused", &[], &[container("main", "busybox", &["true"])]);
        pod["spec"]["volumes"] = json!([{ "name": "disk", "iscsi": {
            "targetPortal": "10.0.0.1:3260", "iqn": "iqn.2001-04.com.example:storage", "lun": 0 } }]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "disk", "mountPath": "/disk" }]);
        let why = kubelet.create(&pod).await.unwrap_err();
        assert!(why.contains("spec.volumes[0].iscsi"), "{why}");
        assert!(bed.queue().await.is_empty());
    })
    .await;
}

/// That no process of the pool's root has this among its words.
fn none_with(marker: &str) -> Result<(), String> {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let ours = process.file_name() == *std::process::id().to_string();
        if !ours && String::from_utf8_lossy(&words).contains(marker) && Path::new(&process.path()).exists() {
            return Err(String::from_utf8_lossy(&words).replace('\0', " "));
        }
    }
    Ok(())
}
