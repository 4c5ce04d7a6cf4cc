//! An ad says what anybody may have written: one that is odd spoils no other, and one of another owner says
//! nothing at all.

use htc_core::workload::progress::{JobId, Outcome, Progress};
use htc_operator::engine::{Tracking, View};
use serde_json::json;

use super::crashes::once;
use crate::life::{Life, options, outcomes, wish};
use crate::pool::{Ad, Event, Fault, Planned, Scripted};
use crate::tools::job::{id, set};

super::claims![
    what_a_job_puts_into_its_ad_spoils_no_other_job_and_not_its_own_end,
    a_byte_that_is_no_text_spoils_nothing,
    a_job_whose_status_cannot_be_read_is_told_of_harms_no_other_and_can_be_deleted,
    an_ad_without_a_readable_key_is_that_of_the_job_with_its_id,
    an_ad_that_names_no_job_proves_no_absence,
    a_key_on_the_job_of_another_user_says_nothing_of_ours,
    a_second_copy_with_our_key_is_removed_by_its_id_and_believed_in_nothing,
    an_index_that_waits_is_not_adopted_from_another_user,
    files_outside_of_our_folder_stay_as_they_are_whatever_an_ad_names,
    before_the_schedd_says_who_we_are_nothing_is_submitted_and_nothing_concluded,
    where_ads_name_another_owner_than_the_schedd_did_our_own_ids_settle_it,
    ads_of_others_cannot_drown_our_own,
    a_job_that_may_be_among_too_many_of_others_is_not_submitted_again,
    a_submission_that_failed_among_too_many_of_others_is_tried_again,
    another_credential_is_noticed_though_nothing_fails,
    another_credential_changes_nothing_for_jobs_that_are_under_way,
];

/// Two workloads of one job each that run.
async fn two(scripted: &Scripted) -> Life {
    let life = Life::on(scripted).await;
    life.open_door();
    for name in ["a", "b"] {
        life.wish(name, 1).await;
        life.is_queued(name, 0).await;
    }
    scripted.start_jobs();
    life.runs("a", 0).await;
    life.runs("b", 0).await;
    life
}

fn tracking(view: &View) -> &Tracking {
    &view.jobs[0].tracking
}

async fn what_a_job_puts_into_its_ad_spoils_no_other_job_and_not_its_own_end() {
    let scripted = Scripted::new();
    let life = two(&scripted).await;
    // Such an ad could not be kept in the state of the scripted pool.
    let to = format!("\"ChirpHTCReport\": {}0{}", "[".repeat(5_000), "]".repeat(5_000));
    scripted.set("a/0/0/0", json!({ "ChirpHTCReport": "x", "EnteredCurrentStatus": "/Expr(error)/" }));
    let from = "\"ChirpHTCReport\": \"x\"".to_owned();
    scripted.plan(Planned::next("condor_q", Fault::Garble { from, to }).always());
    let partly = Tracking::Partly(vec!["EnteredCurrentStatus", "ChirpHTCReport"]);
    life.until("a", "it is told", |view| *tracking(view) == partly).await;
    assert!(matches!(life.progress("a", 0), Some(Progress::Running { .. })));
    life.wish("c", 1).await;
    life.is_queued("c", 0).await;
    assert_eq!(life.metric("htc_ads_partly_unreadable"), 1);
    scripted.auto_run(0);
    for name in ["a", "b", "c"] {
        assert_eq!(life.ends(name).await, [Outcome::Succeeded]);
    }
    scripted.empties().await;
    assert_eq!(life.metric("htc_looks_total{kind=\"unreadable\"}"), 0);
    life.end().await;
}

