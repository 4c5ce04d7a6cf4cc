//! What a job's `result.json` says counts where the job has signed it, and nothing that lies there does harm.

use htc_core::events::job_key;
use htc_core::result::{self, Signer};
use htc_core::workload::names::JobKey;
use htc_core::workload::progress::Outcome;
use htc_core::workload::report::{ContainerState, ContainerStatus, MESSAGE_MAX, Phase, Report};
use htc_operator::engine::{JobView, Outputs};
use jiff::Timestamp;

use crate::harness::running;
use crate::life::Life;
use crate::pool::{Ending, Fault, Planned, Scripted};

super::claims![
    a_result_that_the_job_has_not_signed_says_nothing,
    a_signed_result_says_nothing_where_a_signal_ended_the_sender,
    a_result_of_many_megabytes_is_proof_and_nothing_else,
    a_job_of_an_earlier_release_is_believed_without_a_signature,
    no_text_of_a_report_is_kept_that_is_longer_than_its_kind_may_be,
];

const KEY: &str = "a/0/0/0";

fn key() -> JobKey {
    KEY.parse().unwrap()
}

/// A last report that says that all went well.
fn forged(message: &str) -> Report {
    let state = ContainerState::Terminated {
        exit_code: 0,
        signal: None,
        reason: "Completed".to_owned(),
        message: message.to_owned(),
        started_at: None,
        finished_at: Timestamp::UNIX_EPOCH,
    };
    let containers = vec![ContainerStatus { name: "main".to_owned(), state }];
    Report { retcode: Some(0), phase: Phase::Done, seq: 9, containers, ..running(key(), 1) }
}

/// Runs a job to this end, with `content` as its result; gives what is known when it is home.
async fn ends_with(scripted: &Scripted, life: &Life, ending: Ending, content: &[u8]) -> JobView {
    scripted.plan(Planned::next("condor_transfer_data", Fault::Fail("not yet".into())).always());
    scripted.start_jobs();
    scripted.finish(KEY, ending);
    let id = scripted.job(KEY).map(|ad| crate::tools::job::id(&ad)).unwrap();
    std::fs::write(scripted.state().spool.join(id).join("result.json"), content).unwrap();
    scripted.heal();
    let is_home = |view: &htc_operator::engine::View| matches!(view.outputs, Outputs::Home(_));
    life.until("a", "it is home", is_home).await.jobs.remove(0)
}

async fn queued(scripted: &Scripted) -> Life {
    let life = Life::on(scripted).await;
    life.wish("a", 1).await;
    life.is_queued("a", 0).await;
    life
}

fn outcome(job: &JobView) -> Option<Outcome> {
    job.progress.end().map(|end| end.outcome)
}

async fn a_result_that_the_job_has_not_signed_says_nothing() {
    let other = job_key(b"another master", &key());
    let other = Some(Signer { key_id: "k1", key: &other });
    for content in [result::write(&forged("lies"), None), result::write(&forged("lies"), other)] {
        let scripted = Scripted::new();
        let life = queued(&scripted).await;
        let job = ends_with(&scripted, &life, Ending::code(3), &content).await;
        assert_eq!((outcome(&job), job.report), (Some(Outcome::ExitCode(3)), None));
        life.end().await;
    }
}

async fn a_signed_result_says_nothing_where_a_signal_ended_the_sender() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    let secret = job_key(&[0; 32], &key());
    let content = result::write(&forged("all is well"), Some(Signer { key_id: "k1", key: &secret }));
    let job = ends_with(&scripted, &life, Ending::signal(9), &content).await;
    assert_eq!((outcome(&job), job.report), (Some(Outcome::Signal(9)), None));
    life.end().await;
}

async fn a_result_of_many_megabytes_is_proof_and_nothing_else() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    let secret = job_key(&[0; 32], &key());
    let signer = Some(Signer { key_id: "k1", key: &secret });
    let content = result::write(&forged(&"x".repeat(20 << 20)), signer);
    let job = ends_with(&scripted, &life, Ending::code(0), &content).await;
    assert_eq!((outcome(&job), job.report), (Some(Outcome::Succeeded), None));
    let kept = std::fs::metadata(scripted.path().join("data/htcjobs.db")).unwrap().len();
    assert!(kept < 1 << 20, "{kept} bytes");
    life.end().await;
}

async fn a_job_of_an_earlier_release_is_believed_without_a_signature() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    life.end().await;
    // As the migration marks those that it finds.
    let database = rusqlite::Connection::open(scripted.path().join("data/htcjobs.db")).unwrap();
    database.execute("UPDATE htcjobs SET signs_result = 0", []).unwrap();
    drop(database);
    let life = Life::on(&scripted).await;
    let said = forged(&"\u{1f980}".repeat(MESSAGE_MAX));
    let job = ends_with(&scripted, &life, Ending::code(0), &result::write(&said, None)).await;
    assert_eq!(outcome(&job), Some(Outcome::Succeeded));
    assert_eq!(job.report.as_deref(), Some(&said.bounded()));
    life.end().await;
}

async fn no_text_of_a_report_is_kept_that_is_longer_than_its_kind_may_be() {
    let scripted = Scripted::new();
    let life = queued(&scripted).await;
    scripted.start_jobs();
    let long = Report { phase: Phase::Running, retcode: None, ..forged(&"x".repeat(10 << 20)) };
    life.engine.report(long).await.unwrap();
    let known = |life: &Life| life.view("a").jobs.remove(0).report.unwrap();
    assert_eq!(known(&life).containers[0].state.message().len(), MESSAGE_MAX);
    life.end().await;
    let life = Life::on(&scripted).await;
    assert_eq!(known(&life).containers[0].state.message().len(), MESSAGE_MAX);
    life.end().await;
}
