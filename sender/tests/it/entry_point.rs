//! What runs where a container names no command: what its image names.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use htc_core::workload::container::{Image, Program};
use htc_core::workload::spec::JobSpec;

use crate::scratch::{Scratch, job, until};

/// A job without a command.
fn entry_point(image: &str, args: &[&str]) -> JobSpec {
    let mut job = job(Image::Apptainer(image.to_owned()), &[], "");
    job.containers[0].program = Program::EntryPoint(args.iter().map(|&arg| arg.into()).collect());
    job.containers[0].working_dir = None;
    job
}

/// What a page of the image's web server says.
fn page(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"GET /os-release HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_web_server_starts_by_its_entry_point_in_the_folder_of_its_image() {
    let scratch = Scratch::of(&entry_point("docker://web", &[]));
    let running = scratch.start();
    let mut answer = None;
    until("the web server answers", || {
        answer = page("127.0.0.1:18980");
        answer.is_some()
    });
    assert!(answer.as_ref().is_some_and(|page| page.contains("of the test bed")), "{answer:?}");
    running.terminate();
    running.wait();
}

#[test]
#[ignore = "needs the test bed: make test"]
fn arguments_replace_the_command_of_the_image_and_words_stay_as_they_are() {
    for (args, said) in [
        (&[][..], "the entry  point's $words \"and its command\n"),
        (&["other  words", "`no`"], "the entry  point's other  words `no`\n"),
    ] {
        let scratch = Scratch::of(&entry_point("docker://echo", args));
        assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
        assert_eq!(scratch.output("main", "stdout"), said);
    }
}

#[test]
#[ignore = "needs the test bed: make test"]
fn an_unpacked_image_and_a_file_know_their_entry_point_too() {
    let images = Scratch::new();
    let (folder, file) = (images.path().join("echo"), images.path().join("echo.sif"));
    for (option, place) in [("--sandbox", &folder), ("--force", &file)] {
        let build =
            Command::new("apptainer").args(["build", option]).arg(place).arg("docker://echo").output();
        assert!(build.as_ref().unwrap().status.success(), "{build:?}");
        let scratch = Scratch::of(&entry_point(place.to_str().unwrap(), &[]));
        assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
        let said = scratch.output("main", "stdout");
        assert_eq!(said, "the entry  point's $words \"and its command\n", "{option}");
    }
}

#[test]
#[ignore = "needs the test bed: make test"]
fn an_image_that_names_no_command_cannot_run_without_one() {
    let scratch = Scratch::of(&entry_point("docker://mute", &[]));
    let run = scratch.run();
    let message = "the container has no command and the image names none".to_owned();
    assert_eq!((run.code(), run.end(0)), (127, (127, None, "ContainerCannotRun".to_owned(), message)));
}

#[test]
#[ignore = "needs the test bed: make test"]
fn a_container_sees_the_hostname_of_its_job() {
    let mut job = job(Image::Apptainer("docker://busybox".to_owned()), &["hostname"], "");
    job.hostname = Some("web-0".to_owned());
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
    assert_eq!(scratch.output("main", "stdout"), "web-0\n");
}
