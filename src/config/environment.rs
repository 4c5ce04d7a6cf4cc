//! What we read of our own environment beside settings.

use std::path::PathBuf;

/// Variables of our own environment that HTCondor's tools need: where they and their credentials
/// are. Nothing else of it reaches them.
const KEPT_FOR_TOOLS: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "CONDOR_CONFIG",
    "KRB5CCNAME",
    "KRB5_CONFIG",
    "BEARER_TOKEN",
    "BEARER_TOKEN_FILE",
    "X509_USER_PROXY",
    "X509_CERT_DIR",
];

/// What of our own environment HTCondor's tools get.
pub fn tool_environment() -> Vec<(String, String)> {
    let kept = |name: &str| KEPT_FOR_TOOLS.contains(&name) || name.starts_with("_CONDOR_");
    std::env::vars().filter(|(name, _)| kept(name)).collect()
}

/// Those of these variables that are set, and not to nothing.
pub fn variables(names: &[&str]) -> Vec<(String, String)> {
    let set = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
    names.iter().filter_map(set).filter(|(_, value)| !value.is_empty()).collect()
}

/// The folder for what a program of this user keeps: `$XDG_STATE_HOME`, else `~/.local/state`.
pub fn state_folder() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))
}

/// The file beside this program.
pub fn beside_us(name: &str) -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
