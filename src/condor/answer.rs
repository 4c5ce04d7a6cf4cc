//! What a tool answers to `-json`, read as something that anybody may have written: bytes that need not be
//! text, and values of any depth and size. Ads are told apart without recursion; of each only the attributes
//! that were asked for are kept, and of those only plain values.

use serde_json::Value;

/// A longer value is not read: HTCondor's own texts have a few kB.
const VALUE_MAX: usize = 64 << 10;

/// The attributes of one ad, by the names that they were asked for.
#[derive(Debug, Default)]
pub struct Fields(Vec<(&'static str, Option<Value>)>);

/// The attribute is there, and its value is none that we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

impl Fields {
    /// A whole number.
    pub fn int(&self, name: &'static str) -> Result<Option<i64>, Unreadable> {
        self.read(name, Value::as_i64)
    }

    /// A whole amount, which may have been printed with a fraction (`81395076.0`).
    pub fn amount(&self, name: &'static str) -> Result<Option<u64>, Unreadable> {
        // A cast of a negative number gives 0, one of a number that is too large the largest.
        self.read(name, Value::as_f64).map(|number| number.map(|number| number as u64))
    }

    /// A text.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, Unreadable> {
        self.read(name, |value| value.as_str().filter(|text| !is_expression(text)))
    }

    /// True or false.
    pub fn truth(&self, name: &'static str) -> Result<Option<bool>, Unreadable> {
        self.read(name, Value::as_bool)
    }

    fn read<'a, T>(
        &'a self,
        name: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Unreadable> {
        match self.0.iter().find(|(known, _)| *known == name) {
            None | Some((_, Some(Value::Null))) => Ok(None),
            Some((_, value)) => value.as_ref().and_then(read).map(Some).ok_or(Unreadable(name)),
        }
    }
}

/// How an expression is printed as a value: `"\/Expr(error)\/"`.
fn is_expression(text: &str) -> bool {
    text.starts_with("/Expr(") && text.ends_with(")/")
}

/// Gives every ad of an answer to `take`, with the attributes of these names. An error when the ads cannot be
/// told apart, as in an answer that was cut; nothing at all means that there are none.
pub fn each(
    answer: &[u8],
    names: &'static [&'static str],
    mut take: impl FnMut(Fields),
) -> Result<(), String> {
    // A value may have bytes that are no UTF-8: the tools print the bytes of paths and messages as they are.
    let text = String::from_utf8_lossy(answer);
    let mut scanner = Scanner { text: &text, at: 0 };
    if scanner.peek().is_none() {
        return Ok(());
    }
    scanner.list(b'[', b']', |scanner| scanner.ad(names).map(&mut take))?;
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(format!("something follows its end at byte {}", scanner.at)),
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += blanks;
        rest.get(blanks).copied()
    }

    fn expect(&mut self, wanted: u8) -> Result<(), String> {
        match self.peek() {
            Some(found) if found == wanted => self.at += 1,
            Some(_) => return Err(format!("no `{}` at byte {}", char::from(wanted), self.at)),
            None => return Err(format!("it is cut after {} bytes", self.at)),
        }
        Ok(())
    }

    /// Items between brackets, with commas between them.
    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.expect(open)?;
        if self.peek() == Some(close) {
            return self.expect(close);
        }
        loop {
            item(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                _ => return self.expect(close),
            }
        }
    }

    fn ad(&mut self, names: &'static [&'static str]) -> Result<Fields, String> {
        let mut fields = Fields::default();
        self.list(b'{', b'}', |scanner| {
            let name = scanner.string()?;
            scanner.expect(b':')?;
            let value = scanner.value()?;
            // The schedd keeps the case in which a name was first written.
            let known = names.iter().find(|known| known.eq_ignore_ascii_case(name));
            fields.0.extend(known.map(|known| (*known, plain(value))));
            Ok(())
        })?;
        Ok(fields)
    }

    /// A text without its quotes, with its escapes.
    fn string(&mut self) -> Result<&'a str, String> {
        self.expect(b'"')?;
        let (text, start) = (self.text, self.at);
        let mut escaped = false;
        for (n, byte) in text.as_bytes()[start..].iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.at = start + n + 1;
                    return Ok(&text[start..start + n]);
                }
                _ => {}
            }
        }
        Err(format!("a text at byte {start} has no end"))
    }

    /// A value of any depth: it ends before the comma or bracket that is not its own.
    fn value(&mut self) -> Result<&'a str, String> {
        let (text, mut depth) = (self.text, 0_usize);
        self.peek();
        let start = self.at;
        loop {
            match text.as_bytes().get(self.at) {
                None => return Err(format!("a value at byte {start} has no end")),
                Some(b'"') => drop(self.string()?),
                Some(b',' | b'}' | b']') if depth == 0 => return Ok(text[start..self.at].trim_end()),
                Some(byte) => {
                    match byte {
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                    self.at += 1;
                }
            }
        }
    }
}

