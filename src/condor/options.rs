//! `htcopts`: the submit commands that a user may set, one row each. Text of the user is read as
//! `name = value` lines and never becomes submit language.

use std::collections::HashSet;

use super::attributes::{self, SiteAttributes};
use super::{expression, quote, steps};

/// What a command's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number, or an expression that gives one.
    Amount,
    /// A number, perhaps with a unit (`2 GB`), or an expression that gives one.
    Size,
    /// A whole number; above 0 only where the site allows it, since jobs of all share one account.
    Priority,
    /// `true` or `false`.
    Boolean,
    /// A name: letters, digits, `_`, `-`, `.`, `@`.
    Name,
    /// Names separated by commas, each perhaps with `:n`.
    Names,
    /// A ClassAd expression.
    Expression,
}

impl Kind {
    /// Whether its value may be an expression.
    fn is_evaluated(self) -> bool {
        matches!(self, Kind::Amount | Kind::Size | Kind::Expression)
    }
}

/// Every command that may be set, and the attributes that it sets: who denies one of them denies the command.
/// To support another one, add a row. Any `request_<resource>` is an [`Kind::Amount`] besides.
const ALLOWED: &[(&str, Kind, &str)] = &[
    ("accounting_group", Kind::Name, "AccountingGroup AcctGroup AcctGroupUser"),
    ("accounting_group_user", Kind::Name, "AccountingGroup AcctGroupUser"),
    ("allowed_execute_duration", Kind::Amount, "AllowedExecuteDuration"),
    ("allowed_job_duration", Kind::Amount, "AllowedJobDuration"),
    ("concurrency_limits", Kind::Names, "ConcurrencyLimits"),
    ("concurrency_limits_expr", Kind::Expression, "ConcurrencyLimits"),
    ("gpus_maximum_capability", Kind::Amount, "GPUsMaxCapability RequireGPUs"),
    ("gpus_minimum_capability", Kind::Amount, "GPUsMinCapability RequireGPUs"),
    ("gpus_minimum_memory", Kind::Size, "GPUsMinMemory RequireGPUs"),
    ("gpus_minimum_runtime", Kind::Amount, "GPUsMinRuntime RequireGPUs"),
    ("max_job_retirement_time", Kind::Expression, "MaxJobRetirementTime"),
    ("nice_user", Kind::Boolean, "NiceUser AccountingGroup AcctGroup AcctGroupUser MaxJobRetirementTime"),
    ("priority", Kind::Priority, JOB_PRIO),
    ("rank", Kind::Expression, "Rank"),
    ("request_cpus", Kind::Amount, "RequestCpus"),
    ("request_disk", Kind::Size, "RequestDisk"),
    ("request_gpus", Kind::Amount, "RequestGPUs"),
    ("request_memory", Kind::Size, "RequestMemory"),
    ("require_gpus", Kind::Expression, "RequireGPUs"),
    ("requirements", Kind::Expression, "Requirements"),
];

/// The attribute by which the jobs of one account go before each other.
const JOB_PRIO: &str = "JobPrio";

/// Other names of HTCondor's for the same, besides the attribute's name.
const SYNONYMS: &[(&str, &str)] = &[("job_prio", "priority"), ("prio", "priority")];

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

/// Bytes of a text, and of one value, and how many options it has. What is larger is no list of options, and
/// each job's ad would have a copy in the schedd's memory.
const TEXT_MAX: usize = 16 << 10;
const VALUE_MAX: usize = 4 << 10;
const OPTIONS_MAX: usize = 64;

/// So many bytes more than people write we may write of an option: `MY.` for `+`, blanks, a command's whole name.
const WRITTEN_OUT: usize = 16;

/// Bad lines that a refusal lists; it must fit in a condition.
const LINES_LISTED: usize = 5;

/// Characters that it shows of a line, and of a reason, which may repeat a long name.
const LINE_SHOWN: usize = 60;
const REASON_SHOWN: usize = 500;

/// Reads `htcopts`. An error names each bad line and the reason.
pub fn parse(text: &str, site: &SiteAttributes) -> Result<Vec<(String, String)>, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("has {} bytes; write at most {TEXT_MAX}", text.len()));
    }
    let is_option = |line: &str| !line.is_empty() && !line.starts_with('#');
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    read(lines.filter(|(_, line)| is_option(line)), site)
}

