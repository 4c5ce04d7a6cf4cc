//! The store knows which queue it was kept for: the answer of another one proves nothing.

use std::path::Path;
use std::time::Duration;

use htc_core::workload::progress::{Outcome, Progress};
use htc_operator::engine::{Awaited, Options, Outputs, View};

use super::crashes::once;
use super::submit;
use crate::endpoint::Endpoint;
use crate::life::{Life, options, outcomes};
use crate::pool::{Fault, Outage, Planned, Scripted};

super::claims![
    before_another_queue_nothing_is_submitted_removed_or_ended,
    an_accepted_queue_is_ours_from_then_on,
    a_queue_that_is_replaced_while_we_run_ends_no_job,
    a_queue_that_is_another_one_after_an_outage_gets_nothing,
    before_another_queue_nothing_is_given_up_or_collected,
    what_was_under_way_does_not_hide_that_the_queue_is_another,
    a_queue_that_comes_back_is_gone_on_with,
    a_person_accepts_a_queue_by_the_command_that_the_log_names,
    a_queue_that_cannot_be_identified_is_not_believed,
    another_instance_id_is_told_from_the_one_before,
    a_lost_store_that_is_the_only_record_submits_nothing_until_it_is_accepted,
    a_history_that_the_only_record_lacks_stops_it_too,
    a_store_from_a_backup_is_told_by_the_jobs_that_came_later,
    what_the_only_record_has_deleted_is_not_unknown_to_it,
];

fn is_mismatch(view: &View) -> bool {
    view.trouble.as_ref().is_some_and(|obstacle| obstacle.reason == "StoreMismatch")
}

/// A running job, and then another queue in the place of its own.
async fn replaced(scripted: &Scripted) {
    let life = Life::on(scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    scripted.start_jobs();
    life.runs("a", 0).await;
    life.end().await;
    scripted.change(|state| {
        state.birthdate += 1;
        state.queue.clear();
    });
}

async fn before_another_queue_nothing_is_submitted_removed_or_ended() {
    let scripted = Scripted::new();
    replaced(&scripted).await;
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("b", 1).await;
    let view = life.until("b", "it says what is in the way", is_mismatch).await;
    let why = view.trouble.map(|obstacle| obstacle.why).unwrap_or_default();
    assert!(why.contains("birthdate") && why.contains("htc-operator db accept"), "{why}");
    life.gone("b").await;
    scripted.calls_more("condor_q", 20).await;
    let awaited = life.engine.awaited(&"b".parse().unwrap());
    assert!(
        matches!(&awaited, Some(Awaited::Mismatch { why }) if why.contains("htc-operator db accept")),
        "{awaited:?}"
    );
    assert_eq!(outcomes(&life.view("a")), [None], "absence in another queue proves nothing");
    for tool in ["condor_rm", "condor_qedit"] {
        assert!(scripted.calls(tool).is_empty(), "{tool}");
    }
    assert_eq!(scripted.calls("condor_submit").len(), 1, "of the life before");
    assert_eq!(life.metric("htc_store_mismatch"), 1);
    life.end().await;
}

async fn an_accepted_queue_is_ours_from_then_on() {
    let scripted = Scripted::new();
    replaced(&scripted).await;
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("b", 1).await;
    life.until("b", "it says what is in the way", is_mismatch).await;
    let accepted = life.engine.accept_queue().await.unwrap();
    assert!(matches!(&accepted[..], [one] if one.contains("birthdate")), "{accepted:?}");
    scripted.auto_run(0);
    assert_eq!(life.ends("b").await, [Outcome::Succeeded]);
    assert_eq!(life.engine.accept_queue().await.unwrap(), Vec::<String>::new());
    life.end().await;
    let life = Life::on(&scripted).await;
    life.is_ready().await;
    assert!(life.engine.mismatch().is_empty());
    life.end().await;
}

async fn before_another_queue_nothing_is_given_up_or_collected() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("home", 1).await;
    let is_home = |view: &View| matches!(view.outputs, Outputs::Home(_));
    let Outputs::Home(folder) = life.until("home", "it is home", is_home).await.outputs else { panic!() };
    scripted.plan(Planned::next("condor_transfer_data", Fault::Fail("no room".into())).always());
    life.wish("away", 1).await;
    life.ends("away").await;
    life.end().await;
    let queue = scripted.change(|state| {
        state.birthdate += 1;
        std::mem::take(&mut state.queue)
    });
    let short = Some(Duration::from_millis(1));
    let options =
        Options { give_up_outputs: short, keep_outputs: short, ..options(&scripted.path().join("data")) };
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life.wish("b", 1).await;
    life.until("b", "it says what is in the way", is_mismatch).await;
    scripted.calls_more("condor_transfer_data", 3).await;
    assert!(!life.view("away").jobs[0].outputs_lost);
    assert_eq!(life.metric("htc_outputs_given_up_total"), 0);
    assert!(folder.exists(), "outputs whose time is over stay");
    life.end().await;
    // With its own queue the time of outputs goes on.
    scripted.heal();
    scripted.change(|state| {
        state.birthdate -= 1;
        state.queue = queue;
    });
    let options = Options { keep_outputs: short, ..crate::life::options(&scripted.path().join("data")) };
    let life = Life::begin(options, scripted.pool()).await;
    life.open_door();
    life.until("home", "it is collected", |view| matches!(view.outputs, Outputs::Collected(_))).await;
    life.end().await;
}

