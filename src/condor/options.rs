//! `htcopts`: the submit commands that a user may set, one row each. Text of the user is read as
//! `name = value` lines and never becomes submit language.

use super::{attributes, expression, quote};

/// What a command's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number, or an expression that gives one.
    Amount,
    /// A number, perhaps with a unit (`2 GB`), or an expression that gives one.
    Size,
    /// A whole number, perhaps negative.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A name: letters, digits, `_`, `-`, `.`, `@`.
    Name,
    /// Names separated by commas, each perhaps with `:n`.
    Names,
    /// A ClassAd expression.
    Expression,
}

/// Every command that may be set. To support another one, add a row. Any `request_<resource>` is an
/// [`Kind::Amount`] besides.
const ALLOWED: &[(&str, Kind)] = &[
    ("accounting_group", Kind::Name),
    ("accounting_group_user", Kind::Name),
    ("allowed_execute_duration", Kind::Amount),
    ("allowed_job_duration", Kind::Amount),
    ("concurrency_limits", Kind::Names),
    ("concurrency_limits_expr", Kind::Expression),
    ("gpus_maximum_capability", Kind::Amount),
    ("gpus_minimum_capability", Kind::Amount),
    ("gpus_minimum_memory", Kind::Size),
    ("gpus_minimum_runtime", Kind::Amount),
    ("max_job_retirement_time", Kind::Expression),
    ("nice_user", Kind::Boolean),
    ("priority", Kind::Integer),
    ("rank", Kind::Expression),
    ("request_cpus", Kind::Amount),
    ("request_disk", Kind::Size),
    ("request_gpus", Kind::Amount),
    ("request_memory", Kind::Size),
    ("require_gpus", Kind::Expression),
    ("requirements", Kind::Expression),
];

/// Other names of HTCondor's for the same, besides the attribute's name.
const SYNONYMS: &[(&str, &str)] = &[("job_prio", "priority"), ("prio", "priority")];

/// Attributes that a command sets besides the one with its own name.
const ATTRIBUTES: &[(&str, &str)] =
    &[("accounting_group", "AcctGroup"), ("accounting_group_user", "AcctGroupUser"), ("priority", "JobPrio")];

/// Commands of which HTCondor ignores one, or takes none of both.
const CONFLICTS: &[(&str, &str)] =
    &[("nice_user", "accounting_group"), ("concurrency_limits", "concurrency_limits_expr")];

/// Commands that HTCondor ignores without another one.
const NEEDS: &[(&str, &str)] = &[("gpus_*", "request_gpus"), ("require_gpus", "request_gpus")];

/// What is so anyway: harmless in texts that were made for `condor_submit`.
const SO_ANYWAY: &[(&str, &str)] = &[
    ("getenv", "false"),
    ("max_retries", "0"),
    ("notification", "never"),
    ("on_exit_remove", "true"),
    ("should_transfer_files", "yes"),
    ("universe", "vanilla"),
    ("when_to_transfer_output", "on_exit"),
];

/// What to do instead of the commands that people try.
const INSTEAD: &[(&str, &[&str])] = &[
    ("spec.queue says how many copies run", &["queue"]),
    ("spec.script says what is run", &["executable", "arguments", "transfer_executable", "shell"]),
    ("spec.script.image says in what", &["universe", "container_*", "docker_*", "*image"]),
    ("a job starts in a clean environment: set variables in spec.script.source", &["env*", "getenv"]),
    ("the operator starts no copy again that has ended by itself", &["max_retries", "retry_*", "success_*"]),
    (
        "the operator decides whether a job stays, is held or leaves; allowed_job_duration limits its time",
        &["on_exit_*", "periodic_*", "leave_in_queue", "hold*", "kill_sig*", "job_max_vacate_time", "want_*"],
    ),
    (
        "what the script writes to its working folder comes home, and its output is the log",
        &["*transfer*", "initialdir", "output*", "error", "input", "log*", "stream_*", "*_files"],
    ),
    ("credentials stay with the operator", &["*proxy*", "*oauth*", "*token*", "*cred*", "*x509*"]),
    ("the HTCJob's status tells what happens", &["notif*", "email*", "batch_name"]),
    ("nothing of the submit host is read or run", &["include*", "use*"]),
];