async fn a_byte_that_is_no_text_spoils_nothing() {
    let scripted = Scripted::new();
    let life = two(&scripted).await;
    scripted.hold("a/0/0/0", 13, 2, "no file QQ");
    let (from, to) = ("QQ".to_owned(), "\u{1a}".to_owned());
    scripted.plan(Planned::next("condor_q", Fault::Garble { from, to }).always());
    let is_held = |view: &View| matches!(&view.jobs[0].progress, Progress::Held { reason, .. } if reason.contains('\u{fffd}'));
    life.until("a", "it is held", is_held).await;
    life.gone("a").await;
    life.is_gone("a").await;
    scripted.auto_run(0);
    assert_eq!(life.ends("b").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn a_job_whose_status_cannot_be_read_is_told_of_harms_no_other_and_can_be_deleted() {
    let scripted = Scripted::new();
    let life = two(&scripted).await;
    let (from, to) =
        ("\"HTCOperatorKey\": \"a/0/0/0\"", "\"jobstatus\": [], \"HTCOperatorKey\": \"a/0/0/0\"");
    // The first of two values counts, and names come in alphabetical order.
    let garble = Fault::Garble { from: from.to_owned(), to: to.to_owned() };
    scripted.plan(Planned::next("condor_q", garble).always());
    life.until("a", "it is told", |view| *tracking(view) == Tracking::Unreadable("JobStatus")).await;
    scripted.finish("b/0/0/0", crate::pool::Ending::code(0));
    assert_eq!(life.ends("b").await, [Outcome::Succeeded]);
    assert_eq!(life.metric("htc_ads_unreadable"), 1);
    assert_eq!(outcomes(&life.view("a")), [None]);
    life.gone("a").await;
    life.is_gone("a").await;
    assert_eq!(scripted.jobs(), Vec::<Ad>::new());
    life.end().await;
}

async fn an_ad_without_a_readable_key_is_that_of_the_job_with_its_id() {
    let scripted = Scripted::new();
    let life = two(&scripted).await;
    let from = "\"HTCOperatorKey\": \"a/0/0/0\",\n  \"HTCOperatorUid\": \"a\"".to_owned();
    let to = "\"HTCOperatorKey\": [[0]], \"HTCOperatorUid\": 7".to_owned();
    scripted.plan(Planned::next("condor_q", Fault::Garble { from, to }).always());
    life.until("a", "it is told", |view| *tracking(view) == Tracking::Unreadable("HTCOperatorKey")).await;
    // It is longer there than a job may be missing.
    scripted.calls_more("condor_q", 20).await;
    assert_eq!(outcomes(&life.view("a")), [None]);
    life.wish("c", 1).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("b").await, [Outcome::Succeeded]);
    assert_eq!(life.ends("c").await, [Outcome::Succeeded]);
    life.gone("a").await;
    life.is_gone("a").await;
    scripted.empties().await;
    life.end().await;
}

async fn an_ad_that_names_no_job_proves_no_absence() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.is_ready().await;
    let text = "ERROR: Failed to commit job submission into the queue.";
    scripted.fault("condor_submit", Fault::CommitThenFail(text.to_owned()));
    // The answer does not say that this is our job until it is mended.
    let (from, to) = ("\"HTCOperatorKey\": \"a/0/0/0\"".to_owned(), "\"HTCOperatorKey\": []".to_owned());
    scripted.plan(Planned::next("condor_q", Fault::Garble { from, to }).always());
    life.wish("a", 1).await;
    scripted.eventually("it is committed", |state| state.commits == 1).await;
    scripted.calls_more("condor_q", 6).await;
    assert_eq!(scripted.commits(), 1, "it was submitted again");
    scripted.change(|state| state.plan.clear());
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    once(&scripted);
    life.end().await;
}

/// Another user's job with a key of ours, and a lower id.
fn strangers_job(scripted: &Scripted, key: &str, status: i64) {
    let mut ad = scripted.change(|state| state.queue.last().cloned()).unwrap_or_default();
    let uid = key.split('/').next().unwrap();
    let folder = scripted.path().join("strange");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("result.json"), "mine").unwrap();
    set(
        &mut ad,
        json!({
            "ClusterId": 0, "ProcId": 0, "Owner": "mallory", "JobStatus": status, "ExitCode": 0,
            "CompletionDate": 1_795_237_013, "EnteredCurrentStatus": 1_795_237_013, "StageInFinish": 1_795_237_013,
            "NumShadowStarts": 1, "HTCOperatorInstance": crate::life::INSTANCE, "HTCOperatorUid": uid,
            "HTCOperatorKey": key, "SUBMIT_Iwd": folder.display().to_string(), "LeaveJobInQueue": true,
        }),
    );
    scripted.change(|state| state.queue.insert(0, ad));
}

