//! Attributes of a job's ad that users set by `+Name` or `MY.Name`: any, but for those on which
//! HTCondor or we ourselves act.
//!
//! What HTCondor knows: <https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html>

/// Reasons, and names that are refused for them. A `*` at an end stands for anything; case does not
/// count. A prefix takes some names of sites along, but what a later HTCondor adds to it as well.
const DENIED: &[(&str, &str)] = &[
    ("belongs to the operator", "HTC* Chirp* JobBatchName WantDelayedUpdates"),
    (
        "is HTCondor's own book-keeping",
        "_* Absent AutoCluster* Block* Bytes* ClusterId Committed* Completion* Condor* Cumulative* Current* \
         DAG* Disk* EnteredCurrent* Executable* Exit* GlobalJobId ImageSize* JobAction* JobCurrent* \
         JobFinished* JobLast* JobMaterialize* JobRun* JobStart* JobStatus* JobSubmit* JobTransferring* \
         JobUniverse Last* MachineAttr* Managed* Match_* Matched* MaxHosts MemoryUsage* MinHosts MyAddress \
         MyType Nonessential Num* Orig* PostExit* ProcId ProportionalSetSize* QDate Remote* \
         ResidentSetSize* Routed* Server* Shadow* Stage* Startd* Starter* SubProcId Submit* Suspend* \
         TargetType Terminat* ToE Total* Vacate* Waitpid* WallClock* *JobRouter*",
    ),
    ("says whose the job is", "FileSystemDomain NTDomain OsUser Owner User UidDomain"),
    (
        "decides whether the job stays, is held or leaves, which the operator does",
        "*NoopJob* *Remove* Cron* Deferral* Hold* Interactive* JobLease* JobMaxRetries JobMaxVacate* \
         JobSuccess* Kill* Leave* OnExit* Periodic* Release* Rematch Success* WantGracefulRemoval \
         WantCheckpoint*",
    ),
    (
        "decides what the job runs, which spec.script does",
        "*JobHook* Args Arguments Cmd* Container* Docker* Env* Hook* PostArg* PostCmd* PostEnv* PreArg* \
         PreCmd* PreEnv* RootDir RunAsOwner Singularity* ToolDaemon* UseParrot WantContainer* WantDocker* \
         WantSandboxImage* WantSIF*",
    ),
    (
        "decides which files travel, which the operator does",
        "*Iwd *Log *Remaps AppendFiles Buffer* Checkpoint* CompressFiles DontEncrypt* DropJobAd* Email* \
         Encrypt* Err ErrSize FetchFiles FileRemaps In JobNotification LocalFiles Manifest* MaxTransfer* \
         NotifyUser Out OutSize Output* Preserve* PublicInput* ShouldTransfer* Spool* Stream* Transfer* \
         UserLog* WantFTOn* WantIOProxy WantRemote* WhenToTransfer*",
    ),
    (
        "is about credentials, which stay with the operator",
        "*Cred* *Keytab* *OAuth* *Password* *Proxy* *Secret* *Token* Krb* x509*",
    ),
];

/// Words of the ClassAd language.
const RESERVED: &[&str] =
    &["error", "false", "is", "isnt", "my", "other", "parent", "target", "true", "undefined"];

/// Attributes whose value is a text. Without quotes it would be the name of another attribute, which
/// is not there.
const TEXTS: &[&str] = &["AccountingGroup", "AcctGroup", "AcctGroupUser", "JobFlavour", "ProjectName"];

/// Why a user may not set the attribute, as the end of a sentence. `denied` is what the site adds.
pub fn check_name(name: &str, denied: &[String]) -> Result<(), String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(word) {
        return Err(format!("{name:?} is no name of an attribute"));
    }
    if known(RESERVED) {
        return Err(format!("{name} is a word of the ClassAd language"));
    }
    if denied.iter().any(|pattern| matches(pattern, name)) {
        return Err(format!("the attribute {name} may not be set at this site"));
    }
    let why =
        DENIED.iter().find(|(_, patterns)| patterns.split_whitespace().any(|pattern| matches(pattern, name)));
    why.map_or(Ok(()), |(why, _)| Err(format!("the attribute {name} may not be set: it {why}")))
}

/// Whether this attribute must have a text as its value.
pub fn is_text(name: &str) -> bool {
    TEXTS.iter().any(|known| known.eq_ignore_ascii_case(name))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_of_sites_are_free() {
        for name in
            ["JobFlavour", "MaxRuntime", "AccountingGroup", "WantOS", "DESIRED_Sites", "MyTag", "JobCategory"]
        {
            assert_eq!(check_name(name, &[]), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_is_ours_or_htcondors_is_not() {
        let ours = "HTCOperatorUid htcack ChirpHTCReport Owner USER Cmd Args Env Environment Iwd SUBMIT_Iwd \
                    LeaveJobInQueue JobStatus x509userproxy WantIOProxy TransferInput TransferOutputRemaps \
                    OnExitRemove PeriodicRemove OtherJobRemoveRequirements IsNoopJob PreCmd SingularityImage \
                    WantJobRouter RoutedToJobId NumJobStarts ExitCode StageInFinish UserLog \
                    OAuthServicesNeeded _condor_x true TARGET";
        for name in ours.split_whitespace().chain(["", "1x", "a.b", "a b"]) {
            assert!(check_name(name, &[]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_site_can_deny_more() {
        let site = ["Want*".to_owned()];
        assert!(check_name("WantOS", &site).unwrap_err().contains("at this site"));
        assert_eq!(check_name("MaxRuntime", &site), Ok(()));
    }
}
