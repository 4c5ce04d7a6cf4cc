//! What of the file cannot be read. It stays as it is, and stops nothing else.

use htc_core::workload::names::Uid;
use rusqlite::Row;
use rusqlite::types::FromSql;

/// A row, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Whose it is, where that can be told.
    pub uid: Option<Uid>,
    /// What cannot be read, and why.
    pub why: String,
}

impl Unreadable {
    /// Of the workload of this UID, as the row has it.
    pub fn of(uid: &str, why: String) -> Unreadable {
        match uid.parse() {
            Ok(uid) => Unreadable { uid: Some(uid), why },
            Err(bad) => Unreadable { uid: None, why: format!("{why} (its UID {uid:?}: {bad})") },
        }
    }
}

/// Reads the columns of a row one by one, and notes those that cannot be read.
pub struct Columns<'a> {
    row: &'a Row<'a>,
    /// What is wrong, a part for each column.
    pub wrong: Vec<String>,
}

impl<'a> Columns<'a> {
    /// Those of a row.
    pub fn of(row: &'a Row<'a>) -> Columns<'a> {
        Columns { row, wrong: Vec::new() }
    }

    /// A column of this type; its default where it is of another.
    pub fn get<T: FromSql + Default>(&mut self, column: usize, name: &str) -> T {
        self.row.get(column).unwrap_or_else(|why| {
            self.wrong.push(format!("{name}: {why}"));
            T::default()
        })
    }

    /// What was made of a column, unless that failed.
    pub fn made<T, E: std::fmt::Display>(&mut self, name: &str, made: Result<T, E>) -> Option<T> {
        made.map_err(|why| self.wrong.push(format!("{name}: {why}"))).ok()
    }

    /// All that is wrong, if anything is.
    pub fn trouble(&self) -> Option<String> {
        (!self.wrong.is_empty()).then(|| self.wrong.join("; "))
    }
}
