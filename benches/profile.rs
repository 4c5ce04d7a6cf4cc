//! The two profiles of the bed: quick intervals, and those of a production pool. The second half of a
//! run has production intervals and stands beside what the first half has measured.

use serde_json::Value;

use crate::table::{Row, Table, places};

/// Whether the pool has production intervals in this half of the run.
pub fn is_production() -> bool {
    std::env::var("HTC_BED_PROFILE").is_ok_and(|profile| profile == "production")
}

/// The table of this half: the second goes on after the first.
pub fn table() -> Table {
    Table::after(if is_production() { first_half() } else { Vec::new() })
}

/// A row of this half. In the second the value of the first is the alternative.
pub fn row(name: &str, unit: &'static str, ours: f64, n: usize, note: String) -> Row {
    let (mut name, mut raw) = (name.to_owned(), None);
    if is_production() {
        raw =
            first_half().iter().find(|row| row["name"] == name.as_str()).and_then(|row| row["ours"].as_f64());
        name.push_str(", production intervals (raw: quick ones)");
    }
    Row { name, unit, raw, ours: Some(ours), n, note, failed: false }
}

fn first_half() -> Vec<Value> {
    let read =
        |place| Some(serde_json::from_slice::<Value>(&std::fs::read(place).ok()?).ok()?["rows"].take());
    let rows = places().find_map(read);
    rows.and_then(|rows| rows.as_array().cloned()).unwrap_or_default()
}
