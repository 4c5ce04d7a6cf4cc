//! A `condor_submit` that lives too short or too long: one that dies between the commit and its
//! files leaves a job in the queue that never ran and never will; one that outlives its operator
//! may commit long after the next life has begun.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use htc_operator::htcjob::types::Phase;

use crate::harness::{Bed, host, on_bed, until};

/// The first time, the real tool writes its line into a pipe that is full, and is killed there.
/// Each later time it is the real tool.
const DYING_TOOL: &str = r#"#!/bin/bash
mkdir "$0.called" 2>/dev/null || exec /usr/bin/condor_submit "$@"
mkfifo "$0.pipe"
exec 3<>"$0.pipe"
dd if=/dev/zero of="$0.pipe" bs=4096 count=1000 oflag=nonblock 2>/dev/null
/usr/bin/condor_submit "$@" >&3 &
until [ -e "$0.committed" ]; do sleep 0.1; done
kill -KILL $!
exit 1
"#;

/// The first time, the tool takes its time before it does anything; what it holds, it goes on holding.
const SLOW_TOOL: &str = r#"#!/bin/bash
mkdir "$0.called" 2>/dev/null || exec /usr/bin/condor_submit "$@"
until [ -e "$0.go" ]; do sleep 0.1; done
exec /usr/bin/condor_submit "$@"
"#;

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_job_whose_files_never_came_is_removed_and_submitted_anew() {
    half_submitted(None).await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn also_when_the_operator_aborts_right_after_its_removal() {
    half_submitted(Some("unstaged-removed")).await;
}

async fn half_submitted(crash_point: Option<&str>) {
    on_bed(async |bed: &mut Bed| {
        let tool = replace_tool(bed, DYING_TOOL);
        bed.set("HTC_CRASH_POINT", crash_point);
        bed.start().await;
        let mut job = host("half", "echo \"$1\"");
        job.spec.queue = Some(2);
        let job = bed.apply(job).await;
        bed.until_queued(&job, 5, 2).await;
        fs::write(tool.with_extension("committed"), "").unwrap();
        if crash_point.is_some() {
            bed.crashed().await;
            bed.set("HTC_CRASH_POINT", None);
            bed.start().await;
        }
        bed.until_phase(&job, Phase::Succeeded).await;
        if crash_point.is_none() {
            until("the metric", async || match bed.metric("htc_jobs_unstaged_total").await {
                0 => Err("0".to_owned()),
                _ => Ok(()),
            })
            .await;
        }
        assert_eq!(bed.logs(&job, Some(1)).await.unwrap(), b"1\n");
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 2).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs the test bed: make test"]
async fn a_tool_that_outlives_the_operator_is_waited_for() {
    on_bed(async |bed: &mut Bed| {
        let tool = replace_tool(bed, SLOW_TOOL);
        bed.start().await;
        let job = bed.apply(host("slow", "true")).await;
        until("the tool to run", async || match tool.with_extension("called").exists() {
            true => Ok(()),
            false => Err("it was not called".to_owned()),
        })
        .await;
        bed.kill().await;
        bed.start().await;
        until("some looks at the pool", async || match bed.metric("htc_looks_total{kind=\"ok\"}").await {
            enough if enough > 5 => Ok(()),
            n => Err(format!("{n} looks")),
        })
        .await;
        assert!(bed.queued(&job).await.is_empty(), "submitted again while the first tool lives");
        fs::write(tool.with_extension("go"), "").unwrap();
        bed.until_phase(&job, Phase::Succeeded).await;
        bed.until_queue_empty().await;
        bed.assert_committed_once(&job, 1).await;
    })
    .await;
}

/// Lets the operator find another `condor_submit`; gives its path.
fn replace_tool(bed: &mut Bed, script: &str) -> PathBuf {
    let tools = bed.folder.join("tools");
    let tool = tools.join("condor_submit");
    fs::create_dir(&tools).unwrap();
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, Permissions::from_mode(0o755)).unwrap();
    bed.set("PATH", Some(&format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())));
    tool
}
