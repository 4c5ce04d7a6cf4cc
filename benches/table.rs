//! The rows: printed for people, written as JSON for comparisons.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::Rows;
use crate::harness::bed_folder;

/// What was measured.
pub struct Row {
    /// What it is about.
    pub name: String,
    /// The unit of both values.
    pub unit: &'static str,
    /// The alternative, if there is one.
    pub raw: Option<f64>,
    /// Ours.
    pub ours: Option<f64>,
    /// How many were counted.
    pub n: usize,
    /// What else a reader must know; for a row that failed, why.
    pub note: String,
    /// Whether what it counts was not all there.
    pub failed: bool,
}

/// All rows.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    /// Rows of the first half of this run, as it wrote them.
    earlier: Vec<Value>,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        Some(self.ours? / self.raw?)
    }

    fn cells(&self) -> [String; 7] {
        let number = |value: Option<f64>| match value {
            Some(value) if value >= 100.0 => format!("{value:.0}"),
            Some(value) => format!("{value:.2}"),
            None => "-".to_owned(),
        };
        let note = if self.failed { format!("FAILED: {}", self.note) } else { self.note.clone() };
        let Row { name, unit, n, .. } = self;
        let n = n.to_string();
        [name.clone(), (*unit).into(), number(self.raw), number(self.ours), number(self.ratio()), n, note]
    }
}

impl Table {
    /// A table that goes on after these rows.
    pub fn after(earlier: Vec<Value>) -> Table {
        Table { rows: Vec::new(), earlier }
    }

    /// Adds the rows of a subject, or one that says why there are none.
    pub fn add(&mut self, subject: &str, rows: Rows) {
        self.rows.extend(rows.unwrap_or_else(|why| {
            let name = subject.to_owned();
            vec![Row { name, unit: "", raw: None, ours: None, n: 0, note: why, failed: true }]
        }));
    }

    /// Whether a row has failed.
    pub fn has_failed(&self) -> bool {
        self.rows.iter().any(|row| row.failed)
    }

    /// Prints them in columns.
    pub fn print(&self) {
        let head = ["", "unit", "raw", "ours", "ratio", "n", "note"].map(str::to_owned);
        let lines: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let w: Vec<usize> = (0..6).map(width).collect();
        for [name, unit, raw, ours, ratio, n, note] in &lines {
            println!(
                "{name:0$}  {unit:1$}  {raw:>2$}  {ours:>3$}  {ratio:>4$}  {n:>5$}  {note}",
                w[0], w[1], w[2], w[3], w[4], w[5]
            );
        }
    }

    /// Writes them to the first of the [`places`] that takes them.
    pub fn write(&self) {
        let row = |row: &Row| {
            let Row { name, unit, raw, ours, n, note, failed } = row;
            json!({ "name": name, "unit": unit, "raw": raw, "ours": ours, "ratio": row.ratio(), "n": n,
                    "note": note, "failed": failed })
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let rows: Vec<_> = self.earlier.iter().cloned().chain(self.rows.iter().map(row)).collect();
        let text = json!({ "at": jiff::Timestamp::now().to_string(), "cores": cores, "rows": rows });
        match places().find(|place| std::fs::write(place, format!("{text:#}\n")).is_ok()) {
            Some(place) => println!("\nalso in {}", place.display()),
            None => eprintln!("bench.json could not be written"),
        }
    }
}

/// Where the rows are kept: in the bed, or in our home where the bed's folder is not ours.
pub fn places() -> impl Iterator<Item = PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    [Some(bed_folder()), home].into_iter().flatten().map(|folder| folder.join("bench.json"))
}

/// The middle value, with the smallest and the largest in words.
pub fn median(mut values: Vec<f64>) -> (f64, String) {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let (Some(low), Some(high)) = (values.first(), values.last()) else { return (f64::NAN, String::new()) };
    let median =
        if values.len() % 2 == 1 { values[middle] } else { values[middle - 1].midpoint(values[middle]) };
    (median, format!("{low:.2} to {high:.2}"))
}
