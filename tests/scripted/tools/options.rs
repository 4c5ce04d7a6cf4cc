//! The tools' command lines, as far as our code uses them.

use super::{Failure, unscripted};

/// What a tool was asked.
#[derive(Debug, Default)]
pub struct Options {
    /// `-constraint`.
    pub constraint: Option<String>,
    /// `-attributes`.
    pub attributes: Option<Vec<String>>,
    /// `-limit`.
    pub limit: Option<usize>,
    /// `-json`.
    pub json: bool,
    /// `-terse`.
    pub terse: bool,
    /// `-spool`.
    pub spool: bool,
    /// `-schedd`.
    pub schedd: bool,
    /// `-allusers`.
    pub all_users: bool,
    /// `-follow`.
    pub follow: bool,
    /// `-maxbytes`.
    pub max_bytes: Option<u64>,
    /// What is no option.
    pub plain: Vec<String>,
}

impl Options {
    /// Reads a command line.
    pub fn parse(arguments: &[String]) -> Result<Options, Failure> {
        let mut options = Options::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().cloned().ok_or_else(|| unscripted(&format!("a bare {argument}")));
            match argument.as_str() {
                "-name" | "-pool" | "-type" => drop(value()?),
                "-constraint" => options.constraint = Some(value()?),
                "-attributes" => {
                    options.attributes =
                        Some(value()?.split(',').map(|name| name.trim().to_owned()).collect());
                }
                "-limit" => options.limit = value()?.parse().ok(),
                "-scanlimit" => drop(value()?),
                "-maxbytes" => options.max_bytes = value()?.parse().ok(),
                "-follow" => options.follow = true,
                "-json" => options.json = true,
                "-terse" => options.terse = true,
                "-spool" => options.spool = true,
                "-allusers" => options.all_users = true,
                "-schedd" => options.schedd = true,
                "-nobatch" | "-no-stdout" | "-verbose" => {}
                plain if !plain.starts_with('-') => options.plain.push(plain.to_owned()),
                other => return Err(unscripted(other)),
            }
        }
        Ok(options)
    }

    /// The constraint that must be there.
    pub fn constraint(&self) -> Result<&str, Failure> {
        self.constraint.as_deref().ok_or_else(|| unscripted("a call without -constraint"))
    }
}
