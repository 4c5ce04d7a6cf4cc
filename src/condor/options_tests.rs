//! What users may write, and what they are told when they may not.

use super::*;

fn options(text: &str) -> Vec<(String, String)> {
    parse(text, &SiteAttributes::default()).unwrap()
}

fn refused(text: &str) -> String {
    parse(text, &SiteAttributes::default()).unwrap_err()
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
        "+LeaveJobInQueue = true",
        "+Requirements = true",
        "+RequestCpus = 4",
        "+JobFlavour = espresso",
        "request_cpus = $(N)",
        "request_cpus = many",
        "request_edchroot = 1",
        "request_edcatalogs = 1",
        "request_virtualmemory = 1",
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
        "keep_claim_idle = 1000",
        "next_job_start_delay = 30",
        "job_machine_attrs_history_length = 2000000000",
        "+NextJobStartDelay = 30",
        "MY.CommonInputFiles = \"/etc/hostname\"",
        "priority = 1",
        "JobPrio = 2147483647",
        "+X = \"\\036\"",
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
    let error = refused(&"executable = x\n".repeat(60));
    assert!(error.ends_with("; and 55 more"), "{error}");
    assert!(refused(&format!("rank = {}(", "x".repeat(4_000))).len() < 200);
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
    let commands = ALLOWED.iter().map(|(name, ..)| name);
    let others = SO_ANYWAY.iter().map(|(name, _)| name);
    for name in commands.chain(others) {
        assert!(section.contains(&format!("`{name}")), "{name}");
    }
    let example = section.split("  htcopts: |\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(options(example).len(), 5);
    let told = section.split("```text\nspec.htcopts: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert_eq!(told, refused("priority = -1\nmax_retries = 3\n+JobFlavour = workday\n"));
}

fn site(denied: &[&str], allowed: &[&str]) -> SiteAttributes {
    let owned = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
    SiteAttributes { denied: owned(denied), allowed: owned(allowed) }
}

#[test]
fn what_a_site_denies_is_denied_by_all_its_names() {
    for (denied, lines) in [
        (
            "AccountingGroup",
            "accounting_group = g|accounting_group_user = bob|nice_user = true|AccountingGroup = g|\
                             +AccountingGroup = \"g\"",
        ),
        ("AcctGroup", "accounting_group = g|nice_user = true|+AcctGroup = \"g\""),
        ("AcctGroupUser", "accounting_group_user = bob|+AcctGroupUser = \"bob\""),
        ("NiceUser", "nice_user = true|NiceUser = true"),
        ("MaxJobRetirementTime", "nice_user = true|max_job_retirement_time = 1"),
        ("ConcurrencyLimits", "concurrency_limits = a|concurrency_limits_expr = \"a\"|ConcurrencyLimits = a"),
        ("JobPrio", "priority = -5|prio = -5|JobPrio = -5|job_prio = -5"),
        ("RequestGpus", "request_gpus = 1|RequestGPUs = 1"),
        ("RequestTpus", "request_tpus = 1"),
        ("GPUsMin*", "request_gpus = 1\ngpus_minimum_memory = 1"),
        (
            "RequireGPUs",
            "request_gpus = 1\ngpus_minimum_capability = 1|request_gpus = 1\nrequire_gpus = true",
        ),
        ("Allowed*", "allowed_job_duration = 1|AllowedExecuteDuration = 1"),
        ("R*", "rank = 1|requirements = true|request_cpus = 1"),
    ] {
        for line in lines.split('|') {
            let why = parse(line, &site(&[denied], &["*"])).unwrap_err();
            assert!(why.contains("at this site"), "{denied}: {line}: {why}");
            assert!(parse(line, &site(&[], &[])).is_ok(), "{line}");
        }
    }
}

#[test]
fn every_command_says_what_it_sets_and_can_be_denied_by_it() {
    for (command, _, sets) in ALLOWED {
        assert!(!sets.is_empty(), "{command}");
        for attribute in sets.split_whitespace() {
            let why = parse(&format!("{command} = 1"), &site(&[attribute], &["*"])).unwrap_err();
            assert!(why.contains(&format!("{command} may not be set at this site")), "{why}");
        }
    }
}

#[test]
fn a_job_goes_before_those_of_others_only_where_the_site_lets_it() {
    for line in ["priority = 1", "prio = 7", "JobPrio = 2147483647"] {
        assert!(refused(line).contains("write 0 or less"), "{}", refused(line));
        assert!(parse(line, &site(&[], &["JobPrio"])).is_ok(), "{line}");
    }
    assert_eq!(options("priority = -2147483648").len() + options("priority = 0").len(), 2);
}

#[test]
fn a_site_frees_names_that_htcondor_knows_and_never_ours() {
    let frees = site(&[], &["KeepClaimIdle", "HTC*", "*Proxy*"]);
    assert!(parse("+KeepClaimIdle = 60", &frees).is_ok());
    for line in ["+HTCAck = true", "+HTCNamespace = \"x\"", "+x509userproxy = \"/x\"", "+FlockTo = \"x\""] {
        assert!(parse(line, &frees).is_err(), "{line}");
    }
}

#[test]
fn what_was_taken_is_judged_again_by_the_rules_of_today() {
    let text =
        "request_memory = 2 GB\n+JobFlavour = \"a\"\nJobPrio = -3\nrequest_TPUs = 2\nrequirements = true\n";
    let taken = options(text);
    assert_eq!(check_again(&taken, &site(&[], &[])), Ok(()));
    assert!(check_again(&taken, &site(&["JobFlavour"], &[])).unwrap_err().contains("MY.JobFlavour"));
    let old = [("MY.NextJobStartDelay".to_owned(), "30".to_owned())];
    let why = check_again(&old, &site(&[], &[])).unwrap_err();
    assert!(why.starts_with("line 1 (\"MY.NextJobStartDelay = 30\"): "), "{why}");
    assert_eq!(check_again(&[], &site(&[], &[])), Ok(()));
    let long: Vec<_> = (0..40).map(|n| (format!("MY.Long{n}"), format!("\"{}\"", "x".repeat(500)))).collect();
    let why = check_again(&long, &site(&[], &[])).unwrap_err();
    assert!(why.ends_with(" bytes; write at most 16384"), "{why}");
    // What is just short enough is written out longer, and stays good.
    let most: String = (0..64).map(|n| format!("+A{n:02}=\"{:0248}\"\n", 0)).collect();
    assert_eq!((most.len(), check_again(&options(&most), &site(&[], &[]))), (TEXT_MAX, Ok(())));
}

#[test]
fn what_is_too_large_is_refused_with_the_limit_and_not_read() {
    let nested = format!("rank = {}1{}", "(".repeat(70), ")".repeat(70));
    let many: String = (0..65).map(|n| format!("+A{n} = {n}\n")).collect();
    for (text, words) in [
        (format!("# {}", "x".repeat(TEXT_MAX)), "has 16386 bytes; write at most 16384"),
        (many, "has 65 options; write at most 64"),
        (format!("+A = \"{}\"", "x".repeat(4_095)), "has a value of 4097 bytes; write at most 4096"),
        (nested, "more than 64 brackets in each other"),
    ] {
        assert!(refused(&text).contains(words), "{}", refused(&text));
    }
    let most: String = (0..64).map(|n| format!("# {n}\n\n+A{n} = \"{}\"\n", "x".repeat(200))).collect();
    assert_eq!(options(&most).len(), 64);
    assert_eq!(options(&format!("+A = \"{}\"", "x".repeat(4_094))).len(), 1);
}

#[test]
fn attributes_that_multiply_each_other_are_refused_by_whatever_names() {
    let chain: String = (1..12).map(|n| format!("+A{n} = strcat(A{0}, A{0})\n", n - 1)).collect();
    let why = refused(&format!("+A0 = \"x\"\n{chain}rank = size(A11)"));
    assert!(why.contains("takes more than 1000 steps"), "{why}");
    let commands = "request_x1 = RequestX0 + RequestX0\nrequest_x0 = RequestX1";
    assert!(refused(commands).contains("refers to itself"), "{}", refused(commands));
    let old = [("MY.A".to_owned(), "eval(\"B\")".to_owned())];
    assert!(check_again(&old, &site(&[], &[])).unwrap_err().contains("eval(…) is not taken"));
    assert_eq!(
        options("+physics = AccountingGroup\naccounting_group = physics").len(),
        2,
        "a name is no reference"
    );
}

mod whatever_the_text_is {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::*;

    /// Lines that are told apart late: bad ones cost more than good ones.
    fn text() -> impl Strategy<Value = String> {
        let piece = select(
            &[
                "\n", "=", " = ", "+", "MY.", "\"", "\\", "(", ")", "[", "]", "{", "}", ";", "#", "$", "a",
                "é", "1", "request_", "rank", "+A = ", "queue", "//", "true", "\t", "\u{1f}", "priority",
            ][..],
        );
        let some = vec(piece, 0..400).prop_map(|pieces| pieces.concat());
        (some, 1..200usize).prop_map(|(text, times)| {
            let text = text.repeat(times);
            let end = (0..=TEXT_MAX.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
            text[..end.unwrap_or(0)].to_owned()
        })
    }

    proptest! {
        /// Each option is read once and compared with none, so the number of options, and of the bytes of
        /// each, bounds the work.
        #[test]
        fn it_is_taken_within_the_limits_or_refused_in_few_words(text in text()) {
            match parse(&text, &SiteAttributes::default()) {
                Ok(options) => {
                    prop_assert!(options.len() <= OPTIONS_MAX);
                    prop_assert!(options.iter().all(|(_, value)| value.len() <= VALUE_MAX));
                    prop_assert_eq!(check_again(&options, &SiteAttributes::default()), Ok(()));
                }
                Err(why) => prop_assert!(why.len() < LINES_LISTED * 4 * (LINE_SHOWN * 2 + REASON_SHOWN + 40), "{}", why),
            }
        }

        #[test]
        fn any_characters_are_judged_without_a_panic(text in "\\PC{0,200}", value in "(?s).{0,200}") {
            let _ = parse(&text, &SiteAttributes::default());
            let _ = parse(&format!("+A = {value}"), &SiteAttributes::default());
            let _ = parse(&format!("+{value} = 1"), &SiteAttributes::default());
        }
    }
}