/// Bad lines that a refusal lists; it must fit in a condition.
const LINES_LISTED: usize = 5;

/// Characters that it shows of a line, and of a reason, which may repeat a long name.
const LINE_SHOWN: usize = 60;
const REASON_SHOWN: usize = 500;

/// Reads `htcopts`. An error names each bad line and the reason. `denied` are patterns of attributes
/// that this site does not want set.
pub fn parse(text: &str, denied: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut options: Vec<(String, String)> = Vec::new();
    let mut bad = Vec::new();
    for (n, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())) {
        if !line.is_empty()
            && !line.starts_with('#')
            && let Err(why) = add(line, denied, &mut options)
        {
            bad.push(format!("line {n} ({:?}): {}", cut(line, LINE_SHOWN), cut(&why, REASON_SHOWN)));
        }
    }
    let more = bad.len().saturating_sub(LINES_LISTED);
    bad.truncate(LINES_LISTED);
    match more {
        0 if bad.is_empty() => complete(options),
        0 => Err(bad.join("; ")),
        _ => Err(format!("{}; and {more} more", bad.join("; "))),
    }
}

fn add(line: &str, denied: &[String], options: &mut Vec<(String, String)>) -> Result<(), String> {
    let Some((name, value)) = option(line, denied)? else { return Ok(()) };
    // `+AccountingGroup` and `accounting_group` end up in one attribute.
    let target = |name: &str| {
        let name = name.trim_start_matches("MY.");
        row(name).map_or(name.to_owned(), |(known, _)| known).to_ascii_lowercase()
    };
    if options.iter().any(|(known, _)| target(known) == target(&name)) {
        return Err(format!("{name} is set twice"));
    }
    let mut others = CONFLICTS.iter().flat_map(|&(a, b)| [(a, b), (b, a)]);
    if let Some((_, other)) = others.find(|(known, other)| *known == name && has(options, other)) {
        return Err(format!("{name} cannot be set together with {other}"));
    }
    options.push((name, value));
    Ok(())
}

fn complete(options: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    match NEEDS.iter().find(|(name, needed)| has(&options, name) && !has(&options, needed)) {
        Some((name, needed)) => Err(format!("{name} does nothing without {needed}; set that too")),
        None => Ok(options),
    }
}

fn has(options: &[(String, String)], pattern: &str) -> bool {
    options.iter().any(|(name, _)| attributes::matches(pattern, name))
}

/// The option of a line; none where the line says what is so anyway.
fn option(line: &str, denied: &[String]) -> Result<Option<(String, String)>, String> {
    let (name, value) = line.split_once('=').ok_or_else(|| {
        let word = line.split(|c: char| c.is_whitespace() || c == ':').next().unwrap_or(line);
        instead(word).map_or("is not `name = value`".to_owned(), |why| format!("is not taken: {why}"))
    })?;
    let (name, value) = (name.trim(), value.trim());
    if let Some(why) = quote::unfit_for_submit(line) {
        return Err(why.to_owned());
    }
    if line.ends_with('\\') {
        return Err("ends with a backslash; each command needs to be on one line".to_owned());
    }
    let prefix = name.get(..3).filter(|prefix| prefix.eq_ignore_ascii_case("MY."));
    match name.strip_prefix('+').or_else(|| prefix.map(|_| &name[3..])) {
        Some(name) => attribute(name, value, denied).map(Some),
        None => command(name, value, denied),
    }
}

fn attribute(name: &str, value: &str, denied: &[String]) -> Result<(String, String), String> {
    attributes::check_name(name, denied)?;
    if let Some((command, _)) = row(name) {
        check_site(&command, denied)?;
    }
    if attributes::is_text(name) {
        if !value.starts_with('"') {
            return Err(format!("{name} is a text: write +{name} = \"{}\"", value.replace('"', "")));
        }
    } else if let Some((known, _)) = row(name) {
        return Err(format!("write {known} = … instead"));
    }
    expression::check(value)?;
    Ok((format!("MY.{name}"), value.to_owned()))
}

