//! The operator is killed and started again: nothing is lost and nothing is done twice.

use std::fs;
use std::path::Path;
use std::process::Command;

use htc_operator::htcjob::types::{HTCJobStatus, Phase};

use crate::harness::{host, until, with_operator};

/// What lets the pool take a job only when the test wants.
const RELEASE: &str = "+JobFlavour = \"kept\"\nrequirements = MY.JobFlavour == \"go\"";

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn killed_while_jobs_are_idle_running_and_ending() {
    with_operator(async |bed| {
        let mut idle = host("idle", "echo idle");
        idle.spec.htcopts = Some(RELEASE.into());
        let idle = bed.apply(idle).await;
        let mut running = host("running", &(bed.gate("run") + "echo running $1"));
        running.spec.queue = Some(3);
        let running = bed.apply(running).await;
        let ending = bed.apply(host("ending", &(bed.gate("end") + "echo ending; exit 5"))).await;
        let done = bed.apply(host("done", "echo done")).await;
        bed.until_phase(&done, Phase::Succeeded).await;
        bed.until_queued(&idle, 1, 1).await;
        bed.until_queued(&running, 2, 3).await;
        bed.until_queued(&ending, 2, 1).await;

        bed.kill().await;
        bed.open("end");
        bed.until_queued(&ending, 4, 1).await;
        bed.start().await;

        let status = bed.until_phase(&ending, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 5"), "{:?}", status.message);
        assert_eq!(bed.log_of(&ending).await, "ending\n");
        assert_eq!(bed.status(&done).await.phase, Some(Phase::Succeeded));
        bed.kill().await;
        bed.start().await;
        bed.open("run");
        bed.edit(&idle, "JobFlavour", "\"go\"").await;
        bed.until_phase(&running, Phase::Succeeded).await;
        bed.until_phase(&idle, Phase::Succeeded).await;
        assert_eq!(bed.logs(&running, Some(2)).await.unwrap(), b"running 2\n");
        bed.until_queue_empty().await;
        for (job, indices) in [(idle, 1), (running, 3), (ending, 1), (done, 1)] {
            bed.assert_committed_once(&job, indices).await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_database_of_another_queue_submits_nothing_until_a_person_accepts_it() {
    with_operator(async |bed| {
        let done = bed.apply(host("done", "echo done")).await;
        bed.until_phase(&done, Phase::Succeeded).await;
        bed.until_queue_empty().await;

        bed.kill().await;
        let store = rusqlite::Connection::open(bed.data().join("htcjobs.db")).unwrap();
        let born = "SELECT value FROM facts WHERE name = 'queue_birthdate'";
        let born: String = store.query_row(born, [], |row| row.get(0)).unwrap();
        assert!(
            born.parse::<i64>().unwrap() > 1_000_000_000,
            "the schedd told its JobQueueBirthdate: {born}"
        );
        store.execute("UPDATE facts SET value = '7' WHERE name = 'queue_birthdate'", []).unwrap();
        drop(store);
        bed.start().await;
        let job = bed.apply(host("late", "echo late")).await;
        let is_told = |status: &HTCJobStatus| status.conditions.iter().any(|c| c.reason == "StoreMismatch");
        let status = bed.until_status(&job, "it says what is in the way", is_told).await;
        assert!(status.jobid.is_empty(), "{:?}", status.jobid);

        let data = bed.data().display().to_string();
        let output = bed.command(&["db", "accept", "--data-dir", &data]).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("the birthdate of its queue was 7 and is {born}")), "{said}");
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&done, 1).await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_lost_database_is_rebuilt_from_what_both_sides_say() {
    with_operator(async |bed| {
        let mut job = host("lost", &(bed.gate("go") + "echo kept"));
        job.spec.queue = Some(2);
        let job = bed.apply(job).await;
        let done = bed.apply(host("done", "echo done")).await;
        let failed = bed.apply(host("failed", "echo failed; exit 3")).await;
        bed.until_queued(&job, 2, 2).await;
        bed.until_phase(&job, Phase::Running).await;
        let mut told = Vec::new();
        for ended in [done, failed] {
            let is_home = |s: &HTCJobStatus| s.completion_time.is_some() && s.outputs.is_some();
            told.push((bed.until_status(&ended, "its outputs to come home", is_home).await, ended));
        }
        bed.until_queued(&told[0].1, 4, 0).await;
        bed.until_queued(&told[1].1, 4, 0).await;
        let ids = bed.status(&job).await.jobid;

        bed.kill().await;
        for name in ["htcjobs.db", "htcjobs.db-wal", "htcjobs.db-shm"] {
            let removed = fs::remove_file(bed.data().join(name));
            assert!(removed.is_ok() || name != "htcjobs.db", "{removed:?}");
        }
        bed.start().await;
        until("the jobs to be adopted", async || match bed.metric("htc_jobs_adopted_total").await {
            2 => Ok(()),
            n => Err(format!("{n} adopted")),
        })
        .await;
        bed.open("go");
        let status = bed.until_phase(&job, Phase::Succeeded).await;
        assert_eq!(status.jobid, ids);
        assert_eq!(bed.logs(&job, Some(1)).await.unwrap(), b"kept\n");
        bed.until_queue_empty().await;
        for (status, ended) in &told {
            assert_eq!(bed.status(ended).await, *status);
            assert_eq!(bed.log_of(ended).await, format!("{}\n", ended.name));
            assert!(fs::read_dir(status.outputs.as_ref().unwrap()).is_ok());
            bed.assert_committed_once(ended, 1).await;
        }
        bed.assert_committed_once(&job, 2).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_database_put_back_from_a_backup_changes_no_end_and_runs_nothing_again() {
    with_operator(async |bed| {
        let mut job = host("saved", &(bed.gate("go") + "echo saved $1"));
        job.spec.queue = Some(2);
        let job = bed.apply(job).await;
        bed.until_phase(&job, Phase::Running).await;
        bed.until_queued(&job, 2, 2).await;
        bed.kill().await;
        let backup = tempfile::tempdir().unwrap();
        copy(&bed.data(), backup.path());
        bed.start().await;
        bed.open("go");
        let is_over = |s: &HTCJobStatus| s.phase == Some(Phase::Succeeded) && s.outputs.is_some();
        bed.until_status(&job, "its outputs to come home", is_over).await;
        bed.until_queue_empty().await;
        let told = bed.status(&job).await;
        bed.kill().await;
        copy(backup.path(), &bed.data());
        bed.start().await;
        // Its object has been looked at when that of a later one has.
        let later = bed.apply(host("later", "echo later")).await;
        bed.until_phase(&later, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        assert_eq!(bed.status(&job).await, told);
        assert_eq!(bed.logs(&job, Some(1)).await.unwrap(), b"saved 1\n");
        bed.assert_committed_once(&job, 2).await;
    })
    .await;
}

/// Copies what is in a data folder over what is in another.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success(), "{copied}");
}
