//! Outputs come home, or not.

use htc_core::workload::report::Report;
use htc_operator::condor::act;
use htc_operator::condor::cli::CallError;
use htc_operator::condor::pool::Pool;
use htc_operator::limits::TRANSFER_DEADLINE;

use super::{see, submit};
use crate::pool::{Ending, Fault, Scripted};

super::claims![
    the_files_of_an_ended_job_come_home_and_the_ad_says_so,
    an_exit_code_of_zero_proves_nothing,
    one_job_without_files_fails_the_whole_call,
    half_of_the_files_may_come_before_it_fails,
    a_job_may_end_without_a_result,
];

async fn transfer(pool: &Pool, constraint: &str) -> Result<(), CallError> {
    act::transfer(pool, constraint, TRANSFER_DEADLINE).await
}

/// Whether the schedd says that the first job's files were fetched.
fn fetched(scripted: &Scripted) -> bool {
    scripted.jobs()[0].contains_key("StageOutFinish")
}

async fn the_files_of_an_ended_job_come_home_and_the_ad_says_so() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    scripted.run_jobs(3);
    let pool = scripted.pool();
    let before = see(&pool).await.remove(0);
    assert!(!fetched(&scripted));
    transfer(&pool, "JobStatus == 4").await.unwrap();
    assert!(fetched(&scripted));
    let home = |name: &str| std::fs::read_to_string(format!("{}/{name}", before.folder)).unwrap();
    let report: Report = serde_json::from_str(&home("result.json")).unwrap();
    assert_eq!((report.key.to_string().as_str(), report.retcode, report.start), ("u/0/0/0", Some(3), 1));
    assert!(report.is_final());
    assert_eq!(report.containers[0].name, "main");
    assert_eq!(home("work/out.txt"), "u/0/0/0");
    assert!(home("log.main").contains("u/0/0/0"));
    assert_eq!(home("log.main.prev"), "");
    assert_eq!(home("sender.out"), "");
}

async fn an_exit_code_of_zero_proves_nothing() {
    let scripted = Scripted::new();
    let pool = scripted.pool();
    transfer(&pool, "JobStatus == 4").await.unwrap();
    submit(&scripted, &["u/0/0/0"]).await.1.unwrap();
    scripted.run_jobs(0);
    scripted.fault("condor_transfer_data", Fault::NothingDone);
    transfer(&pool, "JobStatus == 4").await.unwrap();
    assert!(!fetched(&scripted));
}

async fn one_job_without_files_fails_the_whole_call() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0", "u/1/0/0"]).await.1.unwrap();
    scripted.start_jobs();
    scripted.remove("u/1/0/0");
    scripted.run_jobs(0);
    let pool = scripted.pool();
    transfer(&pool, "true").await.unwrap_err();
    assert!(!fetched(&scripted));
    transfer(&pool, "JobStatus == 4").await.unwrap();
    assert!(fetched(&scripted));
}

async fn half_of_the_files_may_come_before_it_fails() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0", "u/1/0/0"]).await.1.unwrap();
    scripted.run_jobs(0);
    let pool = scripted.pool();
    scripted.fault("condor_transfer_data", Fault::HalfOutput { code: 1 });
    transfer(&pool, "JobStatus == 4").await.unwrap_err();
    let ads = see(&pool).await;
    let came = |n: usize| std::path::Path::new(&ads[n].folder).join("result.json").exists();
    assert_eq!((came(0), came(1)), (true, false));
    assert!(!fetched(&scripted));
}

async fn a_job_may_end_without_a_result() {
    let scripted = Scripted::new();
    submit(&scripted, &["u/0/0/0", "u/1/0/0"]).await.1.unwrap();
    scripted.start_jobs();
    scripted.finish("u/0/0/0", Ending::signal(9));
    scripted.finish("u/1/0/0", Ending::code(0).without_result());
    let pool = scripted.pool();
    transfer(&pool, "JobStatus == 4").await.unwrap();
    let ads = see(&pool).await;
    let texts: Vec<String> = ads.iter().map(|ad| format!("{:?}", ad.state)).collect();
    assert_eq!(texts, ["Completed(Signal(9))", "Completed(Code(0))"]);
    for ad in ads {
        assert_eq!(std::fs::read_to_string(format!("{}/result.json", ad.folder)).unwrap(), "");
    }
}
