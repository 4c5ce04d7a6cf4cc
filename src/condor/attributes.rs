//! Attributes of a job's ad that users set by `+Name` or `MY.Name`: those of sites. What HTCondor knows is
//! refused, but for a short list: by it a job could act on others, and all jobs are of one account.
//!
//! What they mean: <https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html>

use std::collections::HashSet;
use std::sync::LazyLock;

/// What a site says about attributes: names, perhaps with `*` at an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteAttributes {
    /// They may not be set, whatever else is said of them.
    pub denied: Vec<String>,
    /// They may be set though HTCondor knows them.
    pub allowed: Vec<String>,
}

/// The names that HTCondor knows. The first line says up to which release.
const KNOWN: &str = include_str!("known_attributes.txt");

/// Names that may be set though HTCondor knows them, and why that is fine. All are texts, as the
/// commands of the same meaning.
pub const ALLOWED: &[(&str, &str)] = &[
    ("AccountingGroup", "who pays; the same as accounting_group and accounting_group_user"),
    ("AcctGroup", "who pays; a part of AccountingGroup"),
    ("AcctGroupUser", "who pays; a part of AccountingGroup"),
    ("JobDescription", "only shown by condor_q"),
    ("ProjectName", "who pays where projects do"),
];

/// Names that nobody may set, whatever the site allows.
const NEVER: &[(&str, &str)] = &[
    (
        "belongs to the operator",
        "HTC* Chirp* Args Arguments Cmd Env Environment Err In Iwd JobBatchName JobMaxVacateTime JobNotification \
         JobUniverse LeaveJobInQueue MaxTransferOutputMB OnExitRemove Out Owner ShouldTransferFiles StreamErr \
         StreamOut TransferExecutable TransferInput TransferOutput User WantDelayedUpdates WantGracefulRemoval \
         WhenToTransferOutput",
    ),
    (
        "is about credentials, which stay with the operator",
        "*Cred* *Keytab* *OAuth* *Password* *Proxy* *Secret* *Token* Krb* x509*",
    ),
    ("is HTCondor's own book-keeping", "_*"),
];

/// Names that HTCondor makes of parts, or adds to with its releases: known, although not in the list.
const FAMILIES: &str = "*JobRouter CommonInput* DelayCluster* DelayJob* DelayUser* IsOCU* MATCH_* OCU* PostArg* \
                        PostCmd* PostEnv* PreArg* PreCmd* PreEnv* Renice Routed* SUBMIT_* Singularity* Transfer* \
                        Transform* WantOCU*";

/// What names that HTCondor knows are about, for the refusal.
const ABOUT: &[(&str, &str)] = &[
    ("says whose the job is", "FileSystemDomain NTDomain OsUser PrimaryUnixGroup UidDomain"),
    (
        "decides whether the job stays, is held or leaves, which the operator does",
        "*NoopJob* *Remove* *Transform* Cron* Deferral* Hold* Interactive* JobLease* JobMaxRetries JobSuccess* \
         Kill* OnExit* Periodic* Release* Rematch Success* WantCheckpoint*",
    ),
    (
        "decides what the job runs, which spec.script does",
        "*JobHook* Container* Docker* Hook* PostArg* PostCmd* PostEnv* PreArg* PreCmd* PreEnv* RootDir RunAsOwner \
         Singularity* SkipIf* ToolDaemon* UseParrot WantContainer* WantDocker* WantSandboxImage* WantSIF*",
    ),
    (
        "decides which files travel, which the operator does",
        "*Catalog* *Common* *CoreFile* *Iwd *Log *Remaps AppendFiles Buffer* Checkpoint* CompressFiles \
         DontEncrypt* DropJobAd* Encrypt* ErrSize FetchFiles FileRemaps LocalFiles Manifest* MaxTransfer* \
         OutSize Output* Preserve* PublicInput* Spool* Stream* Transfer* UserLog* WantFTOn* WantIOProxy WantRemote*",
    ),
    (
        "decides when and where jobs start, for those of others too",
        "*JobPrio* *OCU* Claim* Delay* Flock* KeepClaim* NextJobStart* Nice* Prefer* Renice Want*",
    ),
];

/// Words of the ClassAd language.
const RESERVED: &[&str] =
    &["error", "false", "is", "isnt", "my", "other", "parent", "target", "true", "undefined"];

/// A longer name than this is none.
const NAME_MAX: usize = 256;

/// What HTCondor knows, in lower case, and the patterns among it.
static NAMES: LazyLock<(HashSet<String>, Vec<&str>)> = LazyLock::new(|| {
    let (patterns, names): (Vec<&str>, Vec<&str>) =
        KNOWN.lines().skip(1).partition(|name| name.contains('*'));
    let names = names.into_iter().map(str::to_ascii_lowercase).collect();
    (names, patterns.into_iter().chain(FAMILIES.split_whitespace()).collect())
});

/// The newest release of HTCondor whose attributes are known: `25.14.1`.
pub fn release() -> &'static str {
    let word = KNOWN.lines().next().and_then(|line| line.split_whitespace().nth(2));
    word.unwrap_or_default().trim_end_matches(':')
}

/// Why a user may not set the attribute, as the end of a sentence.
pub fn check_name(name: &str, site: &SiteAttributes) -> Result<(), String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(word);
    if name.is_empty() || name.len() > NAME_MAX || !is_name {
        return Err(format!("{name:?} is no name of an attribute"));
    }
    if RESERVED.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(format!("{name} is a word of the ClassAd language"));
    }
    if let Some(why) = about(name, NEVER) {
        return Err(format!("the attribute {name} may not be set: it {why}"));
    }
    if is_among(&site.denied, name) {
        return Err(format!("the attribute {name} may not be set at this site"));
    }
    if is_allowed(name) || is_among(&site.allowed, name) || !is_known(name) {
        return Ok(());
    }
    let why = about(name, ABOUT).unwrap_or("is one of HTCondor's own");
    Err(format!(
        "the attribute {name} may not be set: it {why}; where it is harmless, the operator's administrator can \
         allow it by HTC_ALLOW_ATTRIBUTES"
    ))
}

/// Whether this attribute must have a text as its value. Without quotes that would be the name of another
/// attribute, which is not there.
pub fn is_text(name: &str) -> bool {
    is_allowed(name) || name.eq_ignore_ascii_case("JobFlavour")
}

/// Whether a site names this attribute.
pub fn is_among(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// Whether a name is meant by a pattern with `*` at its ends.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.to_ascii_lowercase());
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (Some(middle), Some(_)) => name.contains(middle.trim_end_matches('*')),
        (None, None) => name == pattern,
    }
}

fn is_allowed(name: &str) -> bool {
    ALLOWED.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
}

fn is_known(name: &str) -> bool {
    let (names, patterns) = &*NAMES;
    names.contains(&name.to_ascii_lowercase()) || patterns.iter().any(|pattern| matches(pattern, name))
}

/// What the table says of a name.
fn about(name: &str, table: &[(&'static str, &str)]) -> Option<&'static str> {
    let is_meant = |patterns: &str| patterns.split_whitespace().any(|pattern| matches(pattern, name));
    table.iter().find(|(_, patterns)| is_meant(patterns)).map(|(why, _)| *why)
}

#[cfg(test)]
#[path = "attributes_tests.rs"]
mod tests;