async fn what_was_under_way_does_not_hide_that_the_queue_is_another() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    scripted.fault("condor_submit", Fault::WaitBeforeCommit);
    life.wish("b", 1).await;
    scripted
        .eventually("the tool has begun", |state| {
            state.calls.iter().filter(|c| c.tool == "condor_submit").count() == 2
        })
        .await;
    scripted.change(|state| {
        state.birthdate += 1;
        state.queue.clear();
    });
    life.until("a", "it says what is in the way", is_mismatch).await;
    scripted.let_go_on();
    scripted.eventually("the submission ends well", |state| state.commits == 2).await;
    scripted.calls_more("condor_q", 20).await;
    assert!(is_mismatch(&life.view("a")), "{:?}", life.view("a").trouble);
    life.end().await;
}

async fn a_queue_that_is_replaced_while_we_run_ends_no_job() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 2).await;
    life.is_queued("a", 1).await;
    scripted.change(|state| {
        state.birthdate += 1;
        state.queue.clear();
    });
    life.until("a", "it says what is in the way", is_mismatch).await;
    scripted.calls_more("condor_q", 20).await;
    assert_eq!(outcomes(&life.view("a")), [None, None]);
    life.end().await;
}

async fn a_queue_that_is_another_one_after_an_outage_gets_nothing() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    scripted.plan(Planned::everywhere(Fault::Outage(Outage::Pool)));
    life.until("a", "the outage is told", |view| view.trouble.is_some()).await;
    life.wish("b", 1).await;
    scripted.change(|state| {
        state.birthdate += 1;
        state.queue.clear();
    });
    scripted.heal();
    life.until("b", "it says what is in the way", is_mismatch).await;
    scripted.calls_more("condor_q", 5).await;
    assert_eq!(scripted.calls("condor_submit").len(), 1, "of the time before");
    life.end().await;
}

async fn a_person_accepts_a_queue_by_the_command_that_the_log_names() {
    let mut endpoint = Endpoint::new();
    let data = endpoint.path("data");
    let flags = ["--interlink-listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let accept = |endpoint: &Endpoint| {
        let output =
            endpoint.beside(&["db", "accept", "--data-dir", data.to_str().unwrap()]).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.success(), said.concat())
    };
    let (good, said) = accept(&endpoint);
    assert!(!good, "nobody is there: {said}");
    let born = |file: &Path| {
        let store = rusqlite::Connection::open(file.join("htcjobs.db")).ok()?;
        let fact = "SELECT value FROM facts WHERE name = 'queue_birthdate'";
        store.query_row(fact, [], |row| row.get::<_, String>(0)).ok()
    };
    endpoint.start(&flags, 1).await;
    endpoint.eventually("the queue is known", |_| born(&data).is_some()).await;
    let (good, said) = accept(&endpoint);
    assert!(good && said.contains("nothing has changed"), "{said}");
    endpoint.end().await;
    let before = born(&data).unwrap();
    endpoint.scripted.change(|state| state.birthdate += 1);
    endpoint.scripted.plan(Planned::next("condor_ping", Fault::Fail("away".into())).always());
    endpoint.start(&flags, 1).await;
    let (good, said) = accept(&endpoint);
    assert!(!good && said.contains("has not been compared with the database yet"), "{said}");
    endpoint.scripted.heal();
    endpoint.eventually("it is told", |it| it.log().contains("htc-operator db accept")).await;
    assert_eq!(born(&data), Some(before.clone()));
    let (good, said) = accept(&endpoint);
    let words = format!("Accepted: the birthdate of its queue was {before} and is ");
    assert!(good && said.starts_with(&words), "{said}");
    assert_ne!(born(&data), Some(before));
    endpoint.end().await;
}

