//! Files of a volume: their modes and their paths.

use k8s_openapi::api::core::v1::KeyToPath;

use htc_core::workload::spec::File;

use crate::pod::context::Context;
use crate::pod::delivered::Files;
use crate::pod::refusal::{Refusal, refuse};

/// The mode of a file where nothing else is said.
pub const MODE: i32 = 0o644;

/// Permission bits that a file can have.
pub fn mode(mode: i32, at: &str, field: &str) -> Result<u32, Refusal> {
    match u32::try_from(mode) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => refuse(at, field, format!("{mode} is no mode: it is a number from 0 to 511 (octal 0777)")),
    }
}

/// A path that stays inside its volume.
pub fn relative(path: &str, at: &str, field: &str) -> Result<String, Refusal> {
    let bad = path.is_empty() || path.starts_with('/') || path.contains('\0');
    match bad || path.split('/').any(|part| part == "..") {
        true => refuse(at, field, format!("{path:?} is no relative path without '..'")),
        false => Ok(path.to_owned()),
    }
}

/// The files of an object: all of them under their keys, or those that `items` name.
pub fn select(
    context: &Context<'_>,
    object: &Files,
    items: Option<&[KeyToPath]>,
    default_mode: u32,
    optional: bool,
    at: &str,
) -> Result<Vec<File>, Refusal> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let file = |(key, data): (&String, &Vec<u8>)| {
            let path = relative(key, at, "name")?;
            context.carry(path.len() + data.len(), at)?;
            Ok(File { path, mode: default_mode, data: data.clone() })
        };
        return object.iter().map(file).collect();
    };
    let mut files = Vec::new();
    for (n, KeyToPath { key, mode: own, path }) in items.iter().enumerate() {
        let at = format!("{at}.items[{n}]");
        let path = relative(path, &at, "path")?;
        let mode = own.map_or(Ok(default_mode), |own| mode(own, &at, "mode"))?;
        match object.get(key) {
            Some(data) => {
                context.carry(path.len() + data.len(), &at)?;
                files.push(File { path, mode, data: data.clone() });
            }
            None if optional => {}
            None => return refuse(&at, "key", format!("there is no key {key:?}")),
        }
    }
    Ok(files)
}
