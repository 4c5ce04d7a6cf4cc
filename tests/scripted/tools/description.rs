//! Reads submit descriptions: `name = value` lines, `queue` with items, and `$(macro)`s, as
//! HTCondor 23.9 does where it was measured.

use std::collections::BTreeMap;

/// The commands of a description: lower-case name → name as it was written, value.
type Commands = BTreeMap<String, (String, String)>;

/// A job of a description: its commands, with the variables of its item.
#[derive(Clone, Debug)]
pub struct Proc<'a> {
    commands: &'a Commands,
    variables: Vec<(&'a str, String)>,
}

/// A description as it was read.
#[derive(Debug, Default)]
pub struct Description {
    /// One for each `queue`.
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    commands: Commands,
    columns: Vec<String>,
    items: Vec<Vec<String>>,
}

/// Reads a description.
pub fn parse(text: &str) -> Result<Description, String> {
    let (mut commands, mut groups) = (Commands::new(), Vec::new());
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    while let Some(line) = lines.next() {
        if let Some(queue) = queue(line) {
            let (columns, items) = match queue.split_once(" from (") {
                Some((columns, "")) => {
                    let columns =
                        columns.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned);
                    let columns: Vec<String> = columns.collect();
                    let items = lines.by_ref().take_while(|line| !line.starts_with(')'));
                    let items = items.map(|item| split(item, columns.len())).collect();
                    (columns, items)
                }
                None if queue.is_empty() => (Vec::new(), vec![Vec::new()]),
                _ => return Err(format!("`queue {queue}` {}", super::UNSCRIPTED)),
            };
            groups.push(Group { commands: commands.clone(), columns, items });
            continue;
        }
        let (name, value) = line.split_once('=').ok_or_else(|| format!("ERROR: on line {line:?}"))?;
        let name = name.trim();
        let name = name.strip_prefix('+').map_or_else(|| name.to_owned(), |own| format!("MY.{own}"));
        commands.insert(name.to_ascii_lowercase(), (name, value.trim().to_owned()));
    }
    Ok(Description { groups })
}

fn queue(line: &str) -> Option<&str> {
    let rest = line.get(..5).filter(|word| word.eq_ignore_ascii_case("queue")).map(|_| &line[5..])?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim())
}

/// The columns of an item: a comma, a blank or a tab ends one, and the last takes the rest. The
/// manual's separator 0x1F means nothing to 23.9's `condor_submit`.
pub fn split(item: &str, columns: usize) -> Vec<String> {
    let (mut values, mut rest) = (Vec::new(), item);
    while values.len() + 1 < columns {
        let Some((value, more)) = rest.split_once([',', ' ', '\t']) else { break };
        values.push(value.to_owned());
        rest = more.trim_start_matches([' ', '\t']);
    }
    values.push(rest.to_owned());
    values
}

impl Description {
    /// Its jobs, in order.
    pub fn procs(&self) -> impl Iterator<Item = Proc<'_>> {
        self.groups.iter().flat_map(|Group { commands, columns, items }| {
            items.iter().map(move |item| {
                let values = item.iter().cloned().chain(std::iter::repeat(String::new()));
                Proc { commands, variables: columns.iter().map(String::as_str).zip(values).collect() }
            })
        })
    }
}

impl<'a> Proc<'a> {
    /// The names of all commands, as they were written.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.commands.values().map(|(name, _)| name.as_str())
    }

    /// Gives the job its number in the cluster.
    pub fn with_id(mut self, cluster: u32, proc: usize) -> Proc<'a> {
        let names = [("clusterid", u64::from(cluster)), ("procid", proc as u64)];
        self.variables.extend(names.map(|(name, value)| (name, value.to_string())));
        let names = [("cluster", u64::from(cluster)), ("process", proc as u64), ("dollar", 0)];
        let value =
            |(name, value)| (name, if name == "dollar" { "$".to_owned() } else { format!("{value}") });
        self.variables.extend(names.map(value));
        self
    }

    /// A command's value with all macros replaced.
    pub fn value(&self, name: &str) -> Result<Option<String>, String> {
        let raw = self.commands.get(&name.to_ascii_lowercase());
        raw.map(|(_, value)| self.expand(value, 0)).transpose()
    }

    fn expand(&self, text: &str, depth: usize) -> Result<String, String> {
        if depth > 20 {
            return Err(format!("ERROR: the macros of {text:?} never end"));
        }
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            if after.starts_with('$') || after.starts_with(|c: char| c.is_ascii_uppercase()) {
                return Err(format!("the macro ${after} {}", super::UNSCRIPTED));
            }
            let Some(inner) = after.strip_prefix('(') else {
                expanded.push('$');
                rest = after;
                continue;
            };
            let end = closing(inner).ok_or_else(|| format!("ERROR: the macro $({inner} does not end"))?;
            let name = self.expand(&inner[..end], depth + 1)?;
            let (name, default) = name.split_once(':').unwrap_or((&name, ""));
            expanded.push_str(
                &match self.variables.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                    Some((_, value)) => value.clone(),
                    None => match self.commands.get(&name.to_ascii_lowercase()) {
                        Some((_, value)) => self.expand(value, depth + 1)?,
                        None => default.to_owned(),
                    },
                },
            );
            rest = &inner[end + 1..];
        }
        Ok(expanded + rest)
    }
}

/// Where the bracket closes that is open before this text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices().find_map(|(at, c)| {
        open += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        (open == 0).then_some(at)
    })
}
