//! Containers in images, by apptainer.

use htc_core::workload::container::{Arg, Image};
use htc_core::workload::report::Phase;

use crate::pull::bed_registry;
use crate::scratch::{Scratch, anybody_runs, job, variable};

pub fn busybox() -> Image {
    Image::Apptainer("docker://busybox".to_owned())
}

fn image(argv: &[&str], script: &str) -> Scratch {
    Scratch::of(&job(busybox(), argv, script))
}

#[test]
#[ignore = "needs the test bed"]
fn a_script_runs_in_the_image_and_its_files_come_home() {
    let scratch = image(
        &["sh", "@script", "@index"],
        "echo out $1; echo err >&2; pwd; echo file > here; echo x > /htc_script",
    );
    assert_eq!(scratch.run().code(), 1);
    assert_eq!(scratch.output("main", "stdout"), "out 7\n/htc_run\n");
    let errors = scratch.output("main", "stderr");
    assert!(errors.starts_with("err\n") && errors.contains("Read-only file system"), "{errors}");
    assert_eq!(scratch.read("work/here"), "file\n");
}

#[test]
#[ignore = "needs the test bed"]
fn nothing_of_the_job_but_its_mounts_is_seen_in_the_image() {
    // In a script, so that the words are not seen among the arguments of the shell.
    let script = "env; find / -name result.json -o -name sender.out -o -name log.main; ls -A ~ /tmp; ps";
    let scratch = image(&["sh", "@script"], script);
    assert_eq!(scratch.run().code(), 0);
    let seen = scratch.output("main", "stdout");
    for hidden in
        ["result.json", "sender.out", "log.main", "APPTAINER", "SINGULARITY", "htc-sender run", "PS1="]
    {
        assert!(!seen.contains(hidden), "{hidden}: {seen}");
    }
    assert!(seen.contains("HOME=/htc_home\n") && seen.contains("PATH="), "{seen}");
}

#[test]
#[ignore = "needs the test bed"]
fn an_image_can_be_written_outside_its_mounts() {
    let scratch =
        image(&["sh", "-c", "echo x > /new && echo x > /tmp/x && echo x > ~/x && cat /new /tmp/x ~/x"], "");
    assert_eq!(scratch.run().code(), 0);
    assert_eq!(scratch.output("main", "stdout"), "x\nx\nx\n");
}

#[test]
#[ignore = "needs the test bed"]
fn values_of_variables_are_exact_in_the_image_and_odd_names_harm_nobody() {
    let values = ["a\nb", "'\"`echo no` $(echo no) $x\\", "\u{1f980}", &"x".repeat(100_000), ""];
    let mut job = job(busybox(), &["env", "-0"], "");
    job.containers[0].env = values.iter().enumerate().map(|(n, v)| variable(&format!("V{n}"), v)).collect();
    job.containers[0].env.push(variable("odd.name-1", "kept"));
    job.containers[0].env.push(variable("APPTAINER_X", "the user's"));
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
    let seen = scratch.output("main", "stdout");
    let exact = |line: &str| seen.split('\0').any(|seen| seen == line);
    for (n, value) in values.iter().enumerate() {
        assert!(exact(&format!("V{n}={value}")), "V{n}");
    }
    assert!(exact("odd.name-1=kept") && exact("APPTAINER_X=the user's"));
}

#[test]
#[ignore = "needs the test bed"]
fn exit_codes_and_signals_come_out_of_the_image() {
    for (command, code) in [("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        let scratch = image(&["sh", "-c", command], "");
        let run = scratch.run();
        assert_eq!((run.code(), run.end(0).0, run.end(0).2.as_str()), (code, code, "Error"), "{command}");
    }
}

#[test]
#[ignore = "needs the test bed"]
fn programs_are_looked_up_in_the_image() {
    let scratch = image(&["no-such-program"], "");
    let run = scratch.run();
    let message = r#"exec: "no-such-program": executable file not found in $PATH"#.to_owned();
    assert_eq!((run.code(), run.end(0)), (127, (127, None, "ContainerCannotRun".to_owned(), message)));
    let scratch = image(&["/etc/passwd"], "");
    assert_eq!(scratch.run().code(), 126);
}

#[test]
#[ignore = "needs the test bed"]
fn an_image_that_cannot_be_had_is_said_in_apptainers_words() {
    let lost = format!("docker://{}/no/such-image", bed_registry());
    for (image, word) in [(lost.as_str(), "such-image"), ("/no/such.sif", "/no/such.sif")] {
        let mut job = job(Image::Apptainer(image.to_owned()), &["true"], "");
        job.images.insecure_registries = vec![bed_registry()];
        let scratch = Scratch::of(&job);
        let run = scratch.run();
        let (code, _, reason, message) = run.end(0);
        assert_eq!((run.code(), code, reason.as_str()), (127, 127, "ErrImagePull"), "{message}");
        assert!(message.contains(word), "{message}");
        assert_eq!(scratch.read("log.main"), "");
    }
}

#[test]
#[ignore = "needs the test bed"]
fn sigterm_reaches_the_first_process_in_the_image() {
    let script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let scratch = image(&["sh", "@script"], script);
    let mut running = scratch.start();
    running.until_it_says("ready");
    running.terminate();
    assert_eq!(running.wait().code(), 5);
    assert_eq!(scratch.output("main", "stdout"), "ready\nbye\n");
    assert_eq!(scratch.report().phase, Phase::Stopping);
}

#[test]
#[ignore = "needs the test bed"]
fn nothing_in_the_image_survives_the_job() {
    let marker = format!("20{}", std::process::id());
    let script = format!("trap '' TERM; setsid sleep {marker} & echo ready; sleep {marker}; sleep {marker}");
    let mut job = job(busybox(), &["sh", "@script"], &script);
    job.grace_seconds = 0;
    let scratch = Scratch::of(&job);
    let mut running = scratch.start();
    running.until_it_says("ready");
    running.terminate();
    assert_eq!(running.wait().code(), 137);
    assert!(!anybody_runs(&marker));
}

#[test]
#[ignore = "needs the test bed"]
fn paths_with_commas_and_colons_can_be_mounted() {
    let mut job = job(busybox(), &["sh", "-c", "pwd > out"], "");
    job.containers[0].mounts[0].path = "/a,b: \"c\"".to_owned();
    job.containers[0].working_dir = Some(Arg::Mount("/a,b: \"c\"".to_owned()));
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0, "{}", scratch.read("sender.out"));
    assert_eq!(scratch.read("work/out"), "/a,b: \"c\"\n");
}
