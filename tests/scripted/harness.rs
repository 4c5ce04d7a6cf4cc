//! The process in which the engine is crashed: engine and store only, told by its environment
//! where to abort and by a plan what to wish. It is the door, and the jobs' mouth.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use htc_core::workload::progress::Progress;
use htc_core::workload::report::{Phase, Report};
use htc_operator::condor::pool::Pool;
use htc_operator::engine::{Options, Outputs, View, Want, Wish, WishError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::life::{Life, PATIENCE, options, outcomes, uid, wish};
use crate::tools::STATE_VARIABLE;
use crate::tools::job::{KEY, int, text};
use crate::tools::state::Schedd;

/// What the process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The data folder.
    pub data: PathBuf,
    /// Workloads: UID and number of copies.
    pub workloads: Vec<(String, u32)>,
    /// It has wished them before, in a store that was lost.
    pub again: bool,
    /// When it wishes them gone.
    pub gone: Option<When>,
    /// Whether outputs are removed soon after the end.
    pub collect: bool,
    /// Whether jobs may start only once, and all lose their machines.
    pub evicted: bool,
    /// Whether jobs may start only once.
    pub once: bool,
}

/// When a workload is wished to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// As soon as a submission of it is intended.
    Submitting,
    /// As soon as it is seen to run.
    Running,
    /// As soon as a job of it has ended.
    Ended,
}

/// Runs the engine until it is done or aborts; gives the exit code.
pub fn run(plan: Option<String>) -> u8 {
    let plan = plan.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let Some(plan) = plan else {
        eprintln!("the harness needs a plan");
        return 2;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(live(&plan))) {
        Ok(true) => 0,
        _ => 1,
    }
}

async fn live(plan: &Plan) -> bool {
    let kept = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    let environment = ["PATH", STATE_VARIABLE].into_iter().filter_map(kept).collect();
    let keep_outputs = plan.collect.then_some(Duration::from_millis(1));
    let options = Options { keep_outputs, ..options(&plan.data) };
    let life = Life::begin(options, Pool { environment, ..Pool::default() }).await;
    life.open_door();
    for (name, indices) in &plan.workloads {
        let mut wish = Wish { seen_before: plan.again, ..wish(name, *indices) };
        wish.workload.restart_after_eviction = !plan.evicted && !plan.once;
        match life.try_wish(wish).await {
            Ok(()) => {}
            Err(WishError::Deleted(_)) if plan.gone.is_some() => {}
            Err(why) => panic!("{why}"),
        }
    }
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        let mut done = true;
        for (name, indices) in &plan.workloads {
            let view = life.view(name);
            if plan.gone.is_some_and(|when| is_time(when, &view)) {
                life.gone(name).await;
            }
            done &= is_done(&view, *indices, plan.gone.is_some());
            done &= !plan.collect || matches!(view.outputs, Outputs::Collected(_));
        }
        if done && queue().is_empty() {
            for (name, _) in &plan.workloads {
                println!("{name} {:?}", outcomes(&life.view(name)));
            }
            life.end().await;
            return true;
        }
        speak(&life).await;
        if plan.evicted {
            evict();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (name, _) in &plan.workloads {
        eprintln!("not done: {name} {:?}", life.engine.view(&uid(name)));
    }
    false
}

fn is_time(when: When, view: &View) -> bool {
    view.want == Want::Run
        && view.jobs.iter().any(|job| match (when, &job.progress) {
            (When::Submitting, _) | (When::Running, Progress::Running { .. }) => true,
            (_, progress) => progress.end().is_some(),
        })
}

fn is_done(view: &View, indices: u32, gone: bool) -> bool {
    let all = view.waiting == 0 && view.jobs.len() == indices as usize;
    match gone {
        true => view.want == Want::Tombstone,
        false => all && view.jobs.iter().all(|job| job.progress.end().is_some()),
    }
}

fn schedd() -> Schedd {
    Schedd::new(Path::new(&std::env::var(STATE_VARIABLE).unwrap_or_default()))
}

fn queue() -> Vec<crate::tools::state::Ad> {
    schedd().read().map(|state| state.queue).unwrap_or_default()
}

/// Every idle job starts, if it can, and loses its machine.
fn evict() {
    let evicted = schedd().change(|state| {
        for place in 0..state.queue.len() {
            if state.start(place) {
                state.make_idle(place);
            }
        }
    });
    evicted.unwrap_or_else(|why| panic!("{why}"));
}

/// Every running job reports that it runs.
async fn speak(life: &Life) {
    for ad in queue().iter().filter(|ad| int(ad, "JobStatus") == Some(2)) {
        let Ok(key) = text(ad, KEY).parse() else { continue };
        let start = int(ad, "NumShadowStarts").and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let taken = life.engine.report(running(key, start)).await;
        taken.map(drop).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// The first report of a start.
pub fn running(key: htc_core::workload::names::JobKey, start: u32) -> Report {
    Report {
        name: key.uid.to_string(),
        namespace: "default".to_owned(),
        jobid: None,
        retcode: None,
        key,
        start,
        seq: 1,
        now: Timestamp::now(),
        phase: Phase::Running,
        cut: None,
        worker_fault: None,
        left_out: None,
        init_containers: vec![],
        containers: vec![],
    }
}
