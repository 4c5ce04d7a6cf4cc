//! What is over and done with rests: it is told as before, and wakes if that was not true.

use std::time::Duration;

use futures::StreamExt;
use htc_operator::engine::{LogOptions, Piece, Wanted};

use crate::life::{Life, uid};
use crate::pool::{Ending, Event, Fault, Planned, Scripted};

super::claims![
    what_rests_is_told_as_before_also_by_the_next_life,
    a_job_that_comes_back_after_it_rested_is_removed,
    a_copy_that_rests_holds_up_none_that_lives,
    a_removal_that_hangs_holds_up_no_look,
];

/// Some looks: with nothing to do the operator has none for a minute.
pub async fn looks(scripted: &Scripted, life: &Life) {
    for _ in 0..3 {
        tokio::join!(scripted.calls_more("condor_q", 1), async { life.engine.look() });
    }
}

/// What is told of a workload: its row and its indices, and the log of one.
async fn told(life: &Life, name: &str) -> String {
    let id = uid(name);
    let wanted =
        Wanted { uid: id.clone(), index: 1, container: "main".into(), options: LogOptions::default() };
    let log: Vec<Result<Piece, _>> = life.engine.logs(wanted).collect().await;
    let log: Vec<String> = log.into_iter().map(|piece| format!("{piece:?}")).collect();
    let view = life.view(name);
    let jobs: Vec<String> = view
        .jobs
        .iter()
        .map(|job| format!("{} {:?} {}", job.index, job.progress, job.outputs_lost))
        .collect();
    let rows = life.engine.index_rows(&id, 0, 10);
    format!("{log:?} {jobs:?} {:?} {:?} {rows:?}", view.outputs, life.engine.workload_row(&id))
}

async fn what_rests_is_told_as_before_also_by_the_next_life() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.wish("a", 3).await;
    life.is_queued("a", 2).await;
    scripted.start_jobs();
    life.runs("a", 2).await;
    for (index, code) in [0, 3, 0].into_iter().enumerate() {
        scripted.finish(&format!("a/{index}/0/0"), Ending::code(code));
    }
    life.ends("a").await;
    let is_home =
        |rows: Vec<htc_operator::engine::IndexRow>| rows.iter().all(|r| r.job.as_ref().unwrap().home);
    life.until("a", "all are home", |_| is_home(life.engine.index_rows(&uid("a"), 0, 3))).await;
    let alive = told(&life, "a").await;
    life.open_door();
    scripted.empties().await;
    looks(&scripted, &life).await;
    assert_eq!(told(&life, "a").await, alive);
    assert_eq!(life.ends("a").await.len(), 3);
    life.end().await;
    let life = Life::on(&scripted).await;
    // How often it was started is told by ads alone, and they are gone.
    let alive = alive.replace("starts: 1", "starts: 0");
    assert_eq!(told(&life, "a").await, alive);
    life.is_ready().await;
    assert_eq!(told(&life, "a").await, alive);
    life.gone("a").await;
    life.is_gone("a").await;
    life.end().await;
}

async fn a_job_that_comes_back_after_it_rested_is_removed() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 2).await;
    life.is_queued("a", 1).await;
    let queue = scripted.change(|state| state.queue.clone());
    scripted.start_jobs();
    life.runs("a", 1).await;
    scripted.finish("a/0/0/0", Ending::code(0));
    scripted.finish("a/1/0/0", Ending::code(0));
    let ends = life.ends("a").await;
    scripted.empties().await;
    looks(&scripted, &life).await;
    scripted.change(|state| state.queue = queue);
    life.engine.look();
    scripted.empties().await;
    assert_eq!(life.ends("a").await, ends);
    let removed = scripted.journal().iter().filter(|entry| entry.event == Event::Removed).count();
    assert!(removed >= 2, "{removed}");
    life.end().await;
}

async fn a_copy_that_rests_holds_up_none_that_lives() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 2).await;
    life.is_queued("a", 1).await;
    scripted.start_jobs();
    life.runs("a", 1).await;
    scripted.finish("a/0/0/0", Ending::code(0));
    scripted.eventually("the first has left", |state| state.queue.len() == 1).await;
    scripted.calls_more("condor_q", 3).await;
    scripted.finish("a/1/0/0", Ending::code(3));
    assert_eq!(life.ends("a").await.len(), 2);
    scripted.empties().await;
    life.end().await;
}

async fn a_removal_that_hangs_holds_up_no_look() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    scripted.plan(Planned::next("condor_rm", Fault::Hang));
    life.gone("a").await;
    scripted.eventually("a removal hangs", |state| !state.hanging.is_empty()).await;
    life.wish("b", 2).await;
    life.is_queued("b", 1).await;
    scripted.start_jobs();
    life.runs("b", 1).await;
    for index in 0..2 {
        scripted.finish(&format!("b/{index}/0/0"), Ending::code(0));
    }
    assert_eq!(life.ends("b").await.len(), 2);
    scripted.eventually("it hangs still", |state| state.hanging.len() == 1).await;
    assert_eq!(scripted.pass_deadlines(), 1);
    // It is asked for again, though not at once.
    tokio::time::timeout(Duration::from_secs(90), life.is_gone("a")).await.unwrap();
    scripted.empties().await;
    life.end().await;
}
