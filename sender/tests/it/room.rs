//! Several containers of a job, and what they share.

use std::fs;

use htc_core::workload::container::{Image, Mount, TerminationMessage};
use htc_core::workload::report::{ContainerState, Phase};
use htc_core::workload::spec::{File, JobSpec, Volume, VolumeSource};

use crate::image::busybox;
use crate::scratch::{Scratch, container, empty, job, mount};

fn words(path: &str, fallback_to_logs: bool) -> Option<TerminationMessage> {
    Some(TerminationMessage { path: path.to_owned(), fallback_to_logs })
}

#[test]
fn three_inits_have_a_log_each_and_a_failing_second_one_is_the_end() {
    let init = |name: &str, script: &str| container(name, Image::Host, &["sh", "-c", script]);
    let mut job = job(Image::Host, &["echo", "main"], "");
    job.init_containers =
        vec![init("one", "echo first"), init("two", "echo second"), init("three", "echo third")];
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0);
    for (name, text) in [("one", "first\n"), ("two", "second\n"), ("three", "third\n"), ("main", "main\n")] {
        assert_eq!(scratch.output(name, "stdout"), text);
    }

    job.init_containers[1] = init("two", "echo second; exit 42");
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 42);
    for (name, text) in [("one", "first\n"), ("two", "second\n"), ("three", ""), ("main", "")] {
        assert_eq!(scratch.output(name, "stdout"), text);
    }
    let report = scratch.report();
    let waits = |state: &ContainerState| matches!(state, ContainerState::Waiting { .. });
    assert!(waits(&report.init_containers[2].state) && waits(&report.containers[0].state));
    assert_eq!((report.phase, report.retcode), (Phase::Done, Some(42)));
}

#[test]
fn one_of_three_fails_while_the_others_go_on_to_their_ends() {
    let mut job =
        job(Image::Host, &["sh", "-c", "until [ -e failed ]; do sleep 0.02; done; echo went on"], "");
    job.containers.push(container("fails", Image::Host, &["sh", "-c", "echo > failed; exit 5"]));
    job.containers.push(container(
        "side",
        Image::Host,
        &["sh", "-c", "until [ -e failed ]; do sleep 0.02; done; exit 2"],
    ));
    let scratch = Scratch::of(&job);
    let run = scratch.run();
    assert_eq!((run.code(), run.end(0).0, run.end(1).0, run.end(2).0), (5, 0, 5, 2));
    assert_eq!(scratch.output("main", "stdout"), "went on\n");
}

#[test]
fn the_end_of_the_log_is_the_last_word_of_a_failure_where_that_is_wanted() {
    // One stream: what the two bring at the same moment may come in either order.
    let traceback =
        "echo start >&2; echo 'Traceback (most recent call last):' >&2; echo 'ValueError: \u{1f980}' >&2";
    let said = |script: &str, wanted| {
        let mut job = job(Image::Host, &["sh", "-c", script], "");
        job.containers[0].termination_message = wanted;
        let scratch = Scratch::of(&job);
        scratch.run().end(0).3
    };
    let failing = format!("{traceback}; sleep 1000000 & exit 1");
    let message = said(&failing, words("/dev/termination-log", true));
    assert_eq!(message, "start\nTraceback (most recent call last):\nValueError: \u{1f980}\n");
    assert_eq!(said(&failing, words("/dev/termination-log", false)), "");
    assert_eq!(said(&failing, None), "");
    assert_eq!(said(traceback, words("/dev/termination-log", true)), "");
    let long = said("seq 100000; exit 1", words("/dev/termination-log", true));
    assert!(long.ends_with("\n99999\n100000\n") && long.lines().count() == 80, "{long}");
}

#[test]
fn a_volume_in_memory_is_shared_and_gone_with_the_job() {
    let mut job = job(
        Image::Host,
        &["sh", "-c", "until [ -e \"$0\"/done ]; do sleep 0.02; done; cat \"$0\"/done; echo \"$0\"", "@/m"],
        "",
    );
    job.volumes.push(empty("memory", true, None));
    job.containers.push(container(
        "side",
        Image::Host,
        &["sh", "-c", "echo shared > \"$0\"/new; mv \"$0\"/new \"$0\"/done", "@/m"],
    ));
    job.containers.iter_mut().for_each(|c| c.mounts.push(mount("memory", "/m")));
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0);
    let output = scratch.output("main", "stdout");
    let (text, folder) = output.trim_end().split_once('\n').unwrap();
    assert!(text == "shared" && folder.starts_with("/dev/shm/"), "{output}");
    assert!(!fs::exists(folder).unwrap());
    assert!(scratch.read("sender.out").contains(&format!("volume \"memory\" lies in memory, at {folder}")));
}

#[test]
fn a_link_that_an_init_container_left_leads_nobody_out_of_a_volume() {
    let mut job = job(Image::Host, &["ls", "@/x"], "");
    job.volumes.push(empty("data", false, None));
    job.init_containers =
        vec![container("evil", Image::Host, &["sh", "-c", "ln -s /etc \"$0\"/sub", "@/data"])];
    job.init_containers[0].mounts.push(mount("data", "/data"));
    let part = Mount { sub_path: Some("sub".to_owned()), ..mount("data", "/x") };
    job.containers[0].mounts.push(part);
    let scratch = Scratch::of(&job);
    let run = scratch.run();
    assert_eq!((run.code(), run.end(0).2.as_str()), (127, "ContainerCannotRun"));
    assert_eq!(run.end(0).3, "volume \"data\": the symbolic link at \"sub\" leads out of it, or nowhere");
}

