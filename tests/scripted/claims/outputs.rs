//! Outputs are kept as long as was said, and no longer.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use htc_operator::engine::{LogOptions, Outputs, View, Wanted, Wish};

use crate::life::{Life, options, uid, wish};
use crate::pool::{Ending, Fault, Planned, Scripted};

super::claims![
    outputs_are_where_the_view_says,
    outputs_go_when_their_time_is_over_and_that_is_remembered,
    outputs_stay_while_one_copy_has_not_ended,
    outputs_that_cannot_be_fetched_stay_in_the_pool_and_are_told_until_they_come_home,
    outputs_are_given_up_after_the_time_of_the_setting,
    a_transfer_that_hangs_holds_up_no_other,
    outputs_come_home_though_one_answer_did_not_have_their_job,
    outputs_come_home_though_their_job_was_given_up_before_it_came_back,
    outputs_come_home_though_the_data_folder_was_lost_while_their_job_ran,
    outputs_come_home_to_another_data_folder_than_their_job_names,
    outputs_come_home_to_a_data_folder_that_was_moved,
    outputs_that_would_go_to_a_folder_that_is_not_ours_stay_in_the_pool,
    outputs_that_left_the_pool_with_their_job_are_not_waited_for,
    a_namespace_whose_outputs_take_too_much_waits_until_some_are_gone_in_the_next_life_too,
];

async fn keeping(scripted: &Scripted, keep: Duration) -> Life {
    let options =
        htc_operator::engine::Options { keep_outputs: Some(keep), ..options(&scripted.path().join("data")) };
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life
}

fn is_home(view: &View) -> bool {
    matches!(view.outputs, Outputs::Home(_))
}

async fn outputs_are_where_the_view_says() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    scripted.auto_run(0);
    life.wish("a", 1).await;
    life.wish("b", 2).await;
    let Outputs::Home(one) = life.until("a", "it is home", is_home).await.outputs else { panic!() };
    assert_eq!(std::fs::read_to_string(one.join("out.txt")).unwrap(), "a/0/0/0");
    life.ends("b").await;
    let Outputs::Home(all) = life.until("b", "it is home", is_home).await.outputs else { panic!() };
    scripted.empties().await;
    for index in 0..2 {
        let file = all.join(format!("{index}.0.0/work/out.txt"));
        assert_eq!(std::fs::read_to_string(file).unwrap(), format!("b/{index}/0/0"));
    }
    life.end().await;
}

async fn a_namespace_whose_outputs_take_too_much_waits_until_some_are_gone_in_the_next_life_too() {
    let scripted = Scripted::new();
    let data = scripted.path().join("data");
    let begin = async || {
        let limited =
            htc_operator::engine::Options { max_output_mb_per_namespace: Some(1), ..options(&data) };
        let life = Life::begin(limited, scripted.pool()).await;
        life.open_door();
        life
    };
    let unlimited = Life::on(&scripted).await;
    unlimited.open_door();
    scripted.auto_run(0);
    unlimited.wish("a", 1).await;
    unlimited.until("a", "it is home", is_home).await;
    scripted.empties().await;
    unlimited.end().await;
    std::fs::write(data.join("jobs/a/0.0.0/work/large"), vec![1; 2 << 20]).unwrap();
    let life = begin().await;
    life.wish("b", 1).await;
    scripted.calls_more("condor_q", 3).await;
    assert_eq!((scripted.commits(), life.view("b").waiting), (1, 1));
    life.gone("a").await;
    life.ends("b").await;
    life.end().await;
}

async fn outputs_go_when_their_time_is_over_and_that_is_remembered() {
    let scripted = Scripted::new();
    let life = keeping(&scripted, Duration::from_millis(500)).await;
    scripted.auto_run(3);
    life.wish("a", 2).await;
    let is_collected = |view: &View| matches!(view.outputs, Outputs::Collected(_));
    let collected = life.until("a", "the outputs are removed", is_collected).await;
    assert!(!scripted.path().join("data/jobs/a").exists());
    life.end().await;
    let life = keeping(&scripted, Duration::from_millis(500)).await;
    let Outputs::Collected(at) = collected.outputs else { panic!() };
    let Outputs::Collected(remembered) = life.view("a").outputs else { panic!("forgotten") };
    assert_eq!(remembered.as_second(), at.as_second());
    let wanted =
        Wanted { uid: uid("a"), index: 1, container: "main".to_owned(), options: LogOptions::default() };
    let said: Vec<_> = life.engine.logs(wanted).collect().await;
    let why = said[0].as_ref().unwrap_err().to_string();
    assert!(why.contains("were removed at") && why.contains("--keep-outputs-days"), "{why}");
    assert_eq!(life.ends("a").await.len(), 2);
    life.gone("a").await;
    life.is_gone("a").await;
    life.end().await;
}

