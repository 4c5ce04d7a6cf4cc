//! A database file and jobs of the predecessor: they are followed as they are, and nothing of them is
//! ever submitted again.

use htc_core::workload::progress::{JobId, Outcome, Progress};
use htc_operator::engine::{Heir, Inheritance, recorded};
use rusqlite::Connection;
use serde_json::json;

use crate::life::{DOOR, Life, outcomes, uid};
use crate::pool::{Ad, Ending, Event, Scripted};
use crate::tools::job::{id, int, set};

super::claims![
    jobs_of_the_predecessor_are_followed_to_their_ends_and_never_submitted,
    what_its_rows_say_has_ended_has_ended,
    its_file_may_be_junk_and_opens_all_the_same,
    without_rows_the_object_names_its_jobs,
    jobs_that_only_a_status_names_are_neither_followed_nor_removed,
    a_job_that_nobody_knows_any_more_is_lost_and_not_submitted,
    ends_of_the_pool_count_and_stay,
    inherited_jobs_outlive_the_operator,
    deletion_removes_them_by_their_ids_and_nothing_else,
    an_object_without_anything_to_inherit_is_submitted,
];

const CLUSTER: u32 = 884_426;

/// The table as the predecessor made it.
const TABLE: &str =
    "CREATE TABLE htcjobs (htcjobName text, jobId text, status integer, tempDir text, uniqid text)";

/// Writes a file with these statements where the operator will look for its own.
fn file(scripted: &Scripted, statements: &str) {
    let data = scripted.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    Connection::open(data.join("htcjobs.db")).unwrap().execute_batch(statements).unwrap();
}

/// A table with rows of HTCJob `zero`: proc and status.
fn rows(rows: &[(u32, i64)]) -> String {
    let row = |(proc, status): &(u32, i64)| {
        format!("; INSERT INTO htcjobs VALUES ('zero', '{CLUSTER}.{proc}', {status}, '/tmp/x', 'q1w2')")
    };
    TABLE.to_owned() + &rows.iter().map(row).collect::<String>()
}

fn ad(proc: u32, status: i64) -> Ad {
    let ad = json!({
        "ClusterId": CLUSTER, "ProcId": proc, "JobStatus": status, "EnteredCurrentStatus": 1_795_237_013,
        "StageInFinish": 1_795_237_013, "SUBMIT_Iwd": "/tmp/x", "Owner": "alice",
        "LeaveJobInQueue": "/Expr(JobStatus == 4)/"
    });
    ad.as_object().unwrap().clone()
}

/// The predecessor's jobs are in the queue in these states; one proc each.
fn in_queue(scripted: &Scripted, states: &[i64]) {
    let ads = (0..).zip(states).map(|(proc, status)| ad(proc, *status));
    scripted.change(|state| state.queue.extend(ads));
}

fn heir(uniqid: &str, procs: &[u32]) -> Heir {
    Heir {
        created: Some(1),
        uid: uid("zero"),
        door: DOOR,
        namespace: "default".to_owned(),
        name: "zero".to_owned(),
        uniqid: uniqid.to_owned(),
        jobs: procs.iter().map(|proc| JobId { cluster: CLUSTER, proc: *proc }).collect(),
        ended: vec![],
        is_trusted: false,
    }
}

async fn inherits(life: &Life, heir: Heir) {
    assert_eq!(life.engine.inherit(heir).await.unwrap(), Inheritance::Jobs);
}

/// Ends one job as the pool would.
fn finish(scripted: &Scripted, proc: u32, code: i32) {
    let this =
        |ad: &Ad| int(ad, "ProcId") == Some(proc.into()) && int(ad, "ClusterId") == Some(CLUSTER.into());
    scripted.change(|state| {
        let place = state.queue.iter().position(this).unwrap();
        let ending = Ending::code(code).without_result();
        state.finish(place, ending).unwrap();
    });
}

/// Nothing was submitted, and nothing was fetched.
fn untouched(scripted: &Scripted) {
    assert_eq!(scripted.commits(), 0);
    assert!(scripted.calls("condor_submit").is_empty());
    assert!(scripted.calls("condor_transfer_data").is_empty());
}

