//! From what was given to what is made of it: a flag counts more than a variable, a variable more than a
//! file, a file more than nothing.

use std::path::PathBuf;

use serde_json::Value;

use super::file::{shown, text, truth};
use super::keys::{Key, Meaning, named};
use super::listeners::{Asked, Part, listeners};
use super::tools::{FLAG, row, tools};
use super::{Given, Row, Settled, TlsBlock, Verdict};

/// A key as it was given.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The flag, variable or key.
    pub shown: String,
    /// Where it was given.
    pub source: String,
    pub value: Value,
}

impl Entry {
    /// The row that says what became of it.
    pub fn row(&self, verdict: Verdict, why: impl Into<String>) -> Row {
        Row {
            key: self.shown.clone(),
            source: self.source.clone(),
            value: shown(&self.shown, &self.value),
            verdict,
            why: why.into(),
        }
    }

    fn is_flag(&self) -> bool {
        self.source == FLAG
    }
}

/// What is made of everything that was given.
pub fn settle(given: &Given) -> Settled {
    let (tools, mut rows) = tools(&given.flags);
    if given.flags.dummy_job {
        rows.push(row("--dummy-job", "true", Verdict::Honoured, "each pod's job is a sleep"));
    }
    let mut settled = Settled { tools, dummy_job: given.flags.dummy_job, ..Settled::default() };
    let (winners, overridden) = winners(given, &mut rows);
    let mut parts = Vec::new();
    for (key, entry) in &winners {
        match key.meaning {
            Meaning::Port(hop) => match port(&entry.value) {
                Ok(port) => parts.push((*entry).clone().part(hop, Asked::Port(port))),
                Err(why) => rows.push(entry.row(Verdict::Refused, why)),
            },
            Meaning::Address(hop) => match super::address::read(&text(&entry.value).unwrap_or_default()) {
                Ok(address) => {
                    if let super::address::Address::Name(name) = &address {
                        settled.names.push(name.clone());
                    }
                    parts.push((*entry).clone().part(hop, Asked::Address(address)));
                }
                Err(why) => rows.push(entry.row(Verdict::Refused, why)),
            },
            Meaning::Service => parts.push(
                (*entry)
                    .clone()
                    .part(super::keys::Hop::Api, Asked::Service(text(&entry.value).unwrap_or_default())),
            ),
            _ => rows.push(plain(key.meaning, entry, &mut settled)),
        }
    }
    let needs_certificate = settled.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let (found, more) = listeners(given, parts, settled.tls.is_some(), needs_certificate);
    settled.listeners = found;
    rows.extend(more);
    rows.extend(overridden);
    settled.rows = rows;
    settled
}

impl Entry {
    fn part(self, hop: super::keys::Hop, asked: Asked) -> Part {
        Part { hop, asked, is_flag: self.is_flag(), entry: self }
    }
}

/// The entry of each key that counts, and a row for each that does not.
fn winners<'a>(given: &Given, rows: &mut Vec<Row>) -> (Vec<(&'a Key, Entry)>, Vec<Row>) {
    let mut winners: Vec<(&Key, Entry)> = Vec::new();
    let mut overridden = Vec::new();
    for entry in entries(given, rows) {
        let (key, entry) = entry;
        if text(&entry.value).is_none() {
            overridden.push(entry.row(Verdict::Ignored, "it is empty"));
            continue;
        }
        match winners.iter().find(|(known, _)| known.name == key.name) {
            None => winners.push((key, entry)),
            Some((_, winner)) => {
                let why = format!("{} ({}) counts more", winner.shown, winner.source);
                overridden.push(entry.row(Verdict::Ignored, why));
            }
        }
    }
    (winners, overridden)
}

