//! Whether a text is one ClassAd expression, as far as that decides what else it could become: it
//! must end where it ends for us, whatever brackets, quotes or comments are in it.

/// Operators and separators of the language.
const SIGNS: &str = "+-*/%<>=!&|^~?:.,;";

/// Brackets in each other: tools and daemons of HTCondor read them by recursion.
const DEPTH_MAX: usize = 64;

/// More digits than this do not fit in 64 bits: HTCondor reads another number, in silence.
const DIGITS_MAX: usize = 18;

/// The first thing that is wrong, as the end of a sentence.
pub fn check(text: &str) -> Result<(), String> {
    let (mut open, mut after_value) = (Vec::new(), false);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (token, tail) = rest.split_at(token_end(c, rest)?);
        rest = tail;
        let is_value = c == '"' || (is_word(c) && !matches!(token, "is" | "isnt"));
        if is_value && after_value {
            return Err("has two values with nothing between them".to_owned());
        }
        if open.len() == DEPTH_MAX && matches!(c, '(' | '[' | '{') {
            return Err(format!("has more than {DEPTH_MAX} brackets in each other"));
        }
        match c {
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(c) => return Err(format!("has a {c} too many")),
            // It could hide a bracket from us.
            '/' if rest.starts_with(['/', '*']) => return Err("has a comment".to_owned()),
            ';' if !open.contains(&']') => return Err("has a ; outside of [ ]".to_owned()),
            '#' => return Err("has a # outside of quotes; a comment needs a line of its own".to_owned()),
            '"' | ')' | ']' | '}' | ' ' | '\t' => {}
            c if is_word(c) || SIGNS.contains(c) => {}
            c => return Err(format!("has a {c} outside of double quotes")),
        }
        after_value = is_value || matches!(c, ')' | ']' | '}') || (after_value && matches!(c, ' ' | '\t'));
    }
    match (open.pop(), text.trim().is_empty()) {
        (Some(missing), _) => Err(format!("lacks a {missing}")),
        (None, true) => Err("has no value".to_owned()),
        (None, false) => Ok(()),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// How long the token is that begins with `first`.
fn token_end(first: char, text: &str) -> Result<usize, String> {
    match first {
        '"' => string_end(text),
        c if is_word(c) => {
            let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
            let long = first.is_ascii_digit() && end > DIGITS_MAX;
            if long { Err("has a number that is too long".to_owned()) } else { Ok(end) }
        }
        c => Ok(c.len_utf8()),
    }
}

fn string_end(text: &str) -> Result<usize, String> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok(at + 1),
            // Where a string ends with a backslash, versions of HTCondor do not agree.
            '\\' if text[at..].starts_with(r#"\\""#) => {
                return Err("has a string that ends with a backslash".to_owned());
            }
            // HTCondor makes other characters of other escapes, such as a separator of `\036`.
            '\\' => match chars.next() {
                Some((_, '"' | '\\')) => {}
                _ => {
                    return Err(
                        r#"has a \ in a string before neither " nor \; write \\ for one \"#.to_owned()
                    );
                }
            },
            _ => {}
        }
    }
    Err("has a string that does not end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_an_expression() {
        for good in [
            "5",
            "\"a, b # c // d 'e' é\"",
            "(OpSys == \"LINUX\") && regexp(\"^a\\\\.b\", Machine)",
            "x.y[2] =?= undefined ? {1, 2} : [a = 1; b = \"]\"]",
            "\"a \\\" b\"",
            "~5 | 3 & -2 ^ 1 << 2",
            "a is b && c isnt 0.5e-3",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn nothing_reaches_out_of_it() {
        for bad in [
            "",
            " ",
            "(1",
            "1)",
            "true) || (true",
            "{1, (2]}",
            "\"x",
            "\"x\\\"",
            "\"x\\\\\"",
            "x \\",
            "1 // x",
            "/* ( */ true) || (true /* ) */",
            "'a b' + 1",
            "`x`",
            "1; 2",
            "5 5",
            "2 MiB",
            "\"a\" \"b\"",
            "5 # five",
            "9999999999999999999",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_escape_is_a_quote_or_a_backslash_and_no_other_character() {
        assert_eq!(check(r#""a \" b \\. c""#), Ok(()));
        for bad in [r#""\036""#, r#""\n""#, r#""\x1f""#, r#""^a\.b""#, r#""\'""#, r#""\""#] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(r#""\036""#).unwrap_err().contains(r"write \\ for one \"));
    }

    #[test]
    fn brackets_stand_in_each_other_only_so_deep() {
        let nested = |open: &str, close: &str, n| format!("{}1{}", open.repeat(n), close.repeat(n));
        for (open, close) in [("(", ")"), ("{", "}"), ("[a=", "]")] {
            assert_eq!(check(&nested(open, close, DEPTH_MAX)), Ok(()));
            assert!(check(&nested(open, close, DEPTH_MAX + 1)).unwrap_err().contains("more than 64"));
        }
        assert_eq!(check("(1)+".repeat(1_000).trim_end_matches('+')), Ok(()), "side by side is not deep");
    }
}
