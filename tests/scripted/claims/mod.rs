//! What we claim, as tests; each file has those of one subject.

mod absence;
mod acting;
mod ads;
mod belonging;
mod callers;
mod calling;
mod capacity;
mod committing;
mod compatible;
mod constraints;
mod crashes;
mod descriptions;
mod doors;
mod ending;
mod failing;
mod faults;
mod forgetting;
mod inheriting;
mod interlink;
mod leaving;
mod logs;
mod looking;
mod outliving;
mod outputs;
mod polling;
mod receiving;
mod released;
mod reporting;
mod resting;
mod results;
mod secrets;
mod settling;
mod standalone;
mod submitting;
mod transferring;
mod unreadable;
mod upgrading;
mod window;
mod workers;

use std::collections::BTreeSet;
use std::path::Path;

use htc_operator::condor::ad::Ad;
use htc_operator::condor::cli::CallError;
use htc_operator::condor::submit::{Row, Submission, Terms, description};
use htc_operator::condor::{pool::Pool, query, whose::Whose};
use htc_operator::limits::SUBMIT_DEADLINE;
use libtest_mimic::Trial;

use crate::life::INSTANCE;
use crate::pool::Scripted;

/// Makes tests of async functions without arguments; a panic is a failure.
macro_rules! claims {
    ($($claim:ident),* $(,)?) => {
        pub fn all() -> Vec<libtest_mimic::Trial> {
            let subject = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$(libtest_mimic::Trial::test(format!("{subject}::{}", stringify!($claim)), || {
                crate::claims::finish($claim());
                Ok(())
            })),*]
        }
    };
}
use claims;

/// Longer than `make check` may take; `make test` runs them beside the tests on the bed.
const LONG: &[&str] = &["window::twenty_thousand_copies_pass_through_a_window_of_a_thousand"];

/// All tests. A new file adds its line here.
pub fn all() -> Vec<Trial> {
    let files = [
        // The slow ones first.
        committing::all(),
        outliving::all(),
        crashes::all(),
        ending::all(),
        absence::all(),
        acting::all(),
        ads::all(),
        belonging::all(),
        callers::all(),
        calling::all(),
        capacity::all(),
        compatible::all(),
        constraints::all(),
        descriptions::all(),
        doors::all(),
        failing::all(),
        faults::all(),
        forgetting::all(),
        inheriting::all(),
        interlink::all(),
        leaving::all(),
        logs::all(),
        outputs::all(),
        polling::all(),
        looking::all(),
        receiving::all(),
        released::all(),
        reporting::all(),
        resting::all(),
        results::all(),
        secrets::all(),
        settling::all(),
        standalone::all(),
        submitting::all(),
        transferring::all(),
        unreadable::all(),
        upgrading::all(),
        window::all(),
        workers::all(),
    ];
    let named = files.into_iter().flatten().map(|claim| {
        let long = LONG.contains(&claim.name());
        claim.with_ignored_flag(long)
    });
    named.collect()
}

fn finish(claim: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(claim);
}

/// A row for a job with this key, whose folder is made.
fn row(scripted: &Scripted, key: &str) -> Row {
    Row {
        key: key.parse().unwrap(),
        folder: scripted.job_folder(&key.replace('/', "-")).display().to_string(),
        namespace: "default".to_owned(),
        name: "test".to_owned(),
        terms: Terms {
            containers: vec!["main".to_owned()],
            grace_seconds: 30,
            restart_after_eviction: true,
            has_image: false,
            passed_over: None,
            options: Vec::new(),
        },
    }
}

/// Starts our real code on a description of jobs with these keys.
fn start(scripted: &Scripted, keys: &[&str]) -> Submission {
    let rows: Vec<Row> = keys.iter().map(|key| row(scripted, key)).collect();
    start_rows(scripted, &rows)
}

fn start_rows(scripted: &Scripted, rows: &[Row]) -> Submission {
    let file = scripted.path().join(rows[0].key.to_string().replace('/', "-"));
    std::fs::write(&file, description(INSTANCE, Path::new("/bin/true"), Some(1024), None, rows)).unwrap();
    let lock = std::fs::File::create(scripted.path().join("lock")).unwrap();
    Submission::start(&scripted.pool(), &file, lock, SUBMIT_DEADLINE).unwrap()
}

/// Submits jobs with these keys; gives the first id and how the tool ended.
async fn submit(scripted: &Scripted, keys: &[&str]) -> (Option<String>, Result<(), CallError>) {
    let mut submission = start(scripted, keys);
    let first = submission.first_id().await.map(|id| id.to_string());
    (first, submission.finish().await)
}

/// Us, as the pool of all these tests knows us.
pub fn whose() -> Whose {
    Whose { owner: "alice".to_owned(), instance: INSTANCE.to_owned() }
}

/// Asks for all jobs with our real code.
async fn ask(pool: &Pool) -> Result<Vec<Ad>, CallError> {
    let (printed, strangers) = (BTreeSet::new(), query::Strangers::new());
    let question =
        query::Question { whose: whose(), is_confirmed: true, printed, open: Default::default(), strangers };
    query::all(pool, question).await.map(|answer| answer.ads)
}

/// What our real code sees of all jobs.
async fn see(pool: &Pool) -> Vec<Ad> {
    ask(pool).await.unwrap()
}
