//! Nothing survives a job, however it ends.

use std::sync::atomic::{AtomicU32, Ordering};

use htc_core::workload::container::Image;
use htc_core::workload::spec::JobSpec;
use rustix::process::Signal;

use crate::image::busybox;
use crate::scratch::{Scratch, anybody_runs, job, until_nobody_runs};

/// A number of seconds that nobody else sleeps.
fn marker() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("30{}{:02}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Sleeps in several ways that are hard to find, and says so.
fn scattered(image: Image, marker: &str) -> JobSpec {
    let script = format!(
        "trap '' TERM HUP
        (setsid sh -c 'trap \"\" TERM HUP; (sleep {marker}; :) & exit' &)
        sh -c 'sleep {marker} & kill -STOP $$' &
        for n in 1 2 3 4 5 6 7 8 9 10; do (sleep {marker} > /dev/null 2>&1 < /dev/null; :) & done
        sleep 0.1; echo ready; sleep {marker}; sleep {marker}"
    );
    job(image, &["sh", "@script"], &script)
}

fn killed_by_hand(image: Image) {
    for keeper in [true, false] {
        let marker = marker();
        let scratch = Scratch::of(&scattered(image.clone(), &marker));
        let mut running = scratch.start();
        running.until_it_says("ready");
        assert!(anybody_runs(&marker));
        let victim = if keeper { running.keeper() } else { running.sender() };
        running.signal(victim, Signal::KILL);
        // To HTCondor the sender itself was ended by this signal, whichever of the two it was.
        assert_eq!(running.wait_for_signal(), Some(9));
        until_nobody_runs(&marker);
        // Nobody takes this for an end of the job's own.
        let result = scratch.read("result.json");
        assert!(!result.contains("done"), "{result}");
    }
}

#[test]
fn no_process_survives_the_kill_of_the_sender() {
    killed_by_hand(Image::Host);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn no_process_of_an_image_survives_the_kill_of_the_sender() {
    killed_by_hand(busybox());
}

fn ended_in_time(image: Image) {
    let marker = marker();
    let mut job = scattered(image, &marker);
    job.grace_seconds = 0;
    let scratch = Scratch::of(&job);
    let mut running = scratch.start();
    running.until_it_says("ready");
    running.terminate();
    assert_eq!(running.wait().code(), 137);
    assert!(!anybody_runs(&marker));
}

#[test]
fn neither_stopped_nor_daemonized_processes_survive_the_end_of_a_job() {
    ended_in_time(Image::Host);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn neither_stopped_nor_daemonized_processes_survive_in_an_image() {
    ended_in_time(busybox());
}

#[test]
fn a_child_that_holds_the_output_of_a_container_does_not_hold_up_the_job() {
    let marker = marker();
    let scratch =
        Scratch::of(&job(Image::Host, &["sh", "-c", &format!("sleep {marker} & echo out; exit 3")], ""));
    assert_eq!(scratch.run().code(), 3);
    assert_eq!(scratch.output("main", "stdout"), "out\n");
    assert!(!anybody_runs(&marker));
}

#[test]
fn who_reads_finds_nothing() {
    let scratch = Scratch::of(&job(Image::Host, &["sh", "-c", "cat; echo end"], ""));
    assert_eq!(scratch.run().code(), 0);
    assert_eq!(scratch.output("main", "stdout"), "end\n");
}
