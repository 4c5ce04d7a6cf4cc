//! `htc-operator jobs`.

use std::io::{self, BufWriter, Write};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use htc_core::workload::names::Uid;
use jiff::Timestamp;

use crate::config::DataSettings;
use crate::control::client::{self, JobsQuery, Line};
use crate::control::jobs::{IndexLine, ObjectLine};
use crate::control::trouble::TroubleLine;
use crate::{htcjob, interlink};

/// Which jobs, and how they are printed.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Nothing, for a line for each HTCJob and pod; `<namespace>`, for those of one; or `<namespace>/<name>`, for a
    /// line for each of its copies.
    what: Option<String>,

    /// How they are printed.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,

    /// Only those in this phase: Pending, Submitted, Running, Held, Succeeded, Failed or Deleting.
    #[arg(long)]
    phase: Option<String>,

    /// Only copies in this state, a line for each: Waiting, Submitting, Queued, Running, Suspended, Held,
    /// Succeeded or Failed.
    #[arg(long)]
    state: Option<String>,

    /// Only the one with this UID, a line for each of its copies.
    #[arg(long)]
    uid: Option<Uid>,

    /// Only those that came in here.
    #[arg(long, value_enum)]
    door: Option<Door>,

    /// At most so many lines.
    #[arg(short, long)]
    limit: Option<u64>,

    #[command(flatten)]
    data: DataSettings,
}

/// Where jobs come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Door {
    /// As HTCJobs.
    Htcjob,
    /// As pods, by InterLink.
    Interlink,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Door::Htcjob => htcjob::DOOR,
            Door::Interlink => interlink::DOOR,
        }
    }
}

/// How lines are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For people with wide windows.
    Wide,
    /// An object with the list `items`, and `trouble` with the reasons why they may be old.
    Json,
}

const PHASES: &[&str] = &["Pending", "Submitted", "Running", "Held", "Succeeded", "Failed", "Deleting"];
const STATES: &[&str] =
    &["Waiting", "Submitting", "Queued", "Running", "Suspended", "Held", "Succeeded", "Failed"];

/// Prints what the operator knows of its jobs.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    // No `..`: an option that is forgotten here would do nothing in silence.
    let Arguments { what, output, phase, state, uid, door, limit, data } = arguments;
    for (flag, word, known) in [("--phase", &phase, PHASES), ("--state", &state, STATES)] {
        if let Some(word) = word
            && !known.iter().any(|known| known.eq_ignore_ascii_case(word))
        {
            bail!("{flag} {word}: there is no such one; there are {}", known.join(", "));
        }
    }
    let (namespace, name) = match what.as_deref().map(|what| what.split_once('/').unwrap_or((what, ""))) {
        None => (None, None),
        Some((_, name)) if name.contains('/') => {
            bail!("{:?} is not <namespace>/<name>", what.unwrap_or_default())
        }
        Some((namespace, "")) => (Some(namespace.to_owned()), None),
        Some((namespace, name)) => (Some(namespace.to_owned()), Some(name.to_owned())),
    };
    let door = door.map(|door| door.name().to_owned());
    let query = JobsQuery { door, namespace, name, uid, phase, state, limit };
    let mut printer = Printer::new(output, &query);
    let printed = client::jobs(&data.data_dir, &query, |line| printer.take(line)).await;
    super::quietly(printed.and_then(|()| printer.end().context("failed to print")))
}

/// Prints lines: JSON as they come, a table when its widths are known.
struct Printer {
    output: Output,
    out: BufWriter<io::Stdout>,
    now: Timestamp,
    rows: Vec<Vec<String>>,
    items: usize,
    trouble: TroubleLine,
}

impl Printer {
    fn new(output: Output, query: &JobsQuery) -> Printer {
        let of_indices = query.is_of_indices();
        let head = if of_indices { INDEX_HEAD } else { OBJECT_HEAD };
        let more = match (output, of_indices) {
            (Output::Wide, true) => INDEX_MORE,
            (Output::Wide, false) => OBJECT_MORE,
            _ => &[],
        };
        let rows = vec![head.iter().chain(more).map(|word| (*word).to_owned()).collect()];
        let (out, now) = (BufWriter::new(io::stdout()), Timestamp::now());
        Printer { output, out, now, rows, items: 0, trouble: TroubleLine::default() }
    }

    fn take(&mut self, line: Line) -> io::Result<()> {
        let wide = self.output == Output::Wide;
        match line {
            Line::Trouble(trouble) => {
                tell(&trouble);
                self.trouble = trouble;
            }
            Line::More(more) => eprintln!("{more} more are not shown"),
            Line::Object(line) if self.output == Output::Json => return self.item(&line),
            Line::Index(line) if self.output == Output::Json => return self.item(&line),
            Line::Object(line) => self.rows.push(object_row(line, wide)),
            Line::Index(line) => self.rows.push(index_row(*line, wide, self.now)),
        }
        Ok(())
    }

