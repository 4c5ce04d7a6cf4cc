//! What we claim, as tests; each file has those of one subject.

mod admitting;
mod creating;
mod deleting;
mod ending;
mod following;
mod logs;
mod merging;
mod mutating;
mod pinging;
mod polling;
mod recipe;
mod replaying;
mod serving;

use libtest_mimic::Trial;

use crate::checklist;

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

/// All tests. A new file adds its line here.
pub fn all() -> Vec<Trial> {
    let files = [
        // The slow ones first.
        following::all(),
        mutating::all(),
        replaying::all(),
        serving::all(),
        admitting::all(),
        creating::all(),
        deleting::all(),
        ending::all(),
        logs::all(),
        merging::all(),
        pinging::all(),
        polling::all(),
        recipe::all(),
    ];
    let mut trials: Vec<Trial> = files.into_iter().flatten().collect();
    let names = trials.iter().map(|trial| trial.name().to_owned()).collect();
    trials.push(Trial::test("checklist::every_item_has_a_test_that_exists", move || {
        checklist::check(&names);
        Ok(())
    }));
    trials
}

fn finish(claim: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(claim);
}
