//! How much there is to evaluate in a user's expressions. HTCondor evaluates an attribute once more at each
//! reference: forty attributes, each of which names the one before twice, take the schedd and the negotiator
//! 2^40 evaluations, or as many bytes.

use std::collections::HashMap;

/// Steps that the evaluation of one value takes at most. Those that people write take a dozen.
const STEPS_MAX: u64 = 1_000;

/// Functions whose value may be many times longer than what they are given, or that evaluate it many times.
const GROWING: &[&str] = &[
    "countmatches",
    "envv1tov2",
    "evalineachcontext",
    "join",
    "listtoargs",
    "regexps",
    "replace",
    "replaceall",
];

/// A call of one of them counts as so many steps of all that it is part of.
const GROWTH: u64 = 30;

/// Judges expressions, each with the attributes that it becomes. An error is a sentence.
pub fn check(values: &[(Vec<String>, &str)]) -> Result<(), String> {
    let mut definitions = Definitions::default();
    for (names, text) in values {
        definitions.read(names, text)?;
    }
    let mut known = HashMap::new();
    (0..definitions.all.len()).try_for_each(|n| definitions.steps(n, &mut Vec::new(), &mut known).map(drop))
}

/// What is defined, by an option or in a record, whatever the scope: names that are the same count as one.
#[derive(Default)]
struct Definitions {
    all: Vec<Definition>,
    by_name: HashMap<String, Vec<usize>>,
}

#[derive(Default)]
struct Definition {
    name: String,
    /// Every word in it, as often as it stands there.
    words: Vec<String>,
    /// What is defined in it, in a record.
    parts: Vec<usize>,
    growth: u32,
}

