//! Quoting: texts become ClassAd strings and submit values, or are refused; never something else.

/// A ClassAd string literal with this text.
/// <https://htcondor.readthedocs.io/en/latest/classads/classad-mechanism.html>
pub fn string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// A ClassAd list of strings, for `member()`.
pub fn list<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| string(&item.to_string())).collect();
    format!("{{{}}}", items.join(","))
}

/// Why a text cannot be the value of a submit command, or nothing when it can: a line break would
/// start another command, `$` would expand a macro, and 0x1F separates our columns.
pub fn unfit_for_submit(value: &str) -> Option<&'static str> {
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Some("has a control character");
    }
    value.contains('$').then_some("has a `$`, which HTCondor would expand")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside_their_string() {
        assert_eq!(string(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(list(["x", "y\""]), r#"{"x","y\""}"#);
    }

    #[test]
    fn what_could_become_submit_language_is_unfit() {
        for bad in ["a\nqueue 5", "a\rb", "$(ProcId)", "$ENV(HOME)", "a\u{1f}b", "a\0b"] {
            assert!(unfit_for_submit(bad).is_some(), "{bad:?}");
        }
        for good in ["", "x == \"y\"", "päth/with blank", "a\tb", "#not a comment"] {
            assert_eq!(unfit_for_submit(good), None, "{good:?}");
        }
    }
}