/// All entries of known keys; those that count more come first. A row for each unknown key.
fn entries(given: &Given, rows: &mut Vec<Row>) -> Vec<(&'static Key, Entry)> {
    let mut entries = Vec::new();
    let mut add = |name: &str, shown: String, source: &str, value: Value| {
        let entry = Entry { shown, source: source.to_owned(), value };
        match named(name) {
            Some(key) => entries.push((key, entry)),
            None => rows.push(entry.row(Verdict::Ignored, "no InterLink has had such a key")),
        }
    };
    if let Some(port) = given.flags.port {
        add("SidecarPort", "--port".to_owned(), FLAG, port.into());
    }
    match &given.flags.rest[..] {
        [flag, port] if flag == "--port" => {
            add("SidecarPort", "-- --port".to_owned(), FLAG, port.clone().into());
        }
        [] => {}
        other => add("", "--".to_owned(), FLAG, other.join(" ").into()),
    }
    if let Some(folder) = &given.flags.data_root_folder {
        add("DataRootFolder", "--data-root-folder".to_owned(), FLAG, folder.clone().into());
    }
    for (variable, value) in &given.variables {
        let key = super::keys::KEYS.iter().find(|key| key.variable == Some(variable.as_str()));
        add(key.map_or("", |key| key.name), format!("${variable}"), "environment", value.clone().into());
    }
    for (file, keys) in &given.files {
        for (name, value) in keys {
            add(name, name.clone(), file, value.clone());
        }
    }
    entries
}

/// The keys that stand for themselves.
fn plain(meaning: Meaning, entry: &Entry, settled: &mut Settled) -> Row {
    let yes = truth(&entry.value);
    match meaning {
        Meaning::DataRoot => {
            settled.data_root = text(&entry.value).map(PathBuf::from);
            let why = "run-<container>.out of each ended pod, and our data in its folder htc-operator";
            entry.row(Verdict::Honoured, why)
        }
        Meaning::Tls => tls(entry, settled),
        Meaning::Verbose | Meaning::ErrorsOnly => {
            let level = if meaning == Meaning::Verbose { "debug" } else { "error" };
            // Both at once was possible; more is said then.
            if yes == Some(true) && settled.log != Some("debug") {
                settled.log = Some(level);
            }
            entry.row(Verdict::Honoured, "what is logged, unless --log says otherwise")
        }
        Meaning::Usual(usual, why) => {
            let is_usual = text(&entry.value).is_some_and(|value| usual.contains(&value.as_str()));
            entry.row(if is_usual { Verdict::Honoured } else { Verdict::Refused }, why)
        }
        Meaning::Without(_) if yes == Some(false) => entry.row(Verdict::Honoured, "it is off"),
        Meaning::Without(why) => entry.row(Verdict::Refused, why),
        Meaning::Always(why) if yes == Some(false) => entry.row(Verdict::Refused, why),
        Meaning::Always(why) => entry.row(Verdict::Honoured, why),
        Meaning::Foreign(why) => entry.row(Verdict::Ignored, why),
        Meaning::Port(_) | Meaning::Address(_) | Meaning::Service => {
            unreachable!("these say where to listen, and are looked at together")
        }
    }
}

fn tls(entry: &Entry, settled: &mut Settled) -> Row {
    let field = |name: &str| entry.value.get(name).and_then(text);
    if !entry.value.get("Enabled").and_then(truth).unwrap_or_default() {
        return entry.row(Verdict::Honoured, "it is off");
    }
    let (Some(certificate), Some(key)) = (field("CertFile"), field("KeyFile")) else {
        return entry.row(Verdict::Refused, "TLS needs CertFile and KeyFile");
    };
    let client_ca = field("CACertFile").map(PathBuf::from);
    let why = match client_ca {
        Some(_) => "callers of InterlinkPort speak TLS and need a certificate",
        None => "callers of InterlinkPort speak TLS",
    };
    settled.tls = Some(TlsBlock { certificate: certificate.into(), key: key.into(), client_ca });
    entry.row(Verdict::Honoured, why)
}

fn port(value: &Value) -> Result<u16, String> {
    let port = text(value).and_then(|text| text.parse().ok()).filter(|port| *port > 0);
    port.ok_or_else(|| "it is no port".to_owned())
}
