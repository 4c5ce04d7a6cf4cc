//! What was accepted by an earlier version, or at other settings, and may not be submitted any more.

use htc_core::workload::progress::{Outcome, Progress};
use htc_operator::engine::{Options, SiteAttributes, View, Wish};

use crate::life::{DOOR, Life, options, outcomes, wish};
use crate::pool::{Fault, Scripted};

super::claims![
    what_waits_with_an_attribute_that_is_refused_now_ends_as_refused_and_is_not_submitted,
    what_is_in_the_queue_with_such_an_attribute_goes_on,
    what_was_not_committed_is_refused_once_that_is_proven,
    a_refusal_outlives_the_operator_and_its_deletion_finds_nothing_to_remove,
    what_a_site_denies_at_a_later_start_is_not_submitted_either,
    workloads_of_other_doors_are_not_judged,
];

const OLD: (&str, &str) = ("MY.NextJobStartDelay", "30");

/// A wish that an earlier version took.
fn old(name: &str, indices: u32, (option, value): (&str, &str)) -> Wish {
    let mut wish = wish(name, indices);
    wish.workload.submit = vec![(option.to_owned(), value.to_owned())];
    wish
}

/// A life with room for so many jobs in the queue.
async fn begin(scripted: &Scripted, room: usize) -> Life {
    let options = Options { max_jobs_in_queue: room, ..options(&scripted.path().join("data")) };
    Life::begin(options, scripted.pool()).await
}

/// The store of a life in which this was wished and nothing was submitted.
async fn waits(scripted: &Scripted, wishes: Vec<Wish>) {
    let life = begin(scripted, 0).await;
    for wish in wishes {
        life.try_wish(wish).await.unwrap();
    }
    life.is_ready().await;
    life.end().await;
    assert!(scripted.calls("condor_submit").is_empty());
}

fn sentences(view: &View) -> Vec<String> {
    view.jobs.iter().filter_map(|job| job.progress.end()).map(|end| end.message.clone()).collect()
}

async fn what_waits_with_an_attribute_that_is_refused_now_ends_as_refused_and_is_not_submitted() {
    let scripted = Scripted::new();
    waits(&scripted, vec![old("a", 3, OLD), old("b", 2, ("MY.MaxRuntime", "60"))]).await;
    let life = begin(&scripted, 100).await;
    life.open_door();
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::SubmitRefused; 3]);
    assert_eq!(life.ends("b").await, [Outcome::Succeeded; 2]);
    let view = life.view("a");
    assert!(view.jobs.iter().all(|job| matches!(job.progress, Progress::Ended { job: None, .. })));
    for sentence in sentences(&view) {
        for words in [
            "were accepted before",
            "MY.NextJobStartDelay = 30",
            "when and where jobs start",
            "apply it anew",
        ] {
            assert!(sentence.contains(words), "{sentence}");
        }
    }
    scripted.empties().await;
    let mut committed = scripted.committed();
    committed.sort();
    assert_eq!(committed, ["b/0/0/0", "b/1/0/0"]);
    assert_eq!(life.metric("htc_jobs_ended_total{kind=\"SubmitRefused\"}"), 3);
    life.end().await;
}

async fn what_is_in_the_queue_with_such_an_attribute_goes_on() {
    let scripted = Scripted::new();
    let life = begin(&scripted, 2).await;
    life.try_wish(old("a", 4, OLD)).await.unwrap();
    // The engine takes what its doors have judged.
    life.is_queued("a", 1).await;
    life.end().await;
    let life = begin(&scripted, 100).await;
    life.open_door();
    let refused = |view: &View| outcomes(view)[2..] == [Some(Outcome::SubmitRefused); 2];
    life.until("a", "the rest is refused", |view| view.jobs.len() == 4 && refused(view)).await;
    scripted.auto_run(0);
    let expected = [Outcome::Succeeded, Outcome::Succeeded, Outcome::SubmitRefused, Outcome::SubmitRefused];
    assert_eq!(life.ends("a").await, expected);
    assert_eq!(scripted.commits(), 1);
    life.end().await;
}

async fn what_was_not_committed_is_refused_once_that_is_proven() {
    let scripted = Scripted::new();
    (0..100)
        .for_each(|_| scripted.fault("condor_submit", Fault::Fail("ERROR: Can't find address".to_owned())));
    let life = begin(&scripted, 100).await;
    life.try_wish(old("a", 2, OLD)).await.unwrap();
    scripted.calls_more("condor_submit", 1).await;
    life.end().await;
    let tried = scripted.calls("condor_submit").len();
    let life = begin(&scripted, 100).await;
    assert_eq!(life.ends("a").await, [Outcome::SubmitRefused; 2]);
    assert_eq!((scripted.commits(), scripted.calls("condor_submit").len()), (0, tried));
    life.end().await;
}

async fn a_refusal_outlives_the_operator_and_its_deletion_finds_nothing_to_remove() {
    let scripted = Scripted::new();
    waits(&scripted, vec![old("a", 2, OLD)]).await;
    let life = begin(&scripted, 100).await;
    life.open_door();
    life.ends("a").await;
    let told = sentences(&life.view("a"));
    life.end().await;
    let life = begin(&scripted, 100).await;
    life.is_ready().await;
    assert_eq!((sentences(&life.view("a")), life.view("a").waiting), (told, 0));
    life.gone("a").await;
    life.is_gone("a").await;
    assert!(scripted.calls("condor_rm").is_empty() && scripted.calls("condor_submit").is_empty());
    life.end().await;
}

async fn what_a_site_denies_at_a_later_start_is_not_submitted_either() {
    let scripted = Scripted::new();
    waits(
        &scripted,
        vec![old("a", 1, ("accounting_group_user", "bob")), old("b", 1, ("MY.JobFlavour", "\"x\""))],
    )
    .await;
    let site = SiteAttributes { denied: vec!["AccountingGroup".to_owned()], allowed: vec![] };
    let data = options(&scripted.path().join("data"));
    let life = Life::judged(data, scripted.pool(), &site).await;
    life.open_door();
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::SubmitRefused]);
    assert_eq!(life.ends("b").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn workloads_of_other_doors_are_not_judged() {
    let scripted = Scripted::new();
    assert_ne!(DOOR, "pods");
    waits(&scripted, vec![Wish { door: "pods", ..old("a", 1, OLD) }]).await;
    let life = begin(&scripted, 100).await;
    life.is_queued("a", 0).await;
    life.end().await;
}