#[test]
#[ignore = "needs the test bed: make test"]
fn nobody_can_swap_a_part_of_a_volume_before_it_is_mounted() {
    // A process on the worker starts in no time, an image takes a moment.
    let swap = "rmdir \"$0\"/sub; ln -s /etc \"$0\"/sub; ls \"$0\"/sub";
    let mut job = job(busybox(), &["ls", "/x"], "");
    job.volumes.push(empty("data", false, None));
    let part = Mount { sub_path: Some("sub".to_owned()), ..mount("data", "/x") };
    job.containers[0].mounts.push(part);
    let mut evil = container("evil", Image::Host, &["sh", "-c", swap, "@/data"]);
    evil.mounts.push(mount("data", "/data"));
    job.containers.push(evil);
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
    assert!(scratch.output("evil", "stdout").contains("passwd\n"), "it was not swapped at all");
    assert_eq!(scratch.output("main", "stdout"), "");
}

#[test]
#[ignore = "needs the test bed: make test"]
fn two_images_share_a_volume_and_one_of_them_cannot_write_it() {
    let writes =
        "echo from main > /data/new; mv /data/new /data/file; until [ -e /data/seen ]; do sleep 0.05; done";
    let reads = "until [ -e /ro/file ]; do sleep 0.05; done; cat /ro/file; echo x > /ro/y; echo x > /ro/file; \
        rm /ro/file; mkdir /ro/d; mount -o remount,rw /ro; echo > /rw/seen";
    let mut job = job(busybox(), &["sh", "-c", writes], "");
    job.volumes.push(empty("data", false, None));
    job.containers[0].mounts.push(mount("data", "/data"));
    let mut side = container("side", busybox(), &["sh", "-c", reads]);
    let read_only = Mount { read_only: true, ..mount("data", "/ro") };
    side.mounts.extend([read_only, mount("data", "/rw")]);
    job.containers.push(side);
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0, "{}", scratch.output("side", "stderr"));
    assert_eq!(scratch.output("side", "stdout"), "from main\n");
    let refused = scratch.output("side", "stderr");
    assert_eq!(refused.matches("Read-only file system").count(), 4, "{refused}");
}

#[test]
#[ignore = "needs the test bed: make test"]
fn two_images_share_memory_at_dev_shm() {
    let mut job = job(
        busybox(),
        &["sh", "-c", "until [ -e /dev/shm/file ]; do sleep 0.05; done; stat -f -c %T /dev/shm; ls /dev/shm"],
        "",
    );
    job.volumes.push(empty("memory", true, None));
    job.containers.push(container("side", busybox(), &["sh", "-c", "echo > /dev/shm/file"]));
    job.containers.iter_mut().for_each(|c| c.mounts.push(mount("memory", "/dev/shm")));
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
    let seen = scratch.output("main", "stdout");
    assert_eq!(seen, "tmpfs\nfile\n");
}

#[test]
#[ignore = "needs the test bed: make test"]
fn last_words_are_read_from_wherever_the_image_may_write_them() {
    let said = |path: &str, wanted: &str, fallback: bool| -> (i32, String) {
        let script = format!("echo in the log; {}; exit 3", wanted.replace("FILE", path));
        let mut job: JobSpec = job(busybox(), &["sh", "-c", &script], "");
        job.volumes.push(empty("data", false, None));
        job.containers[0].mounts.push(mount("data", "/data"));
        job.containers[0].termination_message = words(path, fallback);
        let scratch = Scratch::of(&job);
        let run = scratch.run();
        (run.code(), run.end(0).3)
    };
    for path in ["/dev/termination-log", "/tmp/words", "/data/deep/words", "/new/folder/words"] {
        assert_eq!(said(path, "printf 'the\\nlast' > FILE", true), (3, "the\nlast".to_owned()), "{path}");
    }
    assert_eq!(said("/dev/termination-log", ":", true), (3, "in the log\n".to_owned()));
    assert_eq!(said("/dev/termination-log", ":", false), (3, String::new()));
    let (_, long) = said("/dev/termination-log", "head -c 9999 /dev/zero | tr '\\0' x >> FILE", false);
    assert_eq!(long, "x".repeat(4096));
}

#[test]
#[ignore = "needs the test bed: make test"]
fn files_of_a_volume_have_their_bytes_and_modes_in_the_image_and_cannot_be_written() {
    let file = |path: &str, mode, text: &str| File { path: path.to_owned(), mode, data: text.into() };
    let files = vec![
        file("key", 0o400, "two\nlines\n"),
        file("deep/er/run", 0o555, "#!/bin/sh\nprintf 'no newline'"),
        file("open", 0o666, "\u{1f980}\r\n\0"),
    ];
    let script = "cd /config; stat -c '%a %s %n' key deep/er/run open; cat key; deep/er/run; echo; echo x > open; echo x > new";
    let mut job = job(busybox(), &["sh", "-c", script], "");
    job.volumes.push(Volume { name: "config".to_owned(), source: VolumeSource::Files(files) });
    let read_only = Mount { read_only: true, ..mount("config", "/config") };
    job.containers[0].mounts.push(read_only);
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 1);
    let expected = "400 10 key\n555 29 deep/er/run\n666 7 open\ntwo\nlines\nno newline\n";
    assert_eq!(scratch.output("main", "stdout"), expected);
    assert_eq!(scratch.output("main", "stderr").matches("Read-only file system").count(), 2);
}
