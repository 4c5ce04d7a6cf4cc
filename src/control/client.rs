//! The other end of the control socket.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use reqwest::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use super::db::Accepted;
use super::frames::{Decoder, Frame};
pub use super::jobs::{JobsQuery, Line};
pub use super::logs::LogQuery;
use super::outputs::LateOutputs;
use super::socket;

/// Asks the operator of this data folder for a log and writes it as it comes; notices go to `notices`.
pub async fn logs(
    data: &Path,
    query: &LogQuery,
    out: &mut dyn Write,
    notices: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut response = get(data, "logs", query).await?;
    let mut decoder = Decoder::default();
    while let Some(chunk) = response.chunk().await.context(GONE)? {
        decoder.take(&chunk);
        while let Some(frame) = decoder.frame().map_err(anyhow::Error::msg)? {
            match frame {
                Frame::Log(bytes) => out.write_all(&bytes)?,
                Frame::Notice(text) => writeln!(notices, "{text}")?,
                Frame::Error(why) => {
                    out.flush()?;
                    bail!(why);
                }
            }
        }
        out.flush()?;
    }
    ensure!(decoder.is_empty(), GONE);
    Ok(())
}

/// Asks the operator of this data folder for the lines of a table, and gives each as it comes.
pub async fn jobs(
    data: &Path,
    query: &JobsQuery,
    mut each: impl FnMut(Line) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut response = get(data, "jobs", query).await?;
    let mut open = Vec::new();
    while let Some(chunk) = response.chunk().await.context(GONE)? {
        for piece in chunk.split_inclusive(|b| *b == b'\n') {
            open.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                each(parse(&open)?)?;
                open.clear();
            }
        }
    }
    Ok(())
}

/// Asks the operator of this data folder for outputs that do not come home.
pub async fn late_outputs(data: &Path) -> anyhow::Result<LateOutputs> {
    let answer = get(data, "outputs", &serde_json::json!({})).await?.bytes().await.context(GONE)?;
    parse(&answer)
}

const GONE: &str = "the operator has gone away before its answer was whole; is it being restarted?";

fn parse<T: DeserializeOwned>(line: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(line).context("the operator's answer cannot be read; is it of another version?")
}

/// Tells the operator of this data folder that its database belongs to the queue that answers.
pub async fn accept(data: &Path) -> anyhow::Result<Accepted> {
    let response = ask(data, Method::POST, "db/accept").await?;
    parse(&response.bytes().await.context(GONE)?)
}

async fn get(data: &Path, what: &str, query: &impl Serialize) -> anyhow::Result<Response> {
    ask(data, Method::GET, &format!("{what}?{}", query_text(query)?)).await
}

async fn ask(data: &Path, method: Method, what: &str) -> anyhow::Result<Response> {
    let path = socket(data);
    let client = reqwest::Client::builder().unix_socket(path.clone()).build()?;
    let request = client.request(method, format!("http://operator/{what}"));
    let response = request.send().await.with_context(|| no_answer(data, &path))?;
    if !response.status().is_success() {
        bail!("{}", response.text().await?.trim_end());
    }
    Ok(response)
}

/// Why nobody answers, as far as it can be seen from here.
fn no_answer(data: &Path, socket: &Path) -> String {
    use io::ErrorKind::{NotFound, PermissionDenied};
    let (folder, file) = (std::fs::metadata(data), std::fs::metadata(socket));
    let is = |result: &io::Result<_>, kind| result.as_ref().is_err_and(|why| why.kind() == kind);
    let data = data.display();
    if is(&folder, NotFound) {
        format!("there is no data folder {data}; give the operator's own with --data-dir or HTC_DATA_DIR")
    } else if is(&file, PermissionDenied) {
        format!("the data folder {data} is not for this user; ask as the user whom the operator runs as")
    } else if is(&file, NotFound) {
        format!("no operator has run with the data folder {data}; is it the right one?")
    } else {
        format!(
            "no operator answers on {}; is it running, with this data folder, as this user?",
            socket.display()
        )
    }
}

/// The query as the text behind `?`; names of objects may hold any character here.
fn query_text(query: &impl Serialize) -> anyhow::Result<String> {
    let serde_json::Value::Object(fields) = serde_json::to_value(query)? else { bail!("no query") };
    let fields = fields.iter().filter(|(_, value)| !value.is_null());
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(fields.map(|(name, value)| format!("{name}={}", escape(&text(value)))).collect::<Vec<_>>().join("&"))
}

fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
