//! The operator with 10,000 live jobs of 1,000 HTCJobs: what a look costs, what memory it takes, how
//! soon it serves again. No machine wants the jobs, so that nothing else happens.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use futures::StreamExt;
use kube::api::PostParams;

use crate::harness::{Bed, until};
use crate::queue::Queue;
use crate::table::{Row, median};
use crate::work::htcjob;
use crate::{Rows, api, operator};

const HTCJOBS: usize = 1_000;
const COPIES: i64 = 10;
const LIVE: usize = 10_000;
/// Looks whose cost is counted.
const LOOKS: u64 = 10;
/// Copies of one more HTCJob, for which there is no room in the queue.
const WAITING: i64 = 20_000;
/// The kernel shows processes' times in hundredths of a second.
const TICKS: f64 = 100.0;
/// What counts looks.
pub const LOOK: &str = "htc_look_seconds_count";

/// The rows of this subject.
pub async fn rows(bed: &mut Bed) -> Rows {
    let before = bed.settings.clone();
    never_runs(bed)?;
    bed.set("HTC_MAX_JOBS_IN_QUEUE", Some(&LIVE.to_string()));
    bed.set("HTC_POLL_SECONDS", Some("0.5"));
    let rows = measure(bed).await;
    bed.settings = before;
    rows
}

/// Has a few bytes submitted in the place of the in-job program: the schedd keeps the executable once a job.
pub fn never_runs(bed: &mut Bed) -> Result<(), String> {
    let sender = bed.folder.join("never-runs");
    fs::write(&sender, "#!/bin/sh\n").map_err(|e| e.to_string())?;
    fs::set_permissions(&sender, Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    bed.set("HTC_SENDER", sender.to_str());
    Ok(())
}

async fn measure(bed: &mut Bed) -> Rows {
    operator::start(bed).await;
    let mut rows = vec![apply(bed).await?];
    rows.extend(looks(bed).await?);
    rows.push(operator::memory(bed).row("memory, 10,000 live jobs", LIVE));

    let began = Instant::now();
    operator::stop(bed).await;
    let stopped = began.elapsed();
    let began = Instant::now();
    operator::start(bed).await;
    let note = format!("from its start to /readyz; its end had taken {:.1} s", stopped.as_secs_f64());
    rows.push(row("restart with 10,000 live jobs -> serving", "s", began.elapsed().as_secs_f64(), note));
    rows.push(operator::memory(bed).row("memory, the same after a restart", LIVE));

    let mut waits = htcjob("waits");
    waits.spec.queue = Some(WAITING);
    let waits = bed.apply(waits).await;
    bed.until_status(&waits, "to be accepted", |s| s.active == Some(WAITING)).await;
    rows.push(operator::memory(bed).row("memory, and 20,000 that wait", LIVE));

    let began = Instant::now();
    api::clear(bed).await?;
    let note = "1,001 HTCJobs, 10,000 jobs in the queue".to_owned();
    rows.push(row("kubectl delete -> all gone", "s", began.elapsed().as_secs_f64(), note));
    operator::stop(bed).await;
    Ok(rows)
}

async fn apply(bed: &Bed) -> Result<Row, String> {
    let api = bed.htcjobs();
    let post = PostParams::default();
    let jobs: Vec<_> = (0..HTCJOBS)
        .map(|n| {
            let mut job = htcjob(&format!("scale-{n}"));
            job.spec.queue = Some(COPIES);
            job
        })
        .collect();
    let began = Instant::now();
    let created = async {
        let mut created = futures::stream::iter(&jobs).map(|job| api.create(&post, job)).buffer_unordered(50);
        while let Some(created) = created.next().await {
            created.map_err(|e| e.to_string())?;
        }
        Ok::<_, String>(())
    };
    let intents = bed.data().join("intents");
    let queue = Queue::of(bed.id.clone());
    let (created, staged) = tokio::join!(created, queue.until_staged(LIVE, &intents));
    created?;
    let rate = LIVE as f64 / staged?.since(began).staged;
    let note = "1,000 HTCJobs of 10 copies; an executable of a few bytes".to_owned();
    Ok(row("kubectl apply -> 10,000 committed", "jobs/s", rate, note))
}

/// What a look costs the operator and its tools, beside a `condor_q` by hand.
async fn looks(bed: &Bed) -> Rows {
    let queue = Queue::of(bed.id.clone());
    let operator = bed.process.as_ref().and_then(tokio::process::Child::id).expect("it runs");
    // Jobs settle for a while.
    until_looks(bed, LOOKS / 2).await;
    let (seconds, schedd) = (cpu(operator), schedds());
    let looks = until_looks(bed, LOOKS).await as f64;
    let ours = (cpu(operator).total() - seconds.total()) / looks;
    let tools = (cpu(operator).children - seconds.children) / looks;
    let schedd = (schedds() - schedd) / looks;

    let mut by_hand = Vec::new();
    for _ in 0..5 {
        let before = cpu(std::process::id());
        let ads = queue.ads().await?;
        if ads.len() != LIVE {
            return Err(format!("{} of {LIVE} live jobs are there", ads.len()));
        }
        by_hand.push(cpu(std::process::id()).children - before.children);
    }
    let (raw, range) = median(by_hand);
    let note = format!(
        "CPU; raw {range}: the same condor_q by hand; ours with its tools, which took {tools:.2}; \
         {looks} looks; the schedd's own share {schedd:.2}"
    );
    Ok(vec![Row { raw: Some(raw), ..row("look at 10,000 live jobs", "s", ours, note) }])
}

/// Waits for so many looks more; gives how many there were.
pub async fn until_looks(bed: &Bed, more: u64) -> u64 {
    let before = bed.metric(LOOK).await;
    until("looks", async || match bed.metric(LOOK).await - before {
        n if n >= more => Ok(n),
        n => Err(format!("{n}")),
    })
    .await
}

fn row(name: &str, unit: &'static str, ours: f64, note: String) -> Row {
    Row { name: name.to_owned(), unit, raw: None, ours: Some(ours), n: LIVE, note, failed: false }
}

/// Seconds of CPU of a process and of those of its children that it has waited for.
pub struct Cpu {
    /// Its own.
    pub own: f64,
    children: f64,
}

impl Cpu {
    fn total(&self) -> f64 {
        self.own + self.children
    }
}

/// What a process has used until now.
pub fn cpu(pid: u32) -> Cpu {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // Behind the name: state is field 3, utime 14, stime 15, cutime 16, cstime 17.
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(4).filter_map(|n| n.parse().ok()).collect();
    match ticks[..] {
        [user, system, children_user, children_system] => {
            Cpu { own: (user + system) / TICKS, children: (children_user + children_system) / TICKS }
        }
        _ => Cpu { own: 0.0, children: 0.0 },
    }
}

/// What all schedds of this machine have used, with the workers that answer queries.
fn schedds() -> f64 {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_schedd = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "condor_schedd")
    };
    pids.filter(is_schedd).map(|pid| cpu(pid).total()).sum()
}