async fn a_key_on_the_job_of_another_user_says_nothing_of_ours() {
    let scripted = Scripted::new();
    let life = two(&scripted).await;
    strangers_job(&scripted, "a/0/0/0", 4);
    scripted.calls_more("condor_q", 5).await;
    let view = life.view("a");
    assert!(
        matches!(view.jobs[0].progress, Progress::Running { job: JobId { cluster: 1, .. }, .. }),
        "{view:?}"
    );
    assert_eq!(*tracking(&view), Tracking::Good);
    life.gone("a").await;
    life.is_gone("a").await;
    assert_eq!(scripted.jobs().iter().map(id).collect::<Vec<_>>(), ["0.0", "2.0"], "only ours was removed");
    assert!(scripted.path().join("strange/result.json").exists());
    life.end().await;
}

async fn a_second_copy_with_our_key_is_removed_by_its_id_and_believed_in_nothing() {
    let scripted = Scripted::new();
    let life = two(&scripted).await;
    strangers_job(&scripted, "a/0/0/0", 2);
    // It is ours this time, whoever made it.
    scripted.change(|state| set(&mut state.queue[0], json!({ "Owner": "alice", "LeaveJobInQueue": false })));
    scripted.eventually("the copy is gone", |state| state.queue.iter().all(|ad| id(ad) != "0.0")).await;
    let view = life.view("a");
    assert!(
        matches!(view.jobs[0].progress, Progress::Running { job: JobId { cluster: 1, .. }, .. }),
        "{view:?}"
    );
    let removed = scripted.journal().into_iter().filter(|entry| entry.event == Event::Removed);
    assert_eq!(removed.map(|entry| entry.job).collect::<Vec<_>>(), ["0.0"]);
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn an_index_that_waits_is_not_adopted_from_another_user() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.is_ready().await;
    strangers_job(&scripted, "a/0/0/0", 4);
    scripted.auto_run(0);
    life.wish("a", 1).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert_eq!(scripted.committed(), ["a/0/0/0"]);
    assert!(scripted.path().join("strange/result.json").exists());
    assert_eq!(life.metric("htc_jobs_foreign"), 1);
    life.end().await;
}

async fn files_outside_of_our_folder_stay_as_they_are_whatever_an_ad_names() {
    let scripted = Scripted::new();
    let life = Life::on(&scripted).await;
    life.open_door();
    life.is_ready().await;
    strangers_job(&scripted, "a/0/0/0", 4);
    scripted.change(|state| set(&mut state.queue[0], json!({ "Owner": "alice" })));
    life.try_wish(htc_operator::engine::Wish { seen_before: true, ..wish("a", 1) }).await.unwrap();
    life.until("a", "it is adopted", |view| !view.jobs.is_empty()).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    assert_eq!(scripted.commits(), 0);
    assert_eq!(std::fs::read(scripted.path().join("strange/result.json")).unwrap(), b"mine");
    life.end().await;
    // The next life does not know of the ad.
    let life = Life::on(&scripted).await;
    life.open_door();
    life.is_ready().await;
    life.wish("b", 1).await;
    scripted.calls_more("condor_q", 10).await;
    assert_eq!(std::fs::read(scripted.path().join("strange/result.json")).unwrap(), b"mine");
    life.end().await;
}

async fn before_the_schedd_says_who_we_are_nothing_is_submitted_and_nothing_concluded() {
    let scripted = Scripted::new();
    scripted.plan(Planned::next("condor_ping", Fault::Fail("WRITE failed!".to_owned())).always());
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    let told =
        |view: &View| view.trouble.as_ref().is_some_and(|told| told.why.contains("does not say who we are"));
    life.until("a", "the trouble is told", told).await;
    assert!(scripted.calls("condor_q").is_empty() && scripted.calls("condor_submit").is_empty());
    scripted.heal();
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.end().await;
}

async fn where_ads_name_another_owner_than_the_schedd_did_our_own_ids_settle_it() {
    let scripted = Scripted::new();
    scripted.change(|state| state.mapping = Some("robot-17@pool".to_owned()));
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 2).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded; 2]);
    scripted.empties().await;
    once(&scripted);
    let last = scripted.calls("condor_q").pop().unwrap().arguments.join(" ");
    assert!(last.contains("Owner =?= \"alice\""), "{last}");
    life.end().await;
}