fn command(name: &str, value: &str, denied: &[String]) -> Result<Option<(String, String)>, String> {
    let lower = name.to_ascii_lowercase();
    if SO_ANYWAY.iter().any(|(known, so)| *known == lower && so.eq_ignore_ascii_case(value)) {
        return Ok(None);
    }
    let Some((name, kind)) = row(name) else {
        let allowed: Vec<&str> = ALLOWED.iter().map(|(allowed, _)| *allowed).collect();
        return Err(match instead(&lower) {
            Some(why) => format!("{name} may not be set: {why}"),
            None => format!("{name} may not be set; allowed are {} and +Attribute", allowed.join(", ")),
        });
    };
    check_site(&name, denied)?;
    check(kind, value)?;
    Ok(Some((name, value.to_owned())))
}

/// What a site denies as an attribute cannot be set as a command either, nor by another name of it.
fn check_site(command: &str, denied: &[String]) -> Result<(), String> {
    let others = ATTRIBUTES.iter().filter(|(known, _)| *known == command).map(|(_, attribute)| *attribute);
    let own = plain(command);
    let is_denied = |attribute: &str| denied.iter().any(|pattern| attributes::matches(pattern, attribute));
    match std::iter::once(own.as_str()).chain(others).any(is_denied) {
        true => Err(format!("{command} may not be set at this site")),
        false => Ok(()),
    }
}

/// The row of a command. HTCondor takes the name of the attribute too: `RequestCpus`.
fn row(name: &str) -> Option<(String, Kind)> {
    let same = |known: &str| plain(known) == plain(name);
    let canonical = SYNONYMS.iter().find(|(other, _)| same(other)).map_or(name, |(_, name)| name);
    if let Some((known, kind)) = ALLOWED.iter().find(|(known, _)| plain(known) == plain(canonical)) {
        return Some(((*known).to_owned(), *kind));
    }
    let resource =
        name.get(..8).filter(|prefix| prefix.eq_ignore_ascii_case("request_")).map(|_| &name[8..])?;
    let good = !resource.is_empty() && resource.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    good.then(|| (format!("request_{resource}"), Kind::Amount))
}

fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

fn instead(name: &str) -> Option<&'static str> {
    let meant = |patterns: &[&str]| patterns.iter().any(|pattern| attributes::matches(pattern, name));
    INSTEAD.iter().find(|(_, patterns)| meant(patterns)).map(|(why, _)| *why)
}

fn check(kind: Kind, value: &str) -> Result<(), String> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    let wrong = |example: &str| Err(format!("{value:?} is no value for it; write {example}"));
    let good = |is_good: bool, example: &str| if is_good { Ok(()) } else { wrong(example) };
    match kind {
        Kind::Size if is_size(value) => Ok(()),
        // A text or a word compares with no number: such a job would wait for ever.
        Kind::Size if is_word(value) => wrong("an amount such as 4096 or 4 GB, without quotes"),
        Kind::Amount if is_word(value) => wrong("a number, without quotes"),
        Kind::Size | Kind::Amount | Kind::Expression => expression::check(value),
        Kind::Integer => good(value.parse::<i32>().is_ok(), "a whole number"),
        Kind::Boolean => {
            good(["true", "false"].contains(&value.to_ascii_lowercase().as_str()), "true or false")
        }
        Kind::Name => good(!value.is_empty() && value.chars().all(name), "a name without quotes and blanks"),
        Kind::Names => {
            let all = value.chars().all(|c| name(c) || matches!(c, ',' | ':' | ' '));
            good(all && value.contains(name), "names separated by commas, without quotes")
        }
    }
}

/// A number with a unit that `condor_submit` knows.
fn is_size(value: &str) -> bool {
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let unit = value[digits.len()..].trim_start().to_ascii_uppercase();
    let number = digits.len() <= 15 && digits.starts_with(|c: char| c.is_ascii_digit());
    let number = number && digits.parse::<f64>().is_ok();
    number && matches!(unit.as_str(), "" | "K" | "KB" | "M" | "MB" | "G" | "GB" | "T" | "TB")
}

fn is_word(value: &str) -> bool {
    let word = |c: char| c.is_ascii_alphabetic() || c == '_';
    value.starts_with('"') || (value.chars().all(word) && !value.eq_ignore_ascii_case("undefined"))
}

fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
