//! A description means what it was made from: what `condor_submit` reads in it is the intent, no
//! less and no more. The tool reads it in earnest and submits nothing (`-dry-run`).

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use htc_operator::condor::attributes::SiteAttributes;
use htc_operator::condor::options::parse;
use htc_operator::condor::submit::{Row, Terms, batch_name, description};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

/// What `condor_submit` made of a job: attribute → value, without the blanks that are not in strings.
type Ad = BTreeMap<String, String>;

/// Folders that are there: the tool looks.
const FOLDERS: [&str; 8] = ["/bin", "/dev", "/etc", "/lib", "/proc", "/tmp", "/usr", "/var"];

/// What a user wants: lines of `htcopts`, and the attributes that they mean.
#[derive(Clone, Debug)]
struct Wanted {
    lines: Vec<String>,
    attributes: Ad,
    requirements: Option<String>,
}

#[test]
#[ignore = "needs the test bed: make test"]
fn every_option_of_every_job_of_a_batch_comes_back_as_it_was_meant() {
    // What refers to itself is refused.
    let is_taken = |wanted: &Wanted| {
        let taken = parse(&wanted.lines.join("\n"), &SiteAttributes::default());
        !taken.is_err_and(|why| why.contains("refers to itself"))
    };
    check(&vec(wanted().prop_filter("it refers to itself", is_taken), 1..8), |batch| {
        let terms: Vec<Terms> = batch.iter().map(|wanted| terms(&wanted.lines.join("\n"))).collect();
        // As the submitter does: one shape, one submission.
        for first in &terms {
            let same: Vec<usize> =
                (0..terms.len()).filter(|n| terms[*n].shape(None) == first.shape(None)).collect();
            let rows: Vec<Row> = same.iter().map(|n| row(*n, terms[*n].clone())).collect();
            let ads = dry_run(&rows).map_err(TestCaseError::fail)?;
            prop_assert_eq!(ads.len(), rows.len());
            for ((ad, n), row) in ads.iter().zip(&same).zip(&rows) {
                ours_are_untouched(ad, row)?;
                for (name, value) in &batch[*n].attributes {
                    prop_assert_eq!(ad.get(name), Some(value), "{} of row {}", name, n);
                }
                if let Some(wanted) = &batch[*n].requirements {
                    let start = format!("((NumJobStarts?:0)==0&&({wanted}))&&(");
                    prop_assert!(ad["requirements"].starts_with(&start), "{}", ad["requirements"]);
                }
            }
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs the test bed: make test"]
fn whatever_text_is_accepted_only_the_named_attributes_change() {
    let plain = dry_run(&[row(0, terms(""))]).unwrap().remove(0);
    check(&vec(nasty_line(), 1..4), |lines| {
        let Ok(options) = parse(&lines.join("\n"), &SiteAttributes::default()) else { return Ok(()) };
        let row = row(0, Terms { options: options.clone(), ..terms("") });
        // The tool may still refuse a value, and then submits nothing.
        let Ok(ads) = dry_run(std::slice::from_ref(&row)) else { return Ok(()) };
        prop_assert_eq!(ads.len(), 1);
        ours_are_untouched(&ads[0], &row)?;
        let may_change: Vec<String> = options.iter().flat_map(|(name, _)| targets(name)).collect();
        for (name, value) in &ads[0] {
            let changed = plain.get(name) != Some(value);
            prop_assert!(!changed || may_change.contains(name), "{} became {}", name, value);
        }
        prop_assert!(plain.keys().all(|name| ads[0].contains_key(name)));
        Ok(())
    });
}

/// Whether something is submitted that our parser refused is for the operator to prevent; this says
/// that it refuses what would do harm.
#[test]
#[ignore = "needs the test bed: make test"]
fn text_that_would_do_harm_is_refused_whatever_stands_around_it() {
    check(&(vec(good_line(), 0..3), harmful_line(), vec(good_line(), 0..3)), |(before, bad, after)| {
        let text = [before.clone(), vec![bad.clone()], after].concat().join("\n");
        let refusal = parse(&text, &SiteAttributes::default());
        let line = format!("line {} ", before.len() + 1);
        prop_assert!(refusal.as_ref().is_err_and(|why| why.contains(&line)), "{:?}: {:?}", bad, refusal);
        Ok(())
    });
}

/// Runs a property on as many values as `PROPTEST_CASES` says.
fn check<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, property).unwrap();
}

fn terms(htcopts: &str) -> Terms {
    Terms {
        containers: vec!["main".to_owned()],
        grace_seconds: 30,
        restart_after_eviction: false,
        has_image: false,
        passed_over: None,
        options: parse(htcopts, &SiteAttributes::default())
            .unwrap_or_else(|why| panic!("{htcopts:?}: {why}")),
    }
}

fn row(n: usize, terms: Terms) -> Row {
    Row {
        key: format!("uid-{n}/{n}/0/0").parse().unwrap(),
        folder: FOLDERS[n].to_owned(),
        namespace: "namespace".to_owned(),
        name: format!("name-{n}"),
        terms,
    }
}

/// What the tool reads in a description of these rows, as one ad each; or what it complains of.
fn dry_run(rows: &[Row]) -> Result<Vec<Ad>, String> {
    let folder = tempfile::tempdir().unwrap();
    let (file, result) = (folder.path().join("submit"), folder.path().join("ads"));
    std::fs::write(&file, description("in\"stance", Path::new("/bin/true"), Some(1024), None, rows)).unwrap();
    let mut command = Command::new("condor_submit");
    let output = command.arg("-terse").arg("-dry-run").args([&result, &file]).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(std::fs::read(result).unwrap()).unwrap();
    let mut ads = ads(&text);
    // These differ from call to call.
    let passing = ["jobsubmitfile", "qdate", "enteredcurrentstatus"];
    ads.iter_mut().for_each(|ad| ad.retain(|name, _| !passing.contains(&name.as_str())));
    Ok(ads)
}

/// Each ad after the first has only what differs from the first.
fn ads(text: &str) -> Vec<Ad> {
    let blocks = text.split("\n\n").filter(|block| block.contains("ProcId=") || block.contains("Cmd="));
    let mut ads: Vec<Ad> = Vec::new();
    for block in blocks {
        let own = block.lines().filter_map(|line| line.split_once('='));
        let own = own.map(|(name, value)| (name.to_ascii_lowercase(), without_blanks(value)));
        let mut ad = ads.first().cloned().unwrap_or_default();
        ad.extend(own);
        ads.push(ad);
    }
    ads
}

fn without_blanks(expression: &str) -> String {
    let (mut text, mut quoted, mut escaped) = (String::new(), false, false);
    for c in expression.chars() {
        if quoted || !c.is_whitespace() {
            text.push(c);
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    text
}

/// What the operator says of each job holds, whatever the user says.
fn ours_are_untouched(ad: &Ad, row: &Row) -> Result<(), TestCaseError> {
    let leave = "(JobStatus==3||JobStatus==4)&&HTCAck=!=true&&time()-EnteredCurrentStatus<864000";
    let (key, uid) = (format!("\"{}\"", row.key), format!("\"{}\"", row.key.uid));
    let quoted = |text: &str| format!("\"{text}\"");
    let (folder, batch) = (quoted(&row.folder), quoted(&batch_name(&row.namespace, &row.name)));
    let (namespace, name) = (quoted(&row.namespace), quoted(&row.name));
    for (name, value) in [
        ("HTCOperatorInstance", "\"in\\\"stance\""),
        ("HTCOperatorKey", &key),
        ("HTCOperatorUid", &uid),
        ("Iwd", &folder),
        ("JobBatchName", &batch),
        ("HTCNamespace", &namespace),
        ("HTCName", &name),
        ("Cmd", "\"/bin/true\""),
        ("Args", "\"run\""),
        ("Environment", "\"\""),
        ("TransferInput", "\"job.json\""),
        ("TransferOutput", "\"work,log.main,log.main.prev,result.json\""),
        ("LeaveJobInQueue", leave),
        ("OnExitRemove", "true"),
        ("WantGracefulRemoval", "true"),
        ("JobMaxVacateTime", "40"),
        ("JobUniverse", "5"),
        ("Out", "\"sender.out\""),
        ("Err", "\"sender.out\""),
    ] {
        prop_assert_eq!(ad.get(&name.to_ascii_lowercase()).map(String::as_str), Some(value), "{}", name);
    }
    let requirements = &ad["requirements"];
    prop_assert!(requirements.starts_with("((NumJobStarts?:0)==0"), "{}", requirements);
    prop_assert!(requirements.ends_with("&&(TARGET.HasFileTransfer)"), "{}", requirements);
    Ok(())
}

/// The attributes that a command may change, in lower case.
fn targets(name: &str) -> Vec<String> {
    let names: &[&str] = match name {
        "accounting_group" => &["AcctGroup", "AcctGroupUser", "AccountingGroup"],
        "accounting_group_user" => &["AcctGroupUser", "AccountingGroup"],
        "concurrency_limits_expr" => &["ConcurrencyLimits"],
        "nice_user" => &["NiceUser", "AcctGroup", "AcctGroupUser", "AccountingGroup", "MaxJobRetirementTime"],
        "priority" => &["JobPrio"],
        "requirements" => &["Requirements"],
        _ => &[],
    };
    let plain = name.strip_prefix("MY.").map_or_else(|| name.replace('_', ""), str::to_owned);
    // Each resource has its part in the requirements.
    let requirements = name.starts_with("request_").then(|| "requirements".to_owned());
    names
        .iter()
        .map(|name| name.to_ascii_lowercase())
        .chain([plain.to_ascii_lowercase()])
        .chain(requirements)
        .collect()
}

/// Any text, as a ClassAd string.
fn string() -> impl Strategy<Value = String> {
    let odd = select(
        &["\"", "'", "\\", "#", "//", "/*", ",", "ü", "😀", "\u{2028}", "\t", "(", "]", "=", "queue"][..],
    );
    let part = prop_oneof![3 => "[ -~]{0,6}", 2 => odd.prop_map(str::to_owned), 1 => "\\PC{0,3}"];
    let long = "[a-z ]{20,30}".prop_map(|text| text.repeat(400));
    let text = prop_oneof![20 => vec(part, 0..6).prop_map(|parts| parts.concat()), 1 => long];
    text.prop_map(|text| {
        let text = text.replace(['$', '\\'], "").replace('"', "\\\"");
        format!("\"{}\"", text.trim_end_matches('\\'))
    })
}

/// An expression, with the odd blank.
fn expression() -> impl Strategy<Value = String> {
    let name = select(&["Memory", "TARGET.Cpus", "MY.MaxRuntime", "Machine", "undefined", "true"][..]);
    let leaf = prop_oneof![
        name.prop_map(str::to_owned),
        (0..i32::MAX).prop_map(|n| n.to_string()),
        (0..1000u32).prop_map(|n| format!("{n}.5")),
        string(),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = select(&["+", "-", "*", "==", "=?=", "=!=", "<=", "&&", "||"][..]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            vec(inner.clone(), 1..4).prop_map(|items| format!("{{{}}}", items.join(" , "))),
            vec(inner.clone(), 1..3).prop_map(|items| format!("strcat( {} )", items.join(","))),
            inner.prop_map(|a| format!("[a={a}]")),
        ]
    })
}

/// Lines with what they mean.
fn wanted() -> impl Strategy<Value = Wanted> {
    let size = (1..4096u32, select(&[(" MB", 1), ("GB", 1024), (" g", 1024), ("", 1)][..]));
    let commands = (
        proptest::option::of(1..64u32),
        proptest::option::of(size),
        proptest::option::of(-20..=0i32),
        proptest::option::of(expression()),
        proptest::option::of(expression()),
        proptest::option::of("[a-z]{1,8}(_[a-z.]{1,4}[a-z])?"),
        proptest::option::of(1..9u32),
    );
    let own = prop_oneof![string(), expression()];
    let attributes =
        btree_map(select(&["JobCategory", "MaxRuntime", "WantOS", "X_1", "desired_Sites"][..]), own, 0..4);
    let all = (commands, attributes).prop_map(
        |((cpus, memory, priority, rank, requirements, group, tpus), own)| {
            let (mut lines, mut attributes) = (Vec::new(), Ad::new());
            let mut add = |line: String, name: &str, value: &str| {
                lines.push(line);
                attributes.insert(name.to_ascii_lowercase(), without_blanks(value));
            };
            if let Some(n) = cpus {
                add(format!("request_cpus = {n}"), "RequestCpus", &n.to_string());
            }
            if let Some((n, (unit, factor))) = memory {
                add(format!("RequestMemory={n}{unit}"), "RequestMemory", &(n * factor).to_string());
            }
            if let Some(n) = priority {
                add(format!("Priority = {n}"), "JobPrio", &n.to_string());
            }
            if let Some(rank) = rank {
                add(format!("rank = {rank}"), "Rank", &rank);
            }
            if let Some(group) = group {
                add(format!("accounting_group = {group}"), "AcctGroup", &format!("\"{group}\""));
            }
            if let Some(n) = tpus {
                add(format!("request_tpus = {n}"), "RequestTpus", &n.to_string());
            }
            for (n, (name, value)) in own.iter().enumerate() {
                add(format!("{}{name} = {value}", ["+", "MY."][n % 2]), name, value);
            }
            lines.extend(requirements.iter().map(|text| format!("requirements = {text}")));
            Wanted { lines, attributes, requirements: requirements.map(|text| without_blanks(&text)) }
        },
    );
    // What is larger is refused, which other tests claim.
    all.prop_filter("it is too large", |wanted| {
        wanted.lines.iter().all(|line| line.len() < 4_000) && wanted.lines.concat().len() < 16_000
    })
}

fn good_line() -> impl Strategy<Value = String> {
    (select(&["A", "B", "C", "D", "E"][..]), 0..u32::MAX).prop_map(|(name, n)| format!("+{name}{n} = {n}"))
}

/// Lines that may or may not be options.
fn nasty_line() -> impl Strategy<Value = String> {
    let name = select(
        &[
            "+X",
            "MY.Some",
            "rank",
            "requirements",
            "request_cpus",
            "request_memory",
            "request_x",
            "concurrency_limits",
            "accounting_group",
            "priority",
            "+AccountingGroup",
            "nice_user",
            "RequestDisk",
        ][..],
    );
    let piece = select(
        &[
            "\"", "\\", "\\\"", "\\\\", "'", "(", ")", "[", "]", "{", "}", "//", "/*", "*/", "||", "&&",
            "true", "1", "a", " ", "\t", ";", ",", ":", "?", "=", "#", "@", "ü", "\u{a0}", "0x1", "1e9", ".",
            "%", "~", "!", "<", "queue", "@=x", "\u{2028}",
        ][..],
    );
    let value = vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    (name, select(&["=", " = ", "= ", "\t=\t"][..]), value)
        .prop_map(|(name, is, value)| format!("{name}{is}{value}"))
}

/// Lines that would run programs, read files, expand macros, or change what is ours.
fn harmful_line() -> impl Strategy<Value = String> {
    let blank = || select(&["", " ", "\t", "  "][..]);
    let ours = "+HTCOperatorKey MY.HTCAck +htcoperatorinstance executable arguments environment \
                leave_in_queue initialdir transfer_input_files x509userproxy +Owner +Cmd +Iwd \
                +LeaveJobInQueue +OnExitRemove +Requirements +PreCmd +WantIOProxy hold log periodic_remove \
                on_exit_hold universe getenv queue max_materialize noop_job job_lease_duration \
                concurrency_limits$ +JobStatus use_oauth_services +TransferOutput";
    let ours = select(ours.split(' ').collect::<Vec<_>>());
    let odd = select(
        &[
            "queue 5",
            "queue in (a)",
            "queue x from ls |",
            "include : /etc/passwd",
            "include : ls |",
            "use x : y",
            "include command = ls",
            "+X @=end",
            "rank = $(X)",
            "rank = $ENV(HOME)",
            "rank = $$(Machine)",
            "+X = $",
            "+X = \"a\u{1f}b\"",
            "+X = 1\rqueue",
            "rank = 1 \\",
            "requirements = true) || (true",
            "if true",
            "else",
            "requirements = (/* ( */ true) || (true /* ) */)",
            "error : x",
            "+X = \"\\\\\"",
            "X = 1",
        ][..],
    );
    let set = (ours, blank(), blank(), "[a-z0-9]{1,5}")
        .prop_map(|(name, a, b, value)| format!("{name}{a}={b}{value}"));
    prop_oneof![set, odd.prop_map(str::to_owned)]
}
