//! What user processes can and cannot do to the job's files.

use std::fs;

use htc_core::events::job_key;
use htc_core::workload::container::Image;

use crate::image::busybox;
use crate::reports::events;
use crate::scratch::{Scratch, job};
use crate::trouble::SPY;

#[test]
fn what_a_process_on_the_worker_leaves_in_place_of_result_json_does_not_count() {
    for forgery in [
        "echo forged > ../result.json; chmod 400 ../result.json",
        "rm ../result.json; mkdir -p ../result.json/x",
        "rm ../result.json; ln -s work/mine ../result.json; echo mine > mine",
        "rm -r ../.htc; touch ../.htc ../.htc.result.json",
        "mkdir -p ../.htc.result.json/x; rm ../result.json",
    ] {
        let scratch = Scratch::of(&job(Image::Host, &["sh", "-c", &format!("{forgery}; exit 3")], ""));
        assert_eq!(scratch.run().code(), 3, "{forgery}");
        assert_eq!(scratch.report().retcode, Some(3), "{forgery}");
    }
}

#[test]
#[ignore = "needs the test bed: make test"]
fn neither_job_nor_key_nor_result_are_in_reach_of_an_image() {
    let mut job = job(busybox(), &["sh", "@script"], SPY);
    job.events = Some(events(None, None));
    let scratch = Scratch::of(&job);
    let run = scratch.start_as(|command| {
        command.env("_CONDOR_SECRET", "s3cret");
    });
    assert_eq!((run.wait().code(), scratch.report().retcode), (3, Some(3)));
    let seen = scratch.output("main", "stdout");
    assert!(seen.contains("PATH=") && !seen.contains("found /"), "{seen}");
    for hidden in ["s3cret", "htc-sender\nrun", "htc-sender\njob"] {
        assert!(!seen.contains(hidden), "{hidden:?}: {seen}");
    }
    // Its own folder is all that it can write.
    assert_eq!(scratch.read("work/result.json"), "forged\n");
    assert_eq!(
        fs::read_dir(scratch.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name() == "job.json")
            .count(),
        0
    );
}

#[test]
fn a_process_on_the_worker_can_read_neither_of_the_two_senders() {
    let script = "keeper=$(cut -d' ' -f4 /proc/$PPID/stat)
        for pid in $PPID $keeper; do for file in environ mem maps; do
            cat /proc/$pid/$file > /dev/null 2>&1 && echo \"read $pid/$file\"
        done; done; echo done; tr '\\0' ' ' < /proc/$keeper/cmdline";
    let mut job = job(Image::Host, &["sh", "@script"], script);
    job.events = Some(events(None, None));
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0);
    let seen = scratch.output("main", "stdout");
    assert!(seen.contains("htc-sender run"), "the first process was not looked at: {seen}");
    if !rustix::process::geteuid().is_root() {
        assert!(seen.starts_with("done\n"), "{seen}");
    }
    let key = job_key(b"master", &"u/7/0/0".parse().unwrap());
    for entry in fs::read_dir(scratch.path()).unwrap().flatten().filter(|e| e.path().is_file()) {
        let bytes = fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(key.len()).any(|window| window == key), "{:?} has the key", entry.path());
    }
}
