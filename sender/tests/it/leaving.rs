//! What a script leaves in its working folder, as HTCondor finds it there.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use htc_core::workload::container::Image;
use htc_core::workload::report::{Cut, Excess};

use crate::image::busybox;
use crate::scratch::{Scratch, job};

/// Leaves beside its result whatever hurts a starter.
const MESS: &str = "#!/bin/sh
echo result > result
mkfifo fifo
ln -s /etc/hostname secret
ln -s no-such dangling
ln -s result good
mkdir -p closed
echo hidden > \"closed/$(printf 'new\\nline')\"
chmod 0 closed/* closed
";

fn work(scratch: &Scratch, name: &str) -> String {
    fs::read_to_string(scratch.path().join("work").join(name)).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn ran(image: Image, script: &str, most: Option<u32>) -> (Scratch, i32) {
    let mut job = job(image, &["@script"], script);
    job.max_output_files = most.unwrap_or(job.max_output_files);
    let scratch = Scratch::of(&job);
    let code = scratch.run().code();
    (scratch, code)
}

fn leaves_a_mess(image: Image) {
    let (scratch, code) = ran(image, MESS, None);
    assert_eq!(code, 0, "{}", scratch.read("sender.out"));
    assert_eq!(names(&scratch.path().join("work")), ["closed", "good", "result"]);
    assert_eq!(
        (work(&scratch, "good"), work(&scratch, "closed/new\nline")),
        ("result\n".into(), "hidden\n".into())
    );
    let report = scratch.report();
    let told = report.left_out.unwrap();
    for part in ["fifo (a FIFO)", "secret (a link that leads out of", "dangling (a link that leads nowhere)"]
    {
        assert!(told.contains(part), "{told}");
    }
    assert!(report.cut.is_none() && scratch.output("main", "stderr").contains(&told));
    assert!(scratch.read("sender.out").contains(&told));
}

#[test]
fn a_mess_is_tidied_said_in_the_log_and_no_failure() {
    leaves_a_mess(Image::Host);
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_mess_from_an_image_is_tidied_said_in_the_log_and_no_failure() {
    leaves_a_mess(busybox());
}

#[test]
fn a_job_that_leaves_too_many_files_has_failed_and_says_how_many_may_be() {
    let (scratch, code) = ran(Image::Host, "#!/bin/sh\ntouch 1 2 3; mkdir 4\n", Some(3));
    let cut = Some(Cut::Outputs { excess: Excess::Entries { limit: 3 } });
    assert_eq!((code, scratch.report().retcode, scratch.report().cut), (143, Some(143), cut));
    assert!(names(&scratch.path().join("work")).is_empty());
    assert!(scratch.output("main", "stderr").contains("more than 3 files"));
    assert_eq!(ran(Image::Host, "#!/bin/sh\ntouch 1 2 3\n", Some(3)).1, 0);
}

#[test]
fn a_script_that_fails_and_leaves_too_much_has_failed_by_itself() {
    let (scratch, code) = ran(Image::Host, "#!/bin/sh\ntouch 1 2 3 4; exit 5\n", Some(3));
    let report = scratch.report();
    assert_eq!((code, report.cut), (5, None));
    assert!(report.left_out.unwrap().contains("more than 3 files"));
}

#[test]
fn the_end_comes_soon_though_a_script_leaves_a_deep_tree() {
    let deep = "#!/bin/sh\necho x > result; for n in $(seq 300); do mkdir d && cd d; done\n";
    let (scratch, code) = ran(Image::Host, deep, None);
    assert_eq!((code, scratch.report().cut), (143, Some(Cut::Outputs { excess: Excess::Path })));
    assert_eq!(work(&scratch, "result"), "x\n");
}

#[test]
fn logs_and_the_working_folder_are_there_whatever_a_process_of_the_worker_puts_in_their_place() {
    let script = "#!/bin/sh\ncd ..; rm -r log.main log.main.prev work; mkfifo log.main; ln -s /etc/hostname log.main.prev\n\
                  mkfifo work\n";
    let (scratch, _) = ran(Image::Host, script, None);
    for name in ["log.main", "log.main.prev", "result.json"] {
        assert!(scratch.path().join(name).symlink_metadata().unwrap().is_file(), "{name}");
    }
    let work = scratch.path().join("work").symlink_metadata().unwrap();
    assert!(work.is_dir() && !work.file_type().is_fifo());
}

#[test]
fn what_a_job_leaves_whose_sender_is_killed_is_tidied_too() {
    let script =
        "#!/bin/sh\necho x > result; mkfifo fifo; ln -s /etc/hostname secret; echo ready; sleep 1000\n";
    let scratch = Scratch::of(&job(Image::Host, &["@script"], script));
    let mut running = scratch.start();
    running.until_it_says("ready");
    running.signal(running.sender(), rustix::process::Signal::KILL);
    assert_eq!(running.wait_for_signal(), Some(9));
    assert_eq!(names(&scratch.path().join("work")), ["result"]);
    assert!(scratch.read("sender.out").contains("secret (a link that leads out of"));
}