async fn jobs_of_the_predecessor_are_followed_to_their_ends_and_never_submitted() {
    let scripted = Scripted::new();
    file(&scripted, &rows(&[(1, 1), (0, 1), (2, 1)]));
    in_queue(&scripted, &[2, 1, 5]);
    let life = Life::on(&scripted).await;
    life.open_door();
    inherits(&life, heir("q1w2", &[])).await;
    let view = life.until("zero", "its states are seen", |view| {
        let [a, b, c] = [0, 1, 2].map(|index: usize| view.jobs.get(index).map(|job| &job.progress));
        matches!(a, Some(Progress::Running { .. }))
            && matches!(b, Some(Progress::Queued { .. }))
            && matches!(c, Some(Progress::Held { .. }))
    });
    let view = view.await;
    assert!(view.inherited);
    assert_eq!((view.indices, view.waiting), (3, 0));
    let ids: Vec<_> = view.jobs.iter().filter_map(|job| job.progress.job()).map(|job| job.proc).collect();
    assert_eq!(ids, [0, 1, 2], "index n is the n-th proc");
    // One question asks for all.
    let asked = scripted.calls("condor_q");
    let of_ours = asked.iter().rfind(|call| !call.arguments.iter().any(|argument| argument == "-limit"));
    assert!(of_ours.unwrap().arguments.iter().any(|a| a.contains("(ClusterId == 884426)")));
    finish(&scripted, 0, 0);
    scripted.change(|state| {
        state.make_idle(2);
        state.queue[1..].iter_mut().for_each(|ad| set(ad, json!({ "JobStatus": 2 })));
    });
    finish(&scripted, 1, 3);
    finish(&scripted, 2, 0);
    assert_eq!(life.ends("zero").await, [Outcome::Succeeded, Outcome::ExitCode(3), Outcome::Succeeded]);
    scripted.calls_more("condor_q", 1).await;
    assert_eq!(scripted.jobs().len(), 3, "what they left is still with HTCondor");
    untouched(&scripted);
    life.end().await;
}

async fn what_its_rows_say_has_ended_has_ended() {
    let scripted = Scripted::new();
    // 10 is added once the files are home.
    file(&scripted, &rows(&[(0, 4), (1, 14), (2, 7), (3, 17)]));
    let life = Life::on(&scripted).await;
    inherits(&life, heir("q1w2", &[])).await;
    let good = |outcome: &Option<Outcome>| outcome.unwrap().succeeded();
    let ends: Vec<bool> = outcomes(&life.view("zero")).iter().map(good).collect();
    assert_eq!(ends, [true, true, false, false]);
    life.end().await;
    let life = Life::on(&scripted).await;
    let again: Vec<bool> = outcomes(&life.view("zero")).iter().map(good).collect();
    assert_eq!(again, ends);
    life.is_ready().await;
    untouched(&scripted);
    life.end().await;
}