/// A number, a text, a truth value or null.
fn plain(value: &str) -> Option<Value> {
    let is_plain = value.len() <= VALUE_MAX && !value.starts_with(['{', '[']);
    is_plain.then(|| serde_json::from_str(value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["A", "B"];

    fn read(answer: impl AsRef<[u8]>) -> Result<Vec<Fields>, String> {
        let mut ads = Vec::new();
        each(answer.as_ref(), NAMES, |ad| ads.push(ad)).map(|()| ads)
    }

    #[test]
    fn no_bytes_mean_no_ads_and_a_cut_answer_means_nothing() {
        for empty in ["", "\n", "[\n]\n", " [ ] "] {
            assert!(read(empty).unwrap().is_empty(), "{empty:?}");
        }
        let whole = "[\n{\n  \"A\": \"x,]}\\\"\",\n  \"C\": [1, {\"A\": 2}]\n}\n,\n{\n  \"B\": 7\n}\n]\n";
        assert_eq!(read(whole).unwrap().len(), 2);
        for end in 1..whole.trim_end().len() {
            assert!(read(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        assert!(read("[{}] [").is_err() && read("[{} {}]").is_err() && read("{}").is_err());
    }

    #[test]
    fn only_what_was_asked_for_is_read_whatever_its_case() {
        let ads = read("[{\"a\": \"x\\\\\", \"C\": 1, \"B\": -3}]").unwrap();
        assert_eq!((ads[0].text("A"), ads[0].int("B")), (Ok(Some("x\\")), Ok(Some(-3))));
        assert_eq!(read("[{\"A\": null}]").unwrap()[0].text("A"), Ok(None));
    }

    #[test]
    fn a_value_of_any_depth_is_unreadable_and_its_neighbours_are_not() {
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        let records = format!("{}1{}", "{\"A\": ".repeat(1_000), "}".repeat(1_000));
        for odd in [&deep, &records, "/", "1e999", "\"/Expr(error)/\"", "99999999999999999999", "true"] {
            let ads = read(format!("[{{\"A\": {odd}, \"B\": 5}},{{\"B\": 6}}]")).unwrap();
            assert_eq!(ads[0].int("A"), Err(Unreadable("A")), "{odd:.20}");
            assert_eq!((ads[0].int("B"), ads[1].int("B")), (Ok(Some(5)), Ok(Some(6))));
        }
        let long = format!("[{{\"A\": \"{}\"}}]", "x".repeat(VALUE_MAX));
        assert_eq!(read(long).unwrap()[0].text("A"), Err(Unreadable("A")));
    }

    #[test]
    fn bytes_that_are_no_text_spoil_neither_their_ad_nor_the_others() {
        let ads = read(b"[{\"A\": \"f\xff\xc3\", \"B\": 5}]").unwrap();
        assert_eq!(ads[0].text("A"), Ok(Some("f\u{fffd}\u{fffd}")));
        assert_eq!(ads[0].int("B"), Ok(Some(5)));
    }

    #[test]
    fn an_expression_is_no_text() {
        let ads = read("[{\"A\": \"/Expr(strcat(\\\"a\\\", B))/\"}]").unwrap();
        assert_eq!(ads[0].text("A"), Err(Unreadable("A")));
    }
}
