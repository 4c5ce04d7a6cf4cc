//! Limits of the whole job: its deadline, and how much its volumes may hold.

use htc_core::workload::container::Image;
use htc_core::workload::report::{ContainerState, Cut, Phase};
use htc_core::workload::spec::JobSpec;

use crate::image::busybox;
use crate::scratch::{Scratch, container, empty, job, mount};

/// Takes the request to end well, as if it had done its work.
const POLITE: &[&str] = &["sh", "-c", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done"];

fn past_its_deadline(image: Image) {
    let mut job = job(image, POLITE, "");
    job.deadline_seconds = Some(1);
    let scratch = Scratch::of(&job);
    let run = scratch.run();
    assert_eq!((run.code(), run.end(0)), (143, (0, None, "DeadlineExceeded".to_owned(), String::new())));
    assert_eq!(scratch.output("main", "stdout"), "bye\n");
    let report = scratch.report();
    let expected = (Phase::Done, Some(143), Some(Cut::Deadline { seconds: 1 }));
    assert_eq!((report.phase, report.retcode, report.cut), expected);
}

#[test]
fn a_job_past_its_deadline_has_failed_however_well_it_takes_it() {
    past_its_deadline(Image::Host);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_job_past_its_deadline_has_failed_in_an_image_too() {
    past_its_deadline(busybox());
}

#[test]
fn who_is_deaf_at_the_deadline_is_killed_and_nothing_starts_after_it() {
    let mut job = job(Image::Host, &["true"], "");
    job.init_containers =
        vec![container("deaf", Image::Host, &["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"])];
    (job.deadline_seconds, job.grace_seconds) = (Some(1), 0);
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 137);
    let report = scratch.report();
    assert!(
        matches!(&report.init_containers[0].state, ContainerState::Terminated { signal: Some(9), reason, .. } if reason == "DeadlineExceeded")
    );
    assert!(matches!(report.containers[0].state, ContainerState::Waiting { .. }));
    // One that takes it well is no reason to go on, either.
    job.init_containers = vec![container("polite", Image::Host, POLITE)];
    job.grace_seconds = 30;
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 143);
    assert!(matches!(scratch.report().containers[0].state, ContainerState::Waiting { .. }));
}

#[test]
fn a_job_that_ends_before_its_deadline_knows_nothing_of_it() {
    let mut job = job(Image::Host, &["sh", "-c", "exit 3"], "");
    job.deadline_seconds = Some(1000);
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 3);
    assert_eq!(scratch.report().cut, None);
}

/// Fills a volume that may hold 100,000 bytes, in steps, and stays.
fn filling(memory: bool, bytes: u32) -> JobSpec {
    let script =
        format!("head -c {bytes} /dev/zero > \"$1\"/x; trap 'exit 0' TERM; while :; do sleep 0.05; done");
    let mut job = job(Image::Host, &["sh", "@script", "@/data"], &script);
    job.volumes.push(empty("data", memory, Some(100_000)));
    job.containers[0].mounts.push(mount("data", "/data"));
    job
}

#[test]
fn a_volume_that_holds_more_than_its_limit_ends_the_job() {
    for memory in [false, true] {
        let scratch = Scratch::of(&filling(memory, 300_000));
        let run = scratch.run();
        assert_eq!((run.code(), run.end(0)), (143, (0, None, "Evicted".to_owned(), String::new())));
        let Some(Cut::Volume { name, bytes, limit }) = scratch.report().cut else { panic!() };
        assert_eq!((name.as_str(), limit), ("data", 100_000));
        assert!((300_000..320_000).contains(&bytes), "{bytes}");
    }
}

#[test]
fn a_volume_within_its_limit_ends_nothing() {
    let mut job = filling(false, 50_000);
    job.deadline_seconds = Some(3);
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 143);
    assert_eq!(scratch.report().cut, Some(Cut::Deadline { seconds: 3 }));
}