async fn outputs_stay_while_one_copy_has_not_ended() {
    let scripted = Scripted::new();
    let life = keeping(&scripted, Duration::from_millis(10)).await;
    life.wish("a", 2).await;
    life.is_queued("a", 1).await;
    scripted.start_jobs();
    scripted.finish("a/0/0/0", Ending::code(0));
    life.until("a", "the first is home", is_home).await;
    scripted.eventually("it has left", |state| state.queue.len() == 1).await;
    // Some rounds of the janitor.
    scripted.calls_more("condor_q", 5).await;
    assert!(scripted.path().join("data/jobs/a/0.0.0/work/out.txt").is_file());
    scripted.finish("a/1/0/0", Ending::code(0));
    life.until("a", "all is removed", |view| matches!(view.outputs, Outputs::Collected(_))).await;
    life.end().await;
}

/// A life with one ended job whose files cannot be fetched.
async fn ended_away(scripted: &Scripted) -> Life {
    scripted.plan(Planned::next("condor_transfer_data", Fault::Fail("no room".into())).always());
    scripted.auto_run(0);
    let life = Life::on(scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.ends("a").await;
    life
}

async fn outputs_that_cannot_be_fetched_stay_in_the_pool_and_are_told_until_they_come_home() {
    let scripted = Scripted::new();
    let life = ended_away(&scripted).await;
    let late = |view: &View| view.jobs[0].outputs_late.clone();
    let view = life.until("a", "it is told", |view| late(view).is_some()).await;
    let told = late(&view).unwrap();
    assert_eq!((told.reason, told.why.as_str()), ("TransferFailed", "condor_transfer_data failed: no room"));
    assert_eq!(life.engine.late_outputs(), (1, Some(told)));
    assert_eq!((life.metric("htc_outputs_late"), life.metric("htc_outputs_given_up_total")), (1, 0));
    assert!(!view.jobs[0].outputs_lost);
    life.until("a", "the end is published", |view| view.jobs[0].published).await;
    scripted.calls_more("condor_q", 3).await;
    assert_eq!(scripted.jobs().len(), 1, "the pool keeps them");
    scripted.heal();
    let view = life.until("a", "it is home", is_home).await;
    assert_eq!((late(&view), life.engine.late_outputs()), (None, (0, None)));
    scripted.empties().await;
    assert_eq!(life.metric("htc_outputs_given_up_total"), 0);
    life.end().await;
}

async fn outputs_are_given_up_after_the_time_of_the_setting() {
    let scripted = Scripted::new();
    scripted.plan(Planned::next("condor_transfer_data", Fault::Fail("no room".into())).always());
    scripted.auto_run(0);
    let give_up_outputs = Some(Duration::from_secs(1));
    let options = htc_operator::engine::Options { give_up_outputs, ..options(&scripted.path().join("data")) };
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life.wish("a", 1).await;
    life.until("a", "they are given up", |view| view.jobs.first().is_some_and(|job| job.outputs_lost)).await;
    scripted.empties().await;
    assert_eq!((life.metric("htc_outputs_given_up_total"), life.engine.late_outputs().0), (1, 0));
    life.end().await;
}

async fn a_transfer_that_hangs_holds_up_no_other() {
    let scripted = Scripted::new();
    scripted.fault("condor_transfer_data", Fault::Hang);
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    scripted.eventually("one hangs", |state| !state.hanging.is_empty()).await;
    life.wish("b", 1).await;
    life.until("b", "it is home", is_home).await;
    assert!(!is_home(&life.view("a")));
    assert_eq!(scripted.pass_deadlines(), 1);
    life.until("a", "it is home", is_home).await;
    scripted.empties().await;
    life.end().await;
}

async fn outputs_come_home_though_one_answer_did_not_have_their_job() {
    let scripted = Scripted::new();
    let life = ended_away(&scripted).await;
    let queue = scripted.change(|state| std::mem::take(&mut state.queue));
    assert_eq!(queue.len(), 1);
    scripted.calls_more("condor_q", 2).await;
    scripted.change(|state| state.queue = queue);
    scripted.heal();
    life.until("a", "it is home", is_home).await;
    scripted.empties().await;
    life.end().await;
}

async fn outputs_come_home_though_their_job_was_given_up_before_it_came_back() {
    let scripted = Scripted::new();
    let life = ended_away(&scripted).await;
    let queue = scripted.change(|state| std::mem::take(&mut state.queue));
    life.until("a", "it is given up and rests", |view| view.jobs[0].outputs_lost && view.jobs[0].published)
        .await;
    scripted.change(|state| state.queue = queue);
    scripted.heal();
    life.engine.look();
    life.until("a", "it is home", is_home).await;
    scripted.empties().await;
    life.end().await;
}

/// A second life, with this data folder, of a workload that was wished in a first and runs; what of the first is left
/// is for the caller to say.
async fn second_life(scripted: &Scripted, data: &str, between: impl FnOnce(&Path)) -> Life {
    let life = Life::on(scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    scripted.start_jobs();
    life.runs("a", 0).await;
    life.end().await;
    between(scripted.path());
    let life = Life::begin(options(&scripted.path().join(data)), scripted.pool()).await;
    life.open_door();
    // As of an object that has our finalizer.
    life.try_wish(Wish { seen_before: true, ..wish("a", 1) }).await.unwrap();
    scripted.finish_jobs(Ending::code(0));
    life
}

async fn is_home_in(scripted: &Scripted, life: Life, data: &str) {
    life.until("a", "it is home", is_home).await;
    let folder = scripted.path().join(data).join("jobs/a/0.0.0");
    assert_eq!(std::fs::read_to_string(folder.join("work/out.txt")).unwrap(), "a/0/0/0");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    scripted.empties().await;
    life.end().await;
}

async fn outputs_come_home_though_the_data_folder_was_lost_while_their_job_ran() {
    let scripted = Scripted::new();
    let lose = |path: &Path| std::fs::remove_dir_all(path.join("data")).unwrap();
    let life = second_life(&scripted, "data", lose).await;
    is_home_in(&scripted, life, "data").await;
}

async fn outputs_come_home_to_another_data_folder_than_their_job_names() {
    let scripted = Scripted::new();
    let life = second_life(&scripted, "other", |_| {}).await;
    is_home_in(&scripted, life, "other").await;
    assert!(!scripted.path().join("data/jobs/a/0.0.0/work").exists(), "that folder is not ours any more");
}

async fn outputs_come_home_to_a_data_folder_that_was_moved() {
    let scripted = Scripted::new();
    let rename = |path: &Path| std::fs::rename(path.join("data"), path.join("moved")).unwrap();
    let life = second_life(&scripted, "moved", rename).await;
    is_home_in(&scripted, life, "moved").await;
    assert!(!scripted.path().join("data").exists());
}

async fn outputs_that_would_go_to_a_folder_that_is_not_ours_stay_in_the_pool() {
    let scripted = Scripted::new();
    let denied = Fault::Fail("SUBMIT_Iwd is immutable".to_owned());
    let refuse = |_: &Path| scripted.plan(Planned::next("condor_qedit", denied).always());
    let life = second_life(&scripted, "other", refuse).await;
    let late = |view: &View| view.jobs.first()?.outputs_late.clone();
    let view = life.until("a", "it is told", |view| late(view).is_some()).await;
    let told = late(&view).unwrap();
    let old = scripted.path().join("data/jobs/a/0.0.0").display().to_string();
    assert!(
        told.why.contains("immutable") && told.why.contains(&old) && told.why.contains("--data-dir"),
        "{told:?}"
    );
    assert_eq!(scripted.calls("condor_transfer_data").len(), 0);
    assert_eq!(scripted.jobs().len(), 1, "the pool keeps them");
    scripted.heal();
    is_home_in(&scripted, life, "other").await;
}

async fn outputs_that_left_the_pool_with_their_job_are_not_waited_for() {
    let scripted = Scripted::new();
    let life = ended_away(&scripted).await;
    scripted.change(|state| state.vanish("a/0/0/0"));
    life.end().await;
    let life = Life::on(&scripted).await;
    life.open_door();
    let options = LogOptions { follow: true, ..LogOptions::default() };
    let wanted = Wanted { uid: uid("a"), index: 0, container: "main".to_owned(), options };
    let said: Vec<_> = life.engine.logs(wanted).collect().await;
    let why = said.last().unwrap().as_ref().unwrap_err().to_string();
    assert!(why.contains("left the pool without its outputs"), "{why}");
    life.end().await;
    let life = keeping(&scripted, Duration::from_millis(500)).await;
    // What is known of it goes when its time is over.
    life.until("a", "it is collected", |view| matches!(view.outputs, Outputs::Collected(_))).await;
    life.end().await;
}
