//! Another user of the pool, who puts the operator's ids on jobs of his own, and reaches for its jobs.

use htc_operator::htcjob::types::Phase;

use crate::harness::{BOB, Bed, Job, host, on_bed, tool, until, with_operator};

/// A job of the stranger that bears what the ad of an HTCJob's first copy bears, and has ended well.
async fn pretends(bed: &Bed, job: &Job) -> u64 {
    let text = format!(
        "executable = /bin/true\ntransfer_executable = false\ninitialdir = /tmp\nleave_in_queue = true\n\
         MY.HTCOperatorInstance = \"{}\"\nMY.HTCOperatorUid = \"{uid}\"\nMY.HTCOperatorKey = \"{uid}/0/0/0\"\n\
         queue\n",
        bed.id,
        uid = job.uid,
    );
    let cluster = BOB.submit(bed, &text).await;
    until("his job to end", async || match BOB.asks(cluster, "JobStatus").await {
        four if four == "4" => Ok(()),
        other => Err(other),
    })
    .await;
    cluster
}

/// His job is as he left it.
async fn assert_untouched(cluster: u64) {
    assert_eq!(
        BOB.asks(cluster, "strcat(JobStatus, StageOutFinish is undefined, HTCAck is undefined)").await,
        "4truetrue"
    );
}

/// Waits until the operator has seen that there are jobs of others, and has looked on.
async fn until_noticed(bed: &Bed) {
    until("it to be noticed", async || match bed.metric("htc_jobs_foreign").await {
        1 => Ok(()),
        n => Err(format!("{n}")),
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_strangers_job_with_the_key_of_one_that_runs_ends_nothing_and_stays_his() {
    on_bed(async |bed: &mut Bed| {
        bed.start().await;
        let job = bed.apply(host("runs", &(bed.gate("go") + "exit 3"))).await;
        bed.until_phase(&job, Phase::Running).await;
        let ids = bed.status(&job).await.jobid;
        let his = pretends(bed, &job).await;
        // In its next life it does not know yet who it is, and asks for the jobs of all.
        bed.kill().await;
        bed.start().await;
        until_noticed(bed).await;
        let next = bed.apply(host("next", "true")).await;
        bed.until_phase(&next, Phase::Succeeded).await;
        let status = bed.status(&job).await;
        assert_eq!((status.phase, &status.jobid), (Some(Phase::Running), &ids), "{status:#?}");

        bed.open("go");
        let status = bed.until_phase(&job, Phase::Failed).await;
        assert!(status.message.as_ref().unwrap().contains("exit code 3"), "{status:#?}");
        bed.delete(&job).await;
        bed.until_gone(&job).await;
        bed.until_queue_empty().await;
        bed.assert_all_committed_once(&[(&job, 1), (&next, 1)]).await;
        assert_untouched(his).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_strangers_job_with_the_key_of_one_that_waits_is_not_taken_for_it() {
    on_bed(async |bed: &mut Bed| {
        bed.set("HTC_MAX_JOBS_IN_QUEUE", Some("1"));
        bed.start().await;
        let runs = bed.apply(host("runs", &(bed.gate("go") + "true"))).await;
        bed.until_phase(&runs, Phase::Running).await;
        let waits = bed.apply(host("waits", "echo ran")).await;
        bed.until_phase(&waits, Phase::Pending).await;
        let his = pretends(bed, &waits).await;
        bed.open("go");
        bed.until_phase(&waits, Phase::Succeeded).await;
        assert_eq!(bed.log_of(&waits).await, "ran\n");
        bed.until_queue_empty().await;
        bed.assert_all_committed_once(&[(&runs, 1), (&waits, 1)]).await;
        assert_untouched(his).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_stranger_can_neither_end_our_jobs_nor_read_what_they_brought() {
    with_operator(async |bed| {
        let job = bed.apply(host("ours", &(bed.gate("go") + "true"))).await;
        bed.until_phase(&job, Phase::Running).await;
        let id = bed.status(&job).await.jobid.remove(0);
        for (tool, more) in
            [("condor_rm", &[][..]), ("condor_hold", &[]), ("condor_qedit", &["HTCAck", "true"])]
        {
            let arguments = [&[id.as_str()], more].concat();
            let said = BOB.tool(tool, &arguments).await;
            assert!(said.is_err(), "{tool}: {said:?}");
        }
        // It finds no job of his, and says nothing.
        BOB.tool("condor_transfer_data", &[&id]).await.unwrap();
        let untouched = "strcat(JobStatus, StageOutStart is undefined, HTCAck is undefined)";
        let ours = until("condor_q", async || tool("condor_q", &[&id, "-af", untouched]).await).await;
        assert_eq!(ours.trim(), "2truetrue");
        // His job runs on the machine of the schedd, as a pool's users may on a small one.
        let spool = tool("condor_q", &[&id, "-af", "Iwd"]).await.unwrap();
        let folder = bed.shared_folder("bobs");
        let text = format!(
            "executable = /bin/ls\ntransfer_executable = false\narguments = -la {}\ninitialdir = {}\n\
             output = out\nerror = err\nleave_in_queue = true\nMY.HTCOperatorInstance = \"{}\"\nqueue\n",
            spool.trim(),
            folder.display(),
            bed.id
        );
        let his = BOB.submit(bed, &text).await;
        let ended = "strcat(JobStatus, \" \", ExitCode)";
        until("his job to end", async || match BOB.asks(his, ended).await {
            refused if refused == "4 2" => Ok(()),
            other => Err(other),
        })
        .await;
        let error = std::fs::read_to_string(folder.join("err")).unwrap();
        assert!(error.contains("Permission denied"), "{error}");

        assert_eq!(bed.status(&job).await.phase, Some(Phase::Running));
        bed.open("go");
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}