async fn its_file_may_be_junk_and_opens_all_the_same() {
    let scripted = Scripted::new();
    let junk = "CREATE TABLE htcjobs (htcjobName text, jobId text, status integer);
        INSERT INTO htcjobs VALUES (NULL, NULL, NULL);
        INSERT INTO htcjobs VALUES ('zero', 'no id', 1);
        INSERT INTO htcjobs VALUES ('zero', '', 'x');
        INSERT INTO htcjobs VALUES (7, 7.5, 4);
        INSERT INTO htcjobs VALUES ('zero', x'ff00', 1);
        INSERT INTO htcjobs VALUES ('zero', ' 884426.0 ', '1');
        INSERT INTO htcjobs VALUES ('zero', '884426.0', NULL);
        INSERT INTO htcjobs VALUES ('zero', '884426.0', 4);
        INSERT INTO htcjobs VALUES ('other', '884426.0', 7);
        INSERT INTO htcjobs VALUES ('zero', '884426.1', 'maybe')";
    file(&scripted, junk);
    in_queue(&scripted, &[4, 2]);
    let life = Life::on(&scripted).await;
    life.open_door();
    inherits(&life, heir("", &[0, 1])).await;
    life.runs("zero", 1).await;
    assert_eq!(outcomes(&life.view("zero")), [Some(Outcome::Succeeded), None]);
    untouched(&scripted);
    life.end().await;
    let store = Connection::open(scripted.path().join("data/htcjobs.db")).unwrap();
    let count = |of: &str| {
        store
            .query_row(&format!("SELECT count(*) FROM htcjobs WHERE {of}"), [], |r| r.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(count("uid = 'zero'"), 2);
    assert_eq!(count("htcjobName = 'other' AND status = 7"), 1, "a stranger's row stays as it is");
}

async fn without_rows_the_object_names_its_jobs() {
    let scripted = Scripted::new();
    in_queue(&scripted, &[2, 2, 2]);
    let life = Life::on(&scripted).await;
    life.open_door();
    let mut heir = heir("q1w2", &[2, 0, 1]);
    heir.is_trusted = true;
    heir.ended = vec![(JobId { cluster: CLUSTER, proc: 1 }, recorded(true))];
    inherits(&life, heir).await;
    finish(&scripted, 0, 1);
    finish(&scripted, 2, 0);
    assert_eq!(life.ends("zero").await, [Outcome::ExitCode(1), Outcome::Succeeded, Outcome::Succeeded]);
    untouched(&scripted);
    life.end().await;
}

async fn jobs_that_only_a_status_names_are_neither_followed_nor_removed() {
    let scripted = Scripted::new();
    file(&scripted, &rows(&[(0, 1)]));
    in_queue(&scripted, &[2, 2]);
    let life = Life::on(&scripted).await;
    life.open_door();
    // The second is somebody else's.
    let forged = heir("q1w2", &[0, 1]);
    assert_eq!(life.engine.inheritance(&forged).await.unwrap(), Inheritance::Unconfirmed);
    assert_eq!(life.engine.inherit(forged).await.unwrap(), Inheritance::Unconfirmed);
    // So is an object that was made after the predecessor, with the setting too.
    let young = Heir { created: Some(i64::MAX), is_trusted: true, ..heir("q1w2", &[0, 1]) };
    assert_eq!(life.engine.inherit(young).await.unwrap(), Inheritance::None);
    life.gone("zero").await;
    scripted.calls_more("condor_q", 2).await;
    assert!(scripted.calls("condor_rm").is_empty());
    assert_eq!(scripted.jobs().len(), 2);
    untouched(&scripted);
    life.end().await;
}

async fn a_job_that_nobody_knows_any_more_is_lost_and_not_submitted() {
    let scripted = Scripted::new();
    file(&scripted, &rows(&[(0, 1)]));
    let life = Life::on(&scripted).await;
    life.open_door();
    inherits(&life, heir("q1w2", &[])).await;
    assert_eq!(life.ends("zero").await, [Outcome::LostTrack]);
    untouched(&scripted);
    life.end().await;
}

async fn ends_of_the_pool_count_and_stay() {
    let scripted = Scripted::new();
    file(&scripted, &rows(&[(0, 1)]));
    in_queue(&scripted, &[2]);
    let life = Life::on(&scripted).await;
    life.open_door();
    inherits(&life, heir("q1w2", &[])).await;
    life.runs("zero", 0).await;
    // HTCondor may take such a job away once it has ended; its end was seen.
    finish(&scripted, 0, 9);
    assert_eq!(life.ends("zero").await, [Outcome::ExitCode(9)]);
    scripted.change(|state| state.queue.clear());
    scripted.calls_more("condor_q", 1).await;
    life.end().await;
    let life = Life::on(&scripted).await;
    life.is_ready().await;
    assert_eq!(outcomes(&life.view("zero")), [Some(Outcome::ExitCode(9))]);
    untouched(&scripted);
    life.end().await;
}

async fn inherited_jobs_outlive_the_operator() {
    let scripted = Scripted::new();
    file(&scripted, &rows(&[(0, 1), (1, 1)]));
    in_queue(&scripted, &[2, 2]);
    let life = Life::on(&scripted).await;
    inherits(&life, heir("q1w2", &[])).await;
    life.end().await;
    let life = Life::on(&scripted).await;
    life.open_door();
    inherits(&life, heir("q1w2", &[])).await;
    life.runs("zero", 1).await;
    finish(&scripted, 0, 0);
    finish(&scripted, 1, 0);
    assert_eq!(life.ends("zero").await, [Outcome::Succeeded; 2]);
    untouched(&scripted);
    life.end().await;
}

async fn deletion_removes_them_by_their_ids_and_nothing_else() {
    let scripted = Scripted::new();
    file(&scripted, &rows(&[(0, 1), (1, 4), (2, 1)]));
    in_queue(&scripted, &[2, 4, 1]);
    // Another's job of the same cluster, and one of ours that has such an id.
    let mut ours = ad(0, 2);
    set(&mut ours, json!({ "HTCOperatorInstance": "x", "HTCOperatorKey": "a/0/0/0" }));
    scripted.change(|state| state.queue.extend([ad(7, 1), ours]));
    let life = Life::on(&scripted).await;
    life.open_door();
    inherits(&life, heir("q1w2", &[])).await;
    life.runs("zero", 0).await;
    life.gone("zero").await;
    life.is_gone("zero").await;
    let left: Vec<String> = scripted.jobs().iter().map(id).collect();
    assert_eq!(left, ["884426.7", "884426.0"]);
    let removed = scripted.journal().into_iter().filter(|entry| entry.event == Event::Removed);
    assert_eq!(removed.map(|entry| entry.job).collect::<Vec<_>>(), ["884426.0", "884426.1", "884426.2"]);
    untouched(&scripted);
    life.end().await;
}

async fn an_object_without_anything_to_inherit_is_submitted() {
    let scripted = Scripted::new();
    file(&scripted, &rows(&[(0, 4)]));
    scripted.auto_run(0);
    let life = Life::on(&scripted).await;
    life.open_door();
    // The row of its name has ended: it was that of an earlier object.
    assert_eq!(life.engine.inherit(heir("", &[])).await.unwrap(), Inheritance::None);
    life.wish("zero", 1).await;
    assert_eq!(life.ends("zero").await, [Outcome::Succeeded]);
    assert_eq!(scripted.commits(), 1);
    life.end().await;
}