/// Judges options that were taken before, by another version or at other settings of the site.
pub fn check_again(options: &[(String, String)], site: &SiteAttributes) -> Result<(), String> {
    let lines: Vec<String> = options.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let bytes = lines.iter().map(String::len).sum::<usize>();
    if bytes > TEXT_MAX + OPTIONS_MAX * WRITTEN_OUT {
        return Err(format!("has {bytes} bytes; write at most {TEXT_MAX}"));
    }
    read(lines.iter().enumerate().map(|(n, line)| (n + 1, line.as_str())), site).map(drop)
}

fn read<'a>(
    lines: impl Iterator<Item = (usize, &'a str)> + Clone,
    site: &SiteAttributes,
) -> Result<Vec<(String, String)>, String> {
    let count = lines.clone().count();
    if count > OPTIONS_MAX {
        return Err(format!("has {count} options; write at most {OPTIONS_MAX}"));
    }
    let mut read = Read { site, options: Vec::new(), targets: HashSet::new() };
    let mut bad = Vec::new();
    for (n, line) in lines {
        if let Err(why) = read.add(line) {
            bad.push(format!("line {n} ({:?}): {}", cut(line, LINE_SHOWN), cut(&why, REASON_SHOWN)));
        }
    }
    let more = bad.len().saturating_sub(LINES_LISTED);
    bad.truncate(LINES_LISTED);
    match more {
        0 if bad.is_empty() => complete(read.options),
        0 => Err(bad.join("; ")),
        _ => Err(format!("{}; and {more} more", bad.join("; "))),
    }
}

/// What has been read so far.
struct Read<'a> {
    site: &'a SiteAttributes,
    options: Vec<(String, String)>,
    /// What is set: `+AccountingGroup` and `accounting_group` end up in one attribute.
    targets: HashSet<String>,
}

impl Read<'_> {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let Some((name, value)) = option(line, self.site)? else { return Ok(()) };
        let plain_name = name.trim_start_matches("MY.");
        let target = row(plain_name).map_or_else(|| plain_name.to_owned(), |row| row.command);
        if !self.targets.insert(target.to_ascii_lowercase()) {
            return Err(format!("{name} is set twice"));
        }
        let mut others = CONFLICTS.iter().flat_map(|&(a, b)| [(a, b), (b, a)]);
        if let Some((_, other)) = others.find(|(known, other)| *known == name && has(&self.options, other)) {
            return Err(format!("{name} cannot be set together with {other}"));
        }
        self.options.push((name, value));
        Ok(())
    }
}

fn complete(options: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    match NEEDS.iter().find(|(name, needed)| has(&options, name) && !has(&options, needed)) {
        Some((name, needed)) => Err(format!("{name} does nothing without {needed}; set that too")),
        None => steps::check(&expressions(&options)).map(|()| options),
    }
}

/// The values that HTCondor evaluates, each with the attributes that it becomes.
fn expressions(options: &[(String, String)]) -> Vec<(Vec<String>, &str)> {
    let evaluated = |(name, _): &(String, String)| match name.strip_prefix("MY.") {
        Some(attribute) => Some(vec![attribute.to_owned()]),
        None => row(name).filter(|row| row.kind.is_evaluated()).map(|row| row.sets),
    };
    options.iter().filter_map(|option| Some((evaluated(option)?, option.1.as_str()))).collect()
}

fn has(options: &[(String, String)], pattern: &str) -> bool {
    options.iter().any(|(name, _)| attributes::matches(pattern, name))
}

/// The option of a line; none where the line says what is so anyway.
fn option(line: &str, site: &SiteAttributes) -> Result<Option<(String, String)>, String> {
    let (name, value) = line.split_once('=').ok_or_else(|| {
        let word = line.split(|c: char| c.is_whitespace() || c == ':').next().unwrap_or(line);
        instead(word).map_or("is not `name = value`".to_owned(), |why| format!("is not taken: {why}"))
    })?;
    let (name, value) = (name.trim(), value.trim());
    if value.len() > VALUE_MAX {
        return Err(format!("has a value of {} bytes; write at most {VALUE_MAX}", value.len()));
    }
    if let Some(why) = quote::unfit_for_submit(line) {
        return Err(why.to_owned());
    }
    if line.ends_with('\\') {
        return Err("ends with a backslash; each command needs to be on one line".to_owned());
    }
    let prefix = name.get(..3).filter(|prefix| prefix.eq_ignore_ascii_case("MY."));
    match name.strip_prefix('+').or_else(|| prefix.map(|_| &name[3..])) {
        Some(name) => attribute(name, value, site).map(Some),
        None => command(name, value, site),
    }
}

