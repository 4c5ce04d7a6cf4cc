//! What an end tells of outputs that were left out.

use htc_core::workload::report::{Cut, Excess};

use super::tests::{at, id, report};
use super::*;

#[test]
fn an_end_tells_what_was_left_out_after_its_own_words() {
    let left_out = || Some("left out of the outputs: x (a FIFO)".to_owned());
    let told = |code, cut| Report { cut, left_out: left_out(), ..report(1, Phase::Done, Some(code)) };
    let finished =
        |code| Finished { job: id(), exit: Exit::Code(code), at: at(5), seen: Instant::now(), machine: None };
    let of = |code, cut| end(&finished(code), 1, Some(&told(code, cut)));
    assert_eq!((of(0, None).outcome, of(0, None).message), (Outcome::Succeeded, left_out().unwrap()));
    assert!(
        of(3, None).message.ends_with("; left out of the outputs: x (a FIFO)"),
        "{}",
        of(3, None).message
    );
    let many = of(143, Some(Cut::Outputs { excess: Excess::Entries { limit: 3 } }));
    assert_eq!(many.outcome, Outcome::ExitCode(143));
    assert!(many.message.starts_with("the working folder has more than 3 files"), "{}", many.message);
    // Only the last words tell it.
    let earlier = Report { phase: Phase::Stopping, ..told(0, None) };
    assert_eq!(end(&finished(0), 1, Some(&earlier)).message, "");
}
