//! The rows as a table for people.

use std::fmt;

use super::{Row, Verdict};

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Honoured => "honoured",
            Verdict::Ignored => "ignored",
            Verdict::Refused => "refused",
        })
    }
}

/// Columns of equal width; the last one is as long as it is.
pub fn table(rows: &[Row]) -> String {
    let head = ["KEY", "SOURCE", "VALUE", "VERDICT", ""].map(str::to_owned);
    let cells = |row: &Row| {
        let Row { key, source, value, verdict, why } = row;
        // A line end in a value would make a line of its own.
        let value = value.replace(['\n', '\r'], " ");
        [key.clone(), source.clone(), value, verdict.to_string(), why.clone()]
    };
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [key, source, value, verdict, why] in &lines {
        let [a, b, c, d] = widths;
        let line = format!("{key:a$}  {source:b$}  {value:c$}  {verdict:d$}  {why}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