async fn ads_of_others_cannot_drown_our_own() {
    let scripted = Scripted::new();
    strangers_job(&scripted, "v/0/0/0", 2);
    scripted.plan(Planned::next("condor_q", Fault::Flood).always());
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    life.wish("a", 1).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    life.gone("a").await;
    life.is_gone("a").await;
    assert_eq!(scripted.commits(), 1);
    life.end().await;
}

async fn a_job_that_may_be_among_too_many_of_others_is_not_submitted_again() {
    let scripted = Scripted::new();
    scripted.change(|state| state.mapping = Some("robot-17@pool".to_owned()));
    strangers_job(&scripted, "v/0/0/0", 2);
    scripted.plan(Planned::next("condor_q", Fault::Flood).always());
    let life = Life::on(&scripted).await;
    life.open_door();
    life.is_ready().await;
    let text = "ERROR: Failed to commit job submission into the queue.";
    scripted.fault("condor_submit", Fault::CommitThenFail(text.to_owned()));
    life.wish("a", 1).await;
    scripted.eventually("it is committed", |state| state.commits == 1).await;
    scripted.calls_more("condor_q", 20).await;
    assert_eq!(scripted.commits(), 1, "it was submitted again");
    // The id of another tells who we are, whatever else there is.
    scripted.auto_run(0);
    life.wish("b", 1).await;
    for name in ["a", "b"] {
        assert_eq!(life.ends(name).await, [Outcome::Succeeded]);
    }
    once(&scripted);
    life.end().await;
}

async fn a_submission_that_failed_among_too_many_of_others_is_tried_again() {
    let scripted = Scripted::new();
    strangers_job(&scripted, "v/0/0/0", 2);
    scripted.plan(Planned::next("condor_q", Fault::Flood).always());
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    scripted.fault("condor_submit", Fault::Fail("Ominous words".to_owned()));
    life.wish("a", 1).await;
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    once(&scripted);
    life.end().await;
}

async fn another_credential_is_noticed_though_nothing_fails() {
    let scripted = Scripted::new();
    let proxy = scripted.path().join("proxy");
    std::fs::write(&proxy, "of alice").unwrap();
    let mut pool = scripted.pool();
    pool.environment.push(("X509_USER_PROXY".to_owned(), proxy.display().to_string()));
    let life = Life::begin(options(&scripted.path().join("data")), pool).await;
    life.open_door();
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    scripted.change(|state| state.mapping = Some("bob@pool".to_owned()));
    std::fs::write(&proxy, "of bob now").unwrap();
    let told =
        |view: &View| view.trouble.as_ref().is_some_and(|told| told.why.contains("takes us for bob@pool"));
    life.until("a", "the trouble is told", told).await;
    life.wish("b", 1).await;
    scripted.calls_more("condor_ping", 3).await;
    assert_eq!(scripted.commits(), 1, "nothing is submitted as bob");
    scripted.change(|state| state.mapping = None);
    scripted.auto_run(0);
    for name in ["a", "b"] {
        assert_eq!(life.ends(name).await, [Outcome::Succeeded]);
    }
    life.end().await;
}

async fn another_credential_changes_nothing_for_jobs_that_are_under_way() {
    let scripted = Scripted::new();
    let life = two(&scripted).await;
    scripted.change(|state| state.mapping = Some("bob@pool".to_owned()));
    // Who we are is asked again after anything has failed.
    scripted.fault("condor_q", Fault::Fail("-- Failed to fetch ads".to_owned()));
    let told =
        |view: &View| view.trouble.as_ref().is_some_and(|told| told.why.contains("takes us for bob@pool"));
    life.until("a", "the trouble is told", told).await;
    assert!(matches!(life.progress("a", 0), Some(Progress::Running { .. })));
    scripted.change(|state| state.mapping = None);
    life.until("a", "the trouble is over", |view| view.trouble.is_none()).await;
    scripted.auto_run(0);
    assert_eq!(life.ends("a").await, [Outcome::Succeeded]);
    once(&scripted);
    life.end().await;
}
