//! `htcopts`: the submit commands that a user may set, one row each. Text of the user is read as
//! `name = value` lines and never becomes submit language.

use super::quote;

/// What a command's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A whole number, perhaps with a unit (`2 GB`).
    Amount,
    /// A whole number, perhaps negative.
    Integer,
    /// A name: letters, digits, `_`, `-`, `.`, `@`.
    Name,
    /// Names separated by commas, each perhaps with `:n`.
    Names,
    /// A ClassAd expression.
    Expression,
}

/// Every command that may be set. To support another one, add a row.
const ALLOWED: &[(&str, Kind)] = &[
    ("accounting_group", Kind::Name),
    ("accounting_group_user", Kind::Name),
    ("concurrency_limits", Kind::Names),
    ("priority", Kind::Integer),
    ("rank", Kind::Expression),
    ("request_cpus", Kind::Amount),
    ("request_disk", Kind::Amount),
    ("request_gpus", Kind::Amount),
    ("request_memory", Kind::Amount),
    ("requirements", Kind::Expression),
];

/// Attributes that may be set by `+Name` or `MY.Name`. Any other could be one that HTCondor's own
/// book-keeping, files or credentials live on.
const ATTRIBUTES: &[&str] =
    &["AccountingGroup", "DESIRED_Sites", "JobFlavour", "MaxRuntime", "ProjectName", "WantOS"];

/// Reads `htcopts`. An error names the line and the reason.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut options: Vec<(String, String)> = Vec::new();
    for (n, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = option(line).map_err(|why| format!("line {n} ({line:?}): {why}"))?;
        if options.iter().any(|(known, _)| *known == name) {
            return Err(format!("line {n} ({line:?}): {name} is set twice"));
        }
        options.push((name, value));
    }
    Ok(options)
}

fn option(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once('=').ok_or("is not `name = value`")?;
    let (name, value) = (name.trim(), value.trim());
    if let Some(why) = quote::unfit_for_submit(line) {
        return Err(why.to_owned());
    }
    let attribute = name
        .strip_prefix('+')
        .or_else(|| name.get(..3).filter(|p| p.eq_ignore_ascii_case("MY.")).map(|_| &name[3..]));
    if let Some(attribute) = attribute {
        check_attribute(attribute)?;
        check_expression(value)?;
        return Ok((format!("MY.{attribute}"), value.to_owned()));
    }
    let name = name.to_ascii_lowercase();
    let Some((_, kind)) = ALLOWED.iter().find(|(allowed, _)| *allowed == name) else {
        let allowed: Vec<&str> = ALLOWED.iter().map(|(allowed, _)| *allowed).collect();
        return Err(format!("{name} may not be set; allowed are {} and +Attribute", allowed.join(", ")));
    };
    check(*kind, value)?;
    Ok((name, value.to_owned()))
}

fn check(kind: Kind, value: &str) -> Result<(), String> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    let good = match kind {
        Kind::Amount => {
            let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
            digits.parse::<u64>().is_ok() && value.len() <= digits.len() + 3
        }
        Kind::Integer => value.parse::<i32>().is_ok(),
        Kind::Name => !value.is_empty() && value.chars().all(name),
        Kind::Names => !value.is_empty() && value.chars().all(|c| name(c) || matches!(c, ',' | ':' | ' ')),
        Kind::Expression => return check_expression(value),
    };
    if good { Ok(()) } else { Err(format!("{value:?} is no value for it")) }
}

fn check_attribute(name: &str) -> Result<(), String> {
    if ATTRIBUTES.iter().any(|allowed| allowed.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(format!("the attribute {name} may not be set; allowed are {}", ATTRIBUTES.join(", ")))
}

/// Quotes and brackets must close, so that nothing of ours that follows is swallowed.
fn check_expression(text: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => loop {
                match chars.next() {
                    Some('\\') => drop(chars.next()),
                    Some('"') => break,
                    Some(_) => {}
                    None => return Err("has a string that does not end".to_owned()),
                }
            },
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => return Err(format!("has a {c} too many")),
            _ => {}
        }
    }
    match (open.pop(), text.is_empty()) {
        (Some(missing), _) => Err(format!("lacks a {missing}")),
        (None, true) => Err("has no value".to_owned()),
        (None, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_commands_and_attributes_are_taken_as_they_stand() {
        let options = parse(
            "# mine\nRequest_Memory = 2 GB\n\n+JobFlavour = \"espresso\"\nrequirements = (OpSys == \"LINUX\")\n",
        );
        let expected = [
            ("request_memory", "2 GB"),
            ("MY.JobFlavour", "\"espresso\""),
            ("requirements", "(OpSys == \"LINUX\")"),
        ];
        assert_eq!(options.unwrap(), expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn everything_else_is_refused_with_its_line() {
        for bad in [
            "queue 5",
            "queue = 5",
            "executable = /bin/sh",
            "include : /etc/passwd",
            "x509userproxy = /tmp/x",
            "+HTCOperatorUid = \"x\"",
            "MY.HTCAck = true",
            "+LeaveInQueue = true",
            "request_cpus = $(N)",
            "request_cpus = many",
            "rank = (1",
            "rank = 1)",
            "rank = \"x",
            "rank =",
            "+1x = 2",
            "priority = 1\u{1f}2",
            "rank = 1\nrank = 2",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.starts_with("line "), "{bad:?}: {error}");
        }
    }
}