fn attribute(name: &str, value: &str, site: &SiteAttributes) -> Result<(String, String), String> {
    let is_text = attributes::is_text(name);
    match row(name) {
        Some(row) if !is_text => {
            check_site(&row, site)?;
            return Err(format!("write {} = … instead", row.command));
        }
        Some(row) => check_site(&row, site)?,
        None => {}
    }
    attributes::check_name(name, site)?;
    if is_text && !value.starts_with('"') {
        return Err(format!("{name} is a text: write +{name} = \"{}\"", value.replace('"', "")));
    }
    expression::check(value)?;
    Ok((format!("MY.{name}"), value.to_owned()))
}

fn command(name: &str, value: &str, site: &SiteAttributes) -> Result<Option<(String, String)>, String> {
    let lower = name.to_ascii_lowercase();
    if SO_ANYWAY.iter().any(|(known, so)| *known == lower && so.eq_ignore_ascii_case(value)) {
        return Ok(None);
    }
    let Some(row) = row(name) else {
        let allowed: Vec<&str> = ALLOWED.iter().map(|(allowed, ..)| *allowed).collect();
        return Err(match instead(&lower) {
            Some(why) => format!("{name} may not be set: {why}"),
            None => format!("{name} may not be set; allowed are {} and +Attribute", allowed.join(", ")),
        });
    };
    check_site(&row, site)?;
    check(row.kind, value, site)?;
    Ok(Some((row.command, value.to_owned())))
}

/// What a site denies as an attribute cannot be set by a command either, by whatever name.
fn check_site(row: &Row, site: &SiteAttributes) -> Result<(), String> {
    let own = plain(&row.command);
    match row
        .sets
        .iter()
        .map(String::as_str)
        .chain([own.as_str()])
        .find(|a| attributes::is_among(&site.denied, a))
    {
        Some(_) => Err(format!("{} may not be set at this site", row.command)),
        None => Ok(()),
    }
}

/// A command that may be set.
struct Row {
    command: String,
    kind: Kind,
    /// The attributes that it sets.
    sets: Vec<String>,
}

/// The row of a command. HTCondor takes the name of the attribute too: `RequestCpus`.
fn row(name: &str) -> Option<Row> {
    let same = |known: &str| plain(known) == plain(name);
    let canonical = SYNONYMS.iter().find(|(other, _)| same(other)).map_or(name, |(_, name)| name);
    if let Some((known, kind, sets)) = ALLOWED.iter().find(|(known, ..)| plain(known) == plain(canonical)) {
        let sets = sets.split_whitespace().map(str::to_owned).collect();
        return Some(Row { command: (*known).to_owned(), kind: *kind, sets });
    }
    let resource =
        name.get(..8).filter(|prefix| prefix.eq_ignore_ascii_case("request_")).map(|_| &name[8..])?;
    let good = !resource.is_empty() && resource.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // A resource of a pool's own; what HTCondor itself does by an attribute of such a name is none.
    let attribute = format!("Request{resource}");
    let free = good && attributes::check_name(&attribute, &SiteAttributes::default()).is_ok();
    free.then(|| Row { command: format!("request_{resource}"), kind: Kind::Amount, sets: vec![attribute] })
}

fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

fn instead(name: &str) -> Option<&'static str> {
    let meant = |patterns: &[&str]| patterns.iter().any(|pattern| attributes::matches(pattern, name));
    INSTEAD.iter().find(|(_, patterns)| meant(patterns)).map(|(why, _)| *why)
}

fn check(kind: Kind, value: &str, site: &SiteAttributes) -> Result<(), String> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    let wrong = |example: &str| Err(format!("{value:?} is no value for it; write {example}"));
    let good = |is_good: bool, example: &str| if is_good { Ok(()) } else { wrong(example) };
    match kind {
        Kind::Size if is_size(value) => Ok(()),
        // A text or a word compares with no number: such a job would wait for ever.
        Kind::Size if is_word(value) => wrong("an amount such as 4096 or 4 GB, without quotes"),
        Kind::Amount if is_word(value) => wrong("a number, without quotes"),
        Kind::Size | Kind::Amount | Kind::Expression => expression::check(value),
        Kind::Priority => match value.parse::<i32>() {
            Ok(n) if n > 0 && !attributes::is_among(&site.allowed, JOB_PRIO) => Err(format!(
                "{n} would go before the jobs of others, which are of the same account in the pool; write 0 or \
                 less, or ask the operator's administrator for HTC_ALLOW_ATTRIBUTES={JOB_PRIO}"
            )),
            result => good(result.is_ok(), "a whole number"),
        },
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
