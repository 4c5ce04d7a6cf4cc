//! Our submissions in a pool where nothing goes wrong.

use htc_operator::condor::ad::State;

use super::{row, see, start_rows, submit};
use crate::pool::{Event, Scripted};

super::claims![
    a_batch_is_committed_staged_and_seen_with_its_keys,
    row_n_is_proc_n_and_clusters_count_up,
    an_empty_queue_answers_nothing_at_all,
    a_missing_input_file_leaves_a_job_held_with_code_16,
    a_missing_folder_is_refused_before_anything_is_committed,
    options_and_containers_reach_the_ad,
    jobs_run_and_end_with_what_the_test_says,
    a_pod_that_was_evicted_is_not_started_again,
    a_pool_can_run_by_itself,
];

async fn a_batch_is_committed_staged_and_seen_with_its_keys() {
    let scripted = Scripted::new();
    let (first, ended) = submit(&scripted, &["u/0/0/0", "u/1/0/0"]).await;
    ended.unwrap();
    assert_eq!(first.as_deref(), Some("1.0"));
    let ads = see(&scripted.pool()).await;
    let keys: Vec<String> = ads.iter().map(|ad| ad.key.to_string()).collect();
    assert_eq!(keys, ["u/0/0/0", "u/1/0/0"]);
    assert!(ads.iter().all(|ad| ad.staged && ad.state == State::Idle && ad.starts == 0));
    assert!(ads[1].folder.ends_with("jobs/u-1-0-0"), "{}", ads[1].folder);
    assert_eq!(scripted.committed(), keys);
    assert_eq!(scripted.calls("condor_q").len(), 1);
}

async fn row_n_is_proc_n_and_clusters_count_up() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    assert_eq!(submit(&scripted, &["v/0/0/0", "v/1/0/0"]).await.0.as_deref(), Some("2.0"));
    let ids: Vec<String> = see(&scripted.pool()).await.iter().map(|ad| ad.job.to_string()).collect();
    assert_eq!(ids, ["1.0", "2.0", "2.1"]);
}

async fn an_empty_queue_answers_nothing_at_all() {
    let scripted = Scripted::new();
    assert_eq!(see(&scripted.pool()).await, []);
}

async fn a_missing_input_file_leaves_a_job_held_with_code_16() {
    let scripted = Scripted::new();
    let rows = [row(&scripted, "u/0/0/0")];
    std::fs::remove_file(format!("{}/job.json", rows[0].folder)).unwrap();
    let mut submission = start_rows(&scripted, &rows);
    assert!(submission.first_id().await.is_some());
    let error = submission.finish().await.unwrap_err().to_string();
    assert!(error.contains("spoolJobFiles:7002") && error.contains("job.json"), "{error}");
    assert!(see(&scripted.pool()).await[0].is_spooling());
}

async fn a_missing_folder_is_refused_before_anything_is_committed() {
    let scripted = Scripted::new();
    let mut bad = row(&scripted, "u/0/0/0");
    bad.folder = "/no/such/folder".to_owned();
    let mut submission = start_rows(&scripted, &[bad]);
    assert_eq!(submission.first_id().await, None);
    let error = submission.finish().await.unwrap_err().to_string();
    assert!(error.contains("No such directory: /no/such/folder"), "{error}");
    assert!(scripted.jobs().is_empty());
}

async fn options_and_containers_reach_the_ad() {
    let scripted = Scripted::new();
    let mut one = row(&scripted, "u/0/0/0");
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    one.terms.options = vec![option("request_memory", "2 GB"), option("MY.JobFlavour", "\"espresso\"")];
    start_rows(&scripted, &[one]).finish().await.unwrap();
    let ad = scripted.job("u/0/0/0").unwrap();
    assert_eq!(ad["RequestMemory"], "2 GB");
    assert_eq!(ad["JobFlavour"], "espresso");
    assert_eq!(ad["TransferOutput"], "work,log.main,log.main.prev,result.json");
    assert_eq!(ad["JobBatchName"], "default/test");
    assert_eq!(ad["JobMaxVacateTime"], 40);
}

async fn jobs_run_and_end_with_what_the_test_says() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0", "u/1/0/0", "u/2/0/0"]).await.1.unwrap();
    assert_eq!(scripted.start_jobs(), 3);
    scripted.hold("u/1/0/0", 34, 102, "Job has gone over cgroup memory limit");
    scripted.remove("u/2/0/0");
    assert_eq!(scripted.run_jobs(3), 0);
    let states: Vec<State> = see(&scripted.pool()).await.into_iter().map(|ad| ad.state).collect();
    let texts: Vec<String> = states.iter().map(|state| format!("{state:?}")).collect();
    assert_eq!(texts[0], "Completed(Code(3))");
    assert!(matches!(&states[1], State::Held { code: 34, subcode: 102, .. }), "{}", texts[1]);
    assert!(matches!(&states[2], State::Removed { reason } if reason.contains("root")), "{}", texts[2]);
    let last = scripted.journal().into_iter().rev().find(|entry| entry.key == "u/0/0/0").unwrap();
    assert_eq!(last.event, Event::Ended(3));
}

async fn a_pod_that_was_evicted_is_not_started_again() {
    let scripted = Scripted::new();
    let mut pod = row(&scripted, "u/0/0/0");
    pod.terms.restart_after_eviction = false;
    start_rows(&scripted, &[pod]).finish().await.unwrap();
    assert_eq!(scripted.start_jobs(), 1);
    scripted.make_idle("u/0/0/0");
    assert_eq!(scripted.start_jobs(), 0);
    let ads = see(&scripted.pool()).await;
    assert_eq!((&ads[0].state, ads[0].starts), (&State::Idle, 1));
}

async fn a_pool_can_run_by_itself() {
    let scripted = Scripted::new();
    scripted.auto_run(0);
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    let pool = scripted.pool();
    assert_eq!(see(&pool).await[0].state, State::Running);
    assert!(see(&pool).await[0].is_over());
}