async fn a_queue_that_comes_back_is_gone_on_with() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    let queue = scripted.change(|state| {
        state.birthdate += 1;
        std::mem::take(&mut state.queue)
    });
    life.until("a", "it says what is in the way", is_mismatch).await;
    scripted.change(|state| {
        state.birthdate -= 1;
        state.queue = queue;
    });
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.empties().await;
    once(&scripted);
    life.end().await;
}

async fn a_queue_that_cannot_be_identified_is_not_believed() {
    let scripted = Scripted::new();
    replaced(&scripted).await;
    let fail = Fault::Fail("Error: communication error".to_owned());
    scripted.plan(Planned::next("condor_status", fail).always());
    let life = Life::on(&scripted).await;
    life.wish("b", 1).await;
    life.until("b", "it says what is in the way", is_mismatch).await;
    scripted.calls_more("condor_q", 20).await;
    assert!(!matches!(life.progress("a", 0), Some(Progress::Ended { .. })));
    assert_eq!(scripted.calls("condor_submit").len(), 1, "of the life before");
    life.end().await;
}

async fn another_instance_id_is_told_from_the_one_before() {
    let scripted = Scripted::new();
    replaced(&scripted).await;
    let data = scripted.path().join("data");
    let life = Life::begin(Options { instance: "other".to_owned(), ..options(&data) }, scripted.pool()).await;
    life.wish("b", 1).await;
    let view = life.until("b", "it says what is in the way", is_mismatch).await;
    let why = view.trouble.map(|obstacle| obstacle.why).unwrap_or_default();
    assert!(why.contains("the instance id was test-instance and is other"), "{why}");
    life.end().await;
}

/// The options of an operator without Kubernetes.
fn alone(data: &Path) -> Options {
    Options { sole_record: true, ..options(data) }
}

async fn life_alone(scripted: &Scripted) -> Life {
    let life = Life::begin(alone(&scripted.path().join("data")), scripted.pool()).await;
    life.open_door();
    life
}

/// What is wished is submitted only once the queue is accepted.
async fn waits_for_a_word(scripted: &Scripted) {
    let submitted = scripted.calls("condor_submit").len();
    let life = life_alone(scripted).await;
    life.wish("new", 1).await;
    let view = life.until("new", "it says what is in the way", is_mismatch).await;
    let why = view.trouble.map(|obstacle| obstacle.why).unwrap_or_default();
    assert!(why.contains("the database does not know"), "{why}");
    scripted.calls_more("condor_q", 10).await;
    assert_eq!(scripted.calls("condor_submit").len(), submitted);
    life.engine.accept_queue().await.unwrap();
    scripted.eventually("it is submitted", |state| state.commits > 1).await;
    life.end().await;
    // It is remembered.
    let life = life_alone(scripted).await;
    life.is_ready().await;
    assert!(life.engine.mismatch().is_empty(), "{:?}", life.engine.mismatch());
    life.end().await;
}

async fn a_lost_store_that_is_the_only_record_submits_nothing_until_it_is_accepted() {
    let scripted = Scripted::new();
    submit(&scripted, &["stranger/0/0/0"]).await.1.unwrap();
    super::forgetting::age_new_store(&scripted).await;
    waits_for_a_word(&scripted).await;
}

async fn a_history_that_the_only_record_lacks_stops_it_too() {
    let scripted = Scripted::new();
    submit(&scripted, &["stranger/0/0/0"]).await.1.unwrap();
    scripted.change(|state| {
        let queue = std::mem::take(&mut state.queue);
        state.history.extend(queue);
    });
    waits_for_a_word(&scripted).await;
}

async fn a_store_from_a_backup_is_told_by_the_jobs_that_came_later() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let life = life_alone(&scripted).await;
    life.wish("a", 1).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    scripted.empties().await;
    life.end().await;
    submit(&scripted, &["later/0/0/0"]).await.1.unwrap();
    let life = life_alone(&scripted).await;
    life.wish("b", 1).await;
    life.until("b", "it says what is in the way", is_mismatch).await;
    life.end().await;
}

async fn what_the_only_record_has_deleted_is_not_unknown_to_it() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    let life = life_alone(&scripted).await;
    life.wish("a", 1).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.gone("a").await;
    life.is_gone("a").await;
    life.end().await;
    // The tombstone is forgotten after a month.
    let store = rusqlite::Connection::open(scripted.path().join("data/htcjobs.db")).unwrap();
    store.execute("DELETE FROM wishes", []).unwrap();
    drop(store);
    let life = life_alone(&scripted).await;
    life.wish("b", 1).await;
    assert_eq!(life.ends("b").await, [Outcome::Succeeded]);
    life.end().await;
}
