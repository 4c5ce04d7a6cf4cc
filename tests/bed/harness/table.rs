//! The table of `docs/htcjob.md` that says what a person sees of a job, and whether it is true.

use htc_operator::htcjob::types::HTCJobStatus;

use super::bed::Bed;
use super::cluster::Job;
use super::operator::kubectl;
use super::patience::until;

const GUIDE: &str = include_str!("../../../docs/htcjob.md");
const HEADER: &str = "| What happens | Phase | Reason | Message | `htc-operator logs` |";

/// The log is what the script has written.
const WROTE: &str = "what it wrote";

/// What a person sees when something happens to a job.
#[derive(Clone, Debug)]
pub struct Row {
    /// What happens.
    pub what: &'static str,
    phase: &'static str,
    reason: &'static str,
    /// `…` stands for anything; empty where there is none.
    message: &'static str,
    /// [`WROTE`], or a complaint in back-ticks.
    log: &'static str,
}

/// The table.
pub fn rows() -> Vec<Row> {
    let lines = GUIDE.lines().skip_while(|line| *line != HEADER).skip(2);
    let rows: Vec<Row> = lines.take_while(|line| line.starts_with('|')).map(parse).collect();
    assert!(!rows.is_empty(), "the guide has no table {HEADER}");
    rows
}

fn parse(line: &'static str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [what, phase, reason, message, log] = cells[..] else { panic!("not five cells: {line}") };
    let word = |cell: &'static str| cell.trim_matches('`');
    Row { what, phase: word(phase), reason: word(reason), message: word(message), log }
}

/// The row of the table with these words.
pub fn row(what: &str) -> Row {
    rows().into_iter().find(|row| row.what == what).unwrap_or_else(|| panic!("the guide has no row {what:?}"))
}

impl Row {
    /// Waits until the HTCJob is as the row says, and asks what a person would ask. `output` is what
    /// the script writes.
    pub async fn is_seen(&self, bed: &Bed, job: &Job, output: &str) -> HTCJobStatus {
        let is_so = |s: &HTCJobStatus| {
            s.phase.map(|phase| format!("{phase:?}")).as_deref() == Some(self.phase)
                && s.reason.as_deref() == Some(self.reason)
        };
        let status = bed.until_status(job, self.what, is_so).await;
        let message = status.message.clone().unwrap_or_default();
        assert!(fits(&message, self.message), "{}: {message:?} is not {:?}", self.what, self.message);

        let object = ["hj", &job.name, "-n", &job.namespace];
        let table = kubectl(&[&["get"], &object[..]].concat(), "").await.unwrap();
        let words: Vec<&str> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(words[..3], [&job.name, self.phase, self.reason], "{table}");
        until("kubectl describe", async || {
            let text = kubectl(&[&["describe"], &object[..]].concat(), "").await?;
            let tells = text.contains(&message) && self.event().is_none_or(|event| text.contains(event));
            if tells { Ok(()) } else { Err(text) }
        })
        .await;

        let complaint = format!("…{}…", self.log.trim_matches('`'));
        until("htc-operator logs", async || match bed.logs(job, None).await {
            Ok(log) if self.log == WROTE && log == output.as_bytes() => Ok(()),
            Err(why) if self.log != WROTE && fits(&why, &complaint) => Ok(()),
            other => Err(format!("{}: {other:?}", self.what)),
        })
        .await;
        status
    }

    /// The event that comes with it.
    fn event(&self) -> Option<&'static str> {
        match self.phase {
            "Succeeded" => Some("Complete"),
            // An object that was refused has no other.
            "Failed" => Some("Warning  Failed"),
            "Held" => Some("Warning  Held"),
            _ => None,
        }
    }
}

/// Whether a text is as the pattern says, where `…` stands for anything.
fn fits(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

#[test]
fn a_pattern_fits_from_its_beginning_to_its_end() {
    for (text, pattern, expected) in [
        ("", "", true),
        ("a", "", false),
        ("abc", "abc", true),
        ("abc", "ab", false),
        ("abcd", "a…d", true),
        ("abcd", "a…c", false),
        ("abcd", "a…", true),
        ("abcd", "…b…", true),
        ("abcd", "b…", false),
    ] {
        assert_eq!(fits(text, pattern), expected, "{text:?} {pattern:?}");
    }
}