    fn item(&mut self, item: &impl serde::Serialize) -> io::Result<()> {
        self.out.write_all(if self.items == 0 { b"{\"items\":[\n" } else { b",\n" })?;
        self.items += 1;
        Ok(serde_json::to_writer(&mut self.out, item)?)
    }

    fn end(&mut self) -> io::Result<()> {
        if self.output != Output::Json {
            print_table(&self.rows, &mut self.out)?;
            return self.out.flush();
        }
        self.out.write_all(if self.items == 0 { b"{\"items\":[" } else { b"\n" })?;
        self.out.write_all(b"],\"trouble\":")?;
        serde_json::to_writer(&mut self.out, &self.trouble)?;
        self.out.write_all(b"}\n")?;
        self.out.flush()
    }
}

/// What makes the lines old, for the person who reads them.
fn tell(trouble: &TroubleLine) {
    let TroubleLine {
        ready,
        pool,
        since,
        submit,
        missing,
        vanished,
        unreadable,
        foreign: _,
        store,
        mismatch: _,
    } = trouble;
    if let Some(why) = pool {
        let since = since.map_or(String::new(), |since| format!(" since {since:.0}"));
        eprintln!("the pool does not answer{since}, so this may be old: {why}");
    } else if !ready {
        eprintln!("the pool has not answered since the operator started: this is what was known before");
    }
    if *missing > 0 {
        let most =
            if *vanished { ", most of all: is it the right schedd, and is its spool there?" } else { "" };
        eprintln!("{missing} jobs are missing in HTCondor's queue{most}");
    }
    if *unreadable > 0 {
        eprintln!("{unreadable} ads of jobs in HTCondor's queue cannot be read");
    }
    if let Some(why) = submit {
        eprintln!("the last submission failed: {why}");
    }
    if let Some(why) = store {
        eprintln!(
            "the operator's database cannot be read whole, and nothing more of that is submitted: {why}"
        );
    }
}

const OBJECT_HEAD: &[&str] =
    &["NAMESPACE", "NAME", "PHASE", "COPIES", "WAITING", "QUEUED", "RUNNING", "HELD", "SUCCEEDED", "FAILED"];
const OBJECT_MORE: &[&str] = &["UID", "DOOR"];
const INDEX_HEAD: &[&str] = &["NAMESPACE", "NAME", "INDEX", "JOB", "STATE", "STARTS", "EXIT", "SINCE"];
const INDEX_MORE: &[&str] = &["REASON", "MESSAGE", "KEY", "FOLDER", "DOOR"];

fn object_row(line: ObjectLine, wide: bool) -> Vec<String> {
    let ObjectLine { namespace, name, uid, phase, copies, waiting, submitting, queued, .. } = line;
    let ObjectLine { running, held, succeeded, failed, door, .. } = line;
    // What is being submitted waits too, for a person.
    let numbers = [copies, waiting + submitting, queued, running, held, succeeded, failed];
    let row = [namespace, name, phase].into_iter().chain(numbers.map(|n| n.to_string()));
    row.chain([uid.to_string(), door].into_iter().filter(|_| wide)).collect()
}

fn index_row(line: IndexLine, wide: bool, now: Timestamp) -> Vec<String> {
    let IndexLine { namespace, name, uid: _, index, state, job, starts, exit_code, since, .. } = line;
    let IndexLine { reason, message, key, folder, home, door, .. } = line;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let exit = or_dash(exit_code.map(|code| code.to_string()));
    let since = or_dash(since.map(|since| age(now.duration_since(since).as_secs())));
    let row = [namespace, name, index.to_string(), or_dash(job), state, starts.to_string(), exit, since];
    let more =
        [reason, message.map(one_line), key.map(|key| key.to_string()), folder.filter(|_| home), Some(door)];
    let more = more.map(or_dash).into_iter().filter(|_| wide);
    row.into_iter().chain(more).collect()
}

/// Nothing that a job says may break the table or the terminal.
fn one_line(text: String) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A time as kubectl tells it: its two largest units at most.
fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s}s"),
        s @ 120..7_200 => format!("{}m", s / 60),
        s @ 7_200..172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

fn print_table(rows: &[Vec<String>], out: &mut impl Write) -> io::Result<()> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("   ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["NAME", "STATE"], ["a-long-name", "Held"], ["b", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        let mut out = Vec::new();
        print_table(&rows, &mut out).unwrap();
        let expected = "NAME          STATE\na-long-name   Held\nb\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_time_is_short_and_never_negative() {
        let ages = [-5, 0, 119, 120, 7_199, 7_200, 172_800].map(age);
        assert_eq!(ages, ["0s", "0s", "119s", "2m", "119m", "2h", "2d"]);
    }

    #[test]
    fn what_a_job_says_stays_on_its_line() {
        assert_eq!(one_line("a\nb\u{1b}[31mc".into()), "a b [31mc");
    }
}
