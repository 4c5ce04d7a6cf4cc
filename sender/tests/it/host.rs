//! Containers without an image: what the sender does on any machine.

use std::fs;

use htc_core::workload::container::Image;
use htc_core::workload::report::{ContainerState, Phase};
use htc_core::workload::spec::{HostKind, Volume, VolumeSource};

use crate::scratch::{Scratch, anybody_runs, container, job, variable};

fn host(argv: &[&str], script: &str) -> Scratch {
    Scratch::of(&job(Image::Host, argv, script))
}

#[test]
fn a_script_gets_its_index_and_its_output_is_logged() {
    let scratch = host(&["sh", "@script", "@index"], "echo out $1; echo err >&2; echo file > here; pwd");
    assert_eq!(scratch.run().code(), 0);
    let work = scratch.path().join("work");
    assert_eq!(scratch.output("main", "stdout"), format!("out 7\n{}\n", work.display()));
    assert_eq!(scratch.output("main", "stderr"), "err\n");
    assert_eq!(scratch.read("work/here"), "file\n");
    let report = scratch.report();
    assert_eq!((report.retcode, report.phase), (Some(0), Phase::Done));
}

#[test]
fn job_json_is_gone_before_the_user_runs_and_the_sender_cannot_be_read() {
    let script = "ls -a ..; cat ../result.json; cat /proc/$PPID/environ /proc/$PPID/mem";
    let scratch = host(&["sh", "@script"], script);
    scratch.run();
    let seen = scratch.output("main", "stdout");
    assert!(seen.contains("log.main\n") && !seen.contains("job.json"), "{seen}");
    if !rustix::process::geteuid().is_root() {
        let refused = scratch.output("main", "stderr");
        assert_eq!(refused.matches("ermission denied").count(), 2, "{refused}");
    }
}

#[test]
fn exit_codes_and_signals_come_through() {
    let scratch = host(&["sh", "-c", "exit 3"], "");
    let run = scratch.run();
    assert_eq!((run.code(), run.end(0)), (3, (3, None, "Error".to_owned(), String::new())));
    let scratch = host(&["sh", "-c", "kill -9 $$"], "");
    let run = scratch.run();
    assert_eq!((run.code(), run.end(0)), (137, (137, Some(9), "Error".to_owned(), String::new())));
}

