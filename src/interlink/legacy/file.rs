//! A configuration file: keys and values, in the order of their names.

use serde_json::Value;

/// The keys of a YAML file.
pub fn parse(text: &str) -> Result<Vec<(String, Value)>, String> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    match serde_saphyr::from_str::<Value>(text) {
        Ok(Value::Object(keys)) => Ok(keys.into_iter().collect()),
        Ok(Value::Null) => Ok(Vec::new()),
        Ok(_) => Err("it is no list of keys and values".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

/// A value as text; nothing for what is not there.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

/// A value as yes or no, as YAML files and variables have it.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match text(value)?.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A value for people: what is nested may hold a secret.
pub(super) fn shown(name: &str, value: &Value) -> String {
    let name = name.to_ascii_lowercase();
    let is_secret =
        ["token", "password", "secret"].iter().any(|word| name.contains(word)) && !name.ends_with("file");
    match value {
        _ if is_secret => "(secret)".to_owned(),
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(_) => "[…]".to_owned(),
        Value::Object(_) => "{…}".to_owned(),
        other => other.to_string(),
    }
}
