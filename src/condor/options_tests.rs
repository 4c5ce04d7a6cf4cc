//! What users may write, and what they are told when they may not.

use super::*;

fn options(text: &str) -> Vec<(String, String)> {
    parse(text, &[]).unwrap()
}

fn refused(text: &str) -> String {
    parse(text, &[]).unwrap_err()
}

#[test]
fn commands_and_attributes_are_taken_as_they_stand() {
    let text = "# mine\nRequest_Memory = 2 GB\n\n+JobFlavour = \"espresso\"\n  RequestCpus=4\r\n\
                requirements = (OpSys == \"LINUX\")\nmy.MaxRuntime = 1200\nJobPrio = -3\nrequest_TPUs = 2\n";
    let expected = [
        ("request_memory", "2 GB"),
        ("MY.JobFlavour", "\"espresso\""),
        ("request_cpus", "4"),
        ("requirements", "(OpSys == \"LINUX\")"),
        ("MY.MaxRuntime", "1200"),
        ("priority", "-3"),
        ("request_TPUs", "2"),
    ];
    assert_eq!(options(text), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[test]
fn everything_else_is_refused_with_its_line() {
    for bad in [
        "queue 5",
        "queue = 5",
        "executable = /bin/sh",
        "include : /etc/passwd",
        "include command = ls",
        "x509userproxy = /tmp/x",
        "environment = A=1",
        "getenv = true",
        "max_retries = 3",
        "periodic_remove = true",
        "transfer_input_files = x",
        "+HTCOperatorUid = \"x\"",
        "MY.HTCAck = true",
        "+LeaveInQueue = true",
        "+Requirements = true",
        "+RequestCpus = 4",
        "+JobFlavour = espresso",
        "request_cpus = $(N)",
        "request_cpus = many",
        "request_cpus = \"4\"",
        "request_memory = 2 MiB",
        "request_memory = 99999999999999999999",
        "request_memory = inf",
        "request_ = 1",
        "request_a b = 1",
        "nice_user = 1",
        "concurrency_limits = ,",
        "rank = (1",
        "rank =",
        "rank = a \\",
        "+1x = 2",
        "+a.b = 2",
        "+ X = 2",
        "rank @=end",
        "priority = 1\u{1f}2",
        "rank = 1\nrank = 2",
        "request_cpus = 1\nRequestCpus = 2",
        "accounting_group = a\n+AccountingGroup = \"b\"",
        "accounting_group = a\nnice_user = true",
    ] {
        let error = refused(bad);
        assert!(error.starts_with("line "), "{bad:?}: {error}");
    }
}

#[test]
fn a_refusal_says_what_to_do_instead() {
    for (bad, words) in [
        ("queue 5", "spec.queue"),
        ("environment = A=1", "spec.script.source"),
        ("max_retries = 3", "no copy again"),
        ("on_exit_remove = false", "allowed_job_duration"),
        ("periodic_remove = true", "allowed_job_duration"),
        ("transfer_input_files = /etc/passwd", "working folder"),
        ("+JobFlavour = espresso", "+JobFlavour = \"espresso\""),
        ("+RequestMemory = 4000", "request_memory"),
        ("request_memory = \"2 GB\"", "without quotes"),
        ("request_cpus = 1 # one", "a line of its own"),
        ("include : x", "submit host"),
        ("gpus_minimum_memory = 2 GB", "request_gpus"),
    ] {
        assert!(refused(bad).contains(words), "{bad:?}: {}", refused(bad));
    }
}

#[test]
fn all_bad_lines_are_named_but_not_without_end() {
    let error = refused("queue\nrequest_cpus = 1\nlog = x\n");
    assert!(error.starts_with("line 1 (\"queue\")") && error.contains("; line 3 (\"log = x\")"), "{error}");
    let error = refused(&"executable = x\n".repeat(100));
    assert!(error.ends_with("; and 95 more"), "{error}");
    assert!(refused(&format!("rank = {}(", "x".repeat(5_000))).len() < 200);
    assert!(refused(&format!("{} = 1", "x".repeat(5_000))).len() < 700);
}

#[test]
fn what_is_so_anyway_is_no_reason_to_refuse() {
    assert_eq!(options("universe = vanilla\ngetenv = False\nnotification=Never\nmax_retries = 0\n"), []);
}

#[test]
fn the_guide_names_every_command() {
    let guide = include_str!("../../docs/htcjob.md");
    let section =
        guide.split("## Submit commands").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let commands = ALLOWED.iter().map(|(name, _)| name);
    let others = SO_ANYWAY.iter().map(|(name, _)| name);
    for name in commands.chain(others) {
        assert!(section.contains(&format!("`{name}")), "{name}");
    }
    let example = section.split("  htcopts: |\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(options(example).len(), 5);
    let told = section.split("```text\nspec.htcopts: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert_eq!(told, refused("priority = 1\nmax_retries = 3\n+JobFlavour = workday\n"));
}

#[test]
fn what_a_site_denies_is_denied_by_all_its_names() {
    let denied = ["AcctGroup*".to_owned(), "RequestGpus".to_owned(), "JobPrio".to_owned()];
    for line in [
        "accounting_group = group_x",
        "AccountingGroup = group_x",
        "+AccountingGroup = \"group_x\"",
        "accounting_group_user = me",
        "request_gpus = 1",
        "priority = 5",
        "prio = 5",
    ] {
        let why = parse(line, &denied).unwrap_err();
        assert!(why.contains("at this site"), "{line}: {why}");
        assert!(parse(line, &[]).is_ok(), "{line}");
    }
}
