//! `$(NAME)` in commands, arguments and values, as the kubelet expands it: callers send it unexpanded.
//!
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>

use super::env::STRING_MAX;

/// The text with every reference to a known variable replaced. `$$` is a dollar; what is not known,
/// or not closed, stays as it stands. What is cut off behind [`STRING_MAX`] bytes is longer than any
/// caller takes: a short text can name a long value many times.
pub fn expand<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // No longer looked for where there is none.
    let end = text.rfind(')').unwrap_or_default();
    while let Some(at) = rest.find('$').filter(|_| out.len() <= STRING_MAX) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let is_closed = text.len() - after.len() < end;
        rest = if let Some(behind) = after.strip_prefix('$') {
            out.push('$');
            behind
        } else if let Some((name, behind)) =
            after.strip_prefix('(').filter(|_| is_closed).and_then(|open| open.split_once(')'))
        {
            match value(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            behind
        } else {
            out.push('$');
            after
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expanded(text: &str) -> String {
        expand(text, |name| match name {
            "A" => Some("1"),
            "B" => Some("$(A)"),
            "" => Some("empty name"),
            _ => None,
        })
    }

    #[test]
    fn references_are_replaced_as_the_kubelet_does() {
        for (text, expected) in [
            ("x$(A)y$(A)", "x1y1"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(NONE)", "$(NONE)"),
            ("$(A", "$(A"),
            ("$A ${A} $", "$A ${A} $"),
            ("$(B)", "$(A)"),
            ("$", "$"),
            ("$$$$", "$$"),
            ("$(A)$", "1$"),
            ("é$(A)é", "é1é"),
        ] {
            assert_eq!(expanded(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_value_that_is_named_often_takes_no_more_memory_than_one() {
        let long = "x".repeat(STRING_MAX);
        let out = expand(&"$(A)".repeat(10_000), |_| Some(&long));
        assert!(out.len() > STRING_MAX && out.len() < 3 * STRING_MAX);
    }

    /// Where the end of each is looked for this takes more than a minute.
    #[test]
    fn references_that_are_never_closed_are_looked_at_once() {
        let text = "$(".repeat(8 << 20);
        assert!(expand(&text, |_| None) == text);
    }

    proptest! {
        #[test]
        fn a_text_without_a_dollar_stays_as_it_is(text in "[^$]*") {
            prop_assert_eq!(expanded(&text), text);
        }

        #[test]
        fn doubled_dollars_keep_any_text(text in ".*") {
            prop_assert_eq!(expanded(&text.replace('$', "$$")), text);
        }
    }
}