impl Definitions {
    fn read(&mut self, names: &[String], text: &str) -> Result<(), String> {
        let outer = self.define(names);
        // The definition that a word belongs to, and the brackets that were open where it began.
        let (mut within, mut open) = (vec![(outer, 0_usize)], 0_usize);
        let tokens = tokens(text);
        for (n, token) in tokens.iter().enumerate() {
            let (now, begun) = within.last().copied().unwrap_or((outer, 0));
            let next = tokens.get(n + 1).copied();
            match *token {
                "(" | "[" | "{" => open += 1,
                ")" | "]" | "}" | ";" => {
                    if matches!(*token, ";" | "]") && begun == open && within.len() > 1 {
                        within.pop();
                    }
                    open -= usize::from(*token != ";").min(open);
                }
                word if is_word(word) => {
                    let word = word.to_ascii_lowercase();
                    if word == "eval" && next == Some("(") {
                        return Err("eval(…) is not taken: write what it is to evaluate".to_owned());
                    }
                    let is_growing = next == Some("(") && GROWING.contains(&word.as_str());
                    self.all[now].growth += u32::from(is_growing);
                    if next == Some("=") {
                        // Records in each other may have the same name in each, which are not one another.
                        let part = self.define(&[word]);
                        self.all[now].parts.push(part);
                        within.push((part, open));
                    } else if !is_of_machine(&tokens[..n]) {
                        self.all[now].words.push(word);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn define(&mut self, names: &[String]) -> usize {
        let n = self.all.len();
        let name = names.first().cloned().unwrap_or_default();
        self.all.push(Definition { name, ..Definition::default() });
        for name in names {
            self.by_name.entry(name.to_ascii_lowercase()).or_default().push(n);
        }
        n
    }

    /// The steps of one definition; `way` are those that led to it.
    fn steps(&self, n: usize, way: &mut Vec<usize>, known: &mut HashMap<usize, u64>) -> Result<u64, String> {
        if let Some(steps) = known.get(&n) {
            return Ok(*steps);
        }
        let Definition { name, words, parts, growth } = &self.all[n];
        if way.contains(&n) {
            return Err(format!("{name} refers to itself"));
        }
        let too_many = || {
            format!(
                "{name} takes more than {STEPS_MAX} steps: HTCondor evaluates an attribute once more at each \
                 reference, so let it refer to fewer attributes that are set here"
            )
        };
        if way.len() as u64 > STEPS_MAX {
            return Err(too_many());
        }
        way.push(n);
        let mut steps = 1;
        let named = words.iter().filter_map(|word| self.by_name.get(word)).flatten();
        for other in named.chain(parts) {
            steps += self.steps(*other, way, known)?;
            if steps > STEPS_MAX {
                return Err(too_many());
            }
        }
        way.pop();
        let steps = steps.saturating_mul(GROWTH.saturating_pow(*growth));
        if steps > STEPS_MAX {
            return Err(too_many());
        }
        known.insert(n, steps);
        Ok(steps)
    }
}

/// Whether the next word is an attribute of the machine, by what stands before it: `TARGET.`.
fn is_of_machine(before: &[&str]) -> bool {
    match before {
        [.., ".", target, "."] if is_word(target) => false,
        [.., target, "."] => target.eq_ignore_ascii_case("target"),
        _ => false,
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Words, numbers and signs, without strings and blanks. Of the signs that begin with `=` each is one.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = match first {
            '"' => string_end(rest),
            c if is_part(c) => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
            '=' => {
                ["=?=", "=!=", "=="].iter().find(|sign| rest.starts_with(**sign)).map_or(1, |sign| sign.len())
            }
            c => c.len_utf8(),
        };
        let (token, tail) = rest.split_at(end);
        rest = tail;
        // `<=`, `>=` and `!=` are no definitions.
        let is_compared = token == "=" && matches!(tokens.last(), Some(&("<" | ">" | "!")));
        if first != '"' && !first.is_whitespace() && !is_compared {
            tokens.push(token);
        }
    }
    tokens
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(values: &[(&str, &str)]) -> Result<(), String> {
        let values: Vec<_> = values.iter().map(|(name, text)| (vec![(*name).to_owned()], *text)).collect();
        check(&values)
    }

    #[test]
    fn what_people_write_takes_few_steps() {
        for good in [
            &[("Requirements", "(TARGET.OpSys == \"LINUX\") && Big && Big"), ("Big", "RequestMemory > 4096")]
                [..],
            &[("Rank", "Rank1 + Rank2"), ("Rank1", "Base * 2"), ("Rank2", "Base * 3"), ("Base", "Mips")],
            &[("Arch", "TARGET.Arch"), ("X", "[a = 1; b = a].b"), ("Y", "[a = 1; b = a].b")],
            &[("A", "B == 1 || B <= 2 || B =?= 3 || B =!= 4 || B != 5 || B >= 6"), ("B", "\"A A A\"")],
            &[("A", "join(\",\", {B})"), ("B", "regexps(\"a\", Machine, \"b\")")],
            &[("A", "eval + 1")],
            &[("A", "[a = [a = Machine]; b = [b = 1]]")],
        ] {
            assert_eq!(judged(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn attributes_that_double_each_other_are_refused() {
        let chain: Vec<(String, String)> =
            (1..40).map(|n| (format!("A{n}"), format!("strcat(a{0}, MY.A{0})", n - 1))).collect();
        let mut chain: Vec<(&str, &str)> = chain.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        chain.push(("A0", "\"x\""));
        assert!(judged(&chain[30..]).is_ok() && judged(&chain[..5]).is_ok());
        let why = judged(&chain).unwrap_err();
        assert!(why.contains("more than 1000 steps"), "{why}");
        chain.reverse();
        assert!(judged(&chain).is_err(), "in whatever order");
    }

    #[test]
    fn no_scope_record_or_function_hides_a_chain() {
        let inner: String = (1..40).map(|n| format!("a{n} = a{0} + a{0};", n - 1)).collect();
        let nested: String = (1..40).map(|n| format!("[a{n} = a{0} + a{0}; b = ", n - 1)).collect();
        let deep = (0..3).fold("\"x\"".to_owned(), |text, _| format!("join({text}, {{1, 1, 1, 1}})"));
        let long = (1..2_000).map(|n| format!("a{n} = a{};", n - 1)).collect::<String>();
        for bad in [
            format!("[a0 = 1; {inner}].a39"),
            format!("{nested}1{}", "]".repeat(39)),
            deep,
            format!("[a0 = 1; {long}].a1999"),
            "TARGET.TARGET.A".to_owned(),
            "(TARGET).A".to_owned(),
            "strcat(A, 1)".to_owned(),
            "EVAL (strcat(\"A\", \"0\"))".to_owned(),
        ] {
            assert!(judged(&[("A", &bad)]).is_err(), "{bad:.80}");
        }
        let round = [("A", "B"), ("B", "c + 1"), ("C", "a")];
        assert!(judged(&round).unwrap_err().contains("refers to itself"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_judged_at_once(text in "[aAb=;.,+\\[\\](){}\"\\\\ é]{0,200}") {
            let _ = judged(&[("A", &text), ("b", &text)]);
        }
    }
}
