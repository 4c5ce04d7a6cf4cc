//! The other end of the control socket.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

pub use super::logs::LogQuery;
use super::socket;

/// Asks the operator of this data folder for a log and writes it as it comes.
pub async fn logs(data: &Path, query: &LogQuery, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = socket(data);
    let client = reqwest::Client::builder().unix_socket(path.clone()).build()?;
    let url = format!("http://operator/logs?{}", query_text(query)?);
    let mut response = client.get(url).send().await.with_context(|| {
        format!(
            "no operator answers on {}; is it running, with this data folder, as this user?",
            path.display()
        )
    })?;
    if !response.status().is_success() {
        bail!("{}", response.text().await?.trim_end());
    }
    while let Some(chunk) = response.chunk().await? {
        out.write_all(&chunk)?;
    }
    Ok(out.flush()?)
}

/// The query as the text behind `?`; names of objects may hold any character here.
fn query_text(query: &LogQuery) -> anyhow::Result<String> {
    let serde_json::Value::Object(fields) = serde_json::to_value(query)? else { bail!("no query") };
    let fields = fields.iter().filter(|(_, value)| !value.is_null());
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Ok(fields.map(|(name, value)| format!("{name}={}", escape(&text(value)))).collect::<Vec<_>>().join("&"))
}

fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