#[test]
fn what_cannot_be_executed_is_said_as_shells_do() {
    let cases = [
        ("no-such-program", 127, r#"exec: "no-such-program": executable file not found in $PATH"#),
        ("/no/such/program", 127, r#"exec: "/no/such/program": no such file or directory"#),
        ("/etc/passwd", 126, r#"exec: "/etc/passwd": permission denied"#),
    ];
    for (program, code, message) in cases {
        let scratch = host(&[program], "");
        let run = scratch.run();
        assert_eq!(run.code(), code);
        assert_eq!(run.end(0), (code, None, "ContainerCannotRun".to_owned(), message.to_owned()));
    }
}

#[test]
fn the_environment_is_clean_and_values_are_exact() {
    let values = ["a\nb", "'\"`$x\\", "\u{1f980}", &"x".repeat(100_000), ""];
    let mut job = job(Image::Host, &["env", "-0"], "");
    job.containers[0].env = values.iter().enumerate().map(|(n, v)| variable(&format!("V{n}"), v)).collect();
    let scratch = Scratch::of(&job);
    let status = scratch.command().env("_CONDOR_SLOT", "slot1").status().unwrap();
    assert!(status.success());
    let seen = scratch.output("main", "stdout");
    for (n, value) in values.iter().enumerate() {
        assert!(seen.split('\0').any(|line| line == format!("V{n}={value}")), "V{n}");
    }
    assert!(seen.contains("PATH=/usr/local/sbin:") && !seen.contains("_CONDOR"), "{seen}");
}

#[test]
fn sigterm_reaches_the_first_process_and_is_no_end() {
    let script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let scratch = host(&["sh", "@script"], script);
    let mut running = scratch.start();
    running.until_it_says("ready");
    running.terminate();
    assert_eq!(running.wait().code(), 5);
    assert_eq!(scratch.output("main", "stdout"), "ready\nbye\n");
    let report = scratch.report();
    assert_eq!((report.phase, report.retcode), (Phase::Stopping, None));
}

#[test]
fn who_ignores_sigterm_is_killed_after_the_grace_period() {
    let mut job =
        job(Image::Host, &["sh", "-c", "trap '' TERM; echo ready; sleep 1000000; sleep 1000000"], "");
    job.grace_seconds = 0;
    let scratch = Scratch::of(&job);
    let mut running = scratch.start();
    running.until_it_says("ready");
    running.terminate();
    let run = running.wait();
    assert_eq!((run.code(), run.end(0).1), (137, Some(9)));
}

#[test]
fn nothing_survives_the_job() {
    let marker = format!("10{}", std::process::id());
    let script = format!(
        "setsid sh -c 'trap \"\" TERM HUP; (sleep {marker}; :) & echo left; sleep {marker}' & sleep 0.2"
    );
    let scratch = host(&["sh", "@script"], &script);
    assert_eq!(scratch.run().code(), 0);
    assert_eq!(scratch.output("main", "stdout"), "left\n");
    assert!(!anybody_runs(&marker));
}

#[test]
fn init_containers_run_in_order_and_the_first_failure_is_the_end() {
    let mut job = job(Image::Host, &["sh", "-c", "cat first second"], "");
    job.init_containers = vec![
        container("one", Image::Host, &["sh", "-c", "echo 1 > first"]),
        container("two", Image::Host, &["sh", "-c", "cp first second"]),
    ];
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 0);
    assert_eq!(scratch.output("main", "stdout"), "1\n1\n");

    job.init_containers[0] = container("one", Image::Host, &["sh", "-c", "echo no; exit 4"]);
    let scratch = Scratch::of(&job);
    assert_eq!(scratch.run().code(), 4);
    assert_eq!(scratch.output("one", "stdout"), "no\n");
    let report = scratch.report();
    assert!(matches!(report.init_containers[1].state, ContainerState::Waiting { .. }));
    assert!(matches!(report.containers[0].state, ContainerState::Waiting { .. }));
    assert_eq!(report.retcode, Some(4));
}

#[test]
fn containers_run_side_by_side_and_the_highest_code_counts() {
    let mut job = job(Image::Host, &["sh", "-c", "until [ -e other ]; do sleep 0.02; done; exit 2"], "");
    job.containers.push(container("side", Image::Host, &["sh", "-c", "echo > other; exit 6"]));
    let scratch = Scratch::of(&job);
    let run = scratch.run();
    assert_eq!((run.code(), run.end(0).0, run.end(1).0), (6, 2, 6));
}

#[test]
fn all_outputs_exist_even_when_there_is_no_job() {
    let scratch = Scratch::new();
    scratch.write("job.json", b"{");
    assert_eq!(scratch.run().code(), 127);
    for name in ["result.json", "log.main", "log.main.prev"] {
        assert_eq!(scratch.read(name), "", "{name}");
    }
    assert!(scratch.path().join("work").is_dir());
    assert!(scratch.read("sender.out").contains("job.json does not describe a job"));
}

#[test]
fn a_missing_path_of_the_worker_is_named() {
    let mut job = job(Image::Host, &["true"], "");
    let source = VolumeSource::Host {
        path: "/no/such".to_owned(),
        optional: false,
        kind: HostKind::Any,
        below: vec![],
    };
    job.volumes.push(Volume { name: "data".to_owned(), source });
    let scratch = Scratch::of(&job);
    let run = scratch.run();
    assert_eq!(run.code(), 127);
    assert_eq!(run.end(0).3, "volume \"data\": this worker has no /no/such");
}

#[test]
fn output_without_end_is_logged_to_the_last_byte() {
    let scratch = host(&["sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x; echo; seq 200000"], "");
    assert_eq!(scratch.run().code(), 0);
    let output = scratch.output("main", "stdout");
    let (zeros, numbers) = output.split_once('\n').unwrap();
    assert_eq!(zeros.len(), 20_000_000);
    assert!(numbers.ends_with("\n199999\n200000\n"));
    assert_eq!(fs::metadata(scratch.path().join("log.main.prev")).unwrap().len(), 0);
}

#[test]
fn a_log_that_grows_too_large_is_begun_anew_and_the_end_is_all_there() {
    // With its 45 bytes of time and stream a line takes more than 50.
    let scratch = host(&["seq", "1000001", "2500000"], "");
    assert_eq!(scratch.run().code(), 0);
    let [before, now] = ["log.main.prev", "log.main"].map(|name| scratch.read(name));
    assert!(before.len() > 40_000_000 && before.len() <= 50 << 20 && now.len() <= 50 << 20);
    let number = |line: &str| -> u64 { line.rsplit_once(' ').unwrap().1.parse().unwrap() };
    let numbers: Vec<u64> = before.lines().chain(now.lines()).map(number).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert_eq!(numbers.last(), Some(&2_500_000));
}
