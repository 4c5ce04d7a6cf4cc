//! How pods end, as a virtual kubelet comes to know it.

use crate::client::pods::{container, plain, pod};
use crate::door::Door;
use crate::pool::Ending;

super::claims![
    a_pod_runs_and_succeeds,
    a_pod_fails_with_its_code,
    an_end_stays_after_a_crash,
    a_lost_job_has_failed_for_good,
    a_job_that_an_admin_removes_has_failed,
    a_job_runs_once_behind_an_end,
    the_run_files_are_where_the_predecessor_had_them,
    a_start_that_may_not_write_the_run_files_ends_and_says_so,
];

async fn a_pod_runs_and_succeeds() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("good")).await.unwrap().pod_uid;
    door.until_queued(&uid).await;
    door.run_jobs();
    kubelet.until_phase(&uid, "Running").await;
    assert!(kubelet.held(&uid).copy.containers[0].ready);
    door.scripted.finish_jobs(Ending::code(0));
    kubelet.until_phase(&uid, "Succeeded").await;
    let end = kubelet.held(&uid).copy.state("main").terminated.clone().unwrap();
    // WIRE 4, succeeded: terminated 0 with times.
    assert!(end.exit_code == 0 && end.finished_at.is_some());
}

async fn a_pod_fails_with_its_code() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let one = |name| container(name, "busybox", &["false"]);
    let uid = kubelet.create(&pod("bad", &[], &[one("a"), one("b")])).await.unwrap().pod_uid;
    door.until_queued(&uid).await;
    door.scripted.run_jobs(42);
    kubelet.until_phase(&uid, "Failed").await;
    assert_eq!(kubelet.held(&uid).copy.reason, "Error: 42"); // WIRE 4, failed
}

async fn an_end_stays_after_a_crash() {
    let mut door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("ended")).await.unwrap().pod_uid;
    door.until_queued(&uid).await;
    door.scripted.run_jobs(7);
    kubelet.until_phase(&uid, "Failed").await;
    for _ in 0..3 {
        door.kill().await;
        door.start().await;
        // WIRE 3.4, 10.8: the client fails the test if the end is taken back or moves.
        for _ in 0..20 {
            kubelet.ask(&uid).await;
        }
    }
}

async fn a_lost_job_has_failed_for_good() {
    let mut door = Door::closed(&[]).set("HTC_LOST_AFTER_SECONDS", "1");
    door.start().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("lost")).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    door.run_jobs();
    kubelet.until_phase(&uid, "Running").await;
    door.scripted.change(|state| state.vanish(&key));
    // WIRE 4, lost job: all terminated, non-zero, with a message.
    kubelet.until_phase(&uid, "Failed").await;
    let end = kubelet.held(&uid).copy.state("main").terminated.clone().unwrap();
    assert!(end.exit_code != 0 && end.message.is_some_and(|message| !message.is_empty()));
    for _ in 0..20 {
        kubelet.ask(&uid).await;
    }
    assert_eq!(door.committed(), [uid]);
}

async fn a_job_that_an_admin_removes_has_failed() {
    let door = Door::open().await;
    let mut kubelet = door.kubelet();
    let uid = kubelet.create(&plain("removed")).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    door.run_jobs();
    kubelet.until_phase(&uid, "Running").await;
    door.scripted.remove(&key);
    kubelet.until_phase(&uid, "Failed").await;
    assert_eq!(door.committed(), [uid]);
}

async fn a_job_runs_once_behind_an_end() {
    let mut door = Door::open().await;
    let mut kubelet = door.kubelet();
    let pod = plain("once");
    let uid = kubelet.create(&pod).await.unwrap().pod_uid;
    door.until_queued(&uid).await;
    door.scripted.run_jobs(0);
    kubelet.until_phase(&uid, "Succeeded").await;
    // WIRE 3.6: a virtual kubelet that lost the annotation brings it again, even now.
    kubelet.bring(&uid).await.unwrap();
    door.kill().await;
    door.start().await;
    kubelet.bring(&uid).await.unwrap();
    kubelet.ask(&uid).await;
    let other = kubelet.create(&plain("other")).await.unwrap().pod_uid;
    door.until_queued(&other).await;
    assert_eq!(door.committed(), [uid, other]);
}

async fn the_run_files_are_where_the_predecessor_had_them() {
    let door = Door::closed(&[]);
    let root = door.scripted.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let config = door.scripted.path().join("SidecarConfig.yaml");
    let text = format!("CommandPrefix: \"\"\nExportPodData: true\nDataRootFolder: \"{}/\"\n", root.display());
    std::fs::write(&config, text).unwrap();
    let mut door = door.set("INTERLINKCONFIGPATH", config.to_str().unwrap());
    door.start().await;
    let mut kubelet = door.kubelet();
    let one = |name| container(name, "busybox", &["true"]);
    let uid = kubelet.create(&pod("files", &[], &[one("a"), one("b")])).await.unwrap().pod_uid;
    let key = door.until_queued(&uid).await;
    door.run_jobs();
    for name in ["a", "b"] {
        let line = format!("2026-11-21T10:00:00.000000000Z stdout F words of {name}\n");
        door.scripted.write(&key, &format!("log.{name}"), &line);
    }
    door.scripted.finish_jobs(Ending::code(0));
    kubelet.until_phase(&uid, "Succeeded").await;
    for name in ["a", "b"] {
        // The folder's name is the predecessor's business; the file's is what people look for.
        let file = format!("run-{name}.out");
        let found = door.until(&file, || found_below(&root, &file)).await;
        assert!(std::fs::read_to_string(found).unwrap().contains(&format!("words of {name}")));
    }
}

async fn a_start_that_may_not_write_the_run_files_ends_and_says_so() {
    // Below a file no folder can be made, by nobody.
    let mut door = Door::closed(&["--data-root-folder", "/dev/null/root"]);
    door.spawn();
    assert!(!door.ended().await.success());
    let log = door.log();
    assert!(log.contains("DataRootFolder /dev/null/root is not for us to make or to write"), "{log}");
    assert!(log.contains("ReadWritePaths="), "{log}");
}

/// The file of this name below a folder.
fn found_below(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path()).find_map(|path| {
        match path.is_dir() {
            true => found_below(&path, name),
            false => path.ends_with(name).then_some(path),
        }
    })
}
