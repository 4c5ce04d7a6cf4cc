//! Which attributes are the sites' own, and which act on others.

use super::*;

fn check(name: &str) -> Result<(), String> {
    check_name(name, &SiteAttributes::default())
}

fn site(denied: &[&str], allowed: &[&str]) -> SiteAttributes {
    let owned = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
    SiteAttributes { denied: owned(denied), allowed: owned(allowed) }
}

#[test]
fn attributes_of_sites_are_free_however_they_begin() {
    let sites = "JobFlavour MaxRuntime AccountingGroup WantOS DESIRED_Sites MyTag JobCategory RemoteJob Drain \
                 JOB_EXPECTED_MAX_LIFETIME Jobsub_Group GeneratedBy RequestWalltime ProjectName WantFlocking \
                 is_resumable WantGPULab GPUJobLength TotalEvents OfflineSite MaxWallTimeMins CRAB_Workflow \
                 StartDate Document RequireX ContactEmail";
    for name in sites.split_whitespace() {
        assert_eq!(check(name), Ok(()), "{name}");
    }
}

#[test]
fn what_acts_on_other_jobs_is_refused_with_a_reason() {
    let acting = "NextJobStartDelay JobMachineAttrsHistoryLength PreJobPrio1 PostJobPrio2 KeepClaimIdle FlockTo \
                  WantParallelScheduling WantParallelSchedulingGroups ClaimStartd SkipIfDataflow CommonInputFiles \
                  TransformOnEvict TransformBody_x transformbody_1 OCUWanted OCUName OCUx IsOCUHolder WantOCU \
                  PrimaryUnixGroup CommonInputCatalogs RequireCommonFilesTransfer JobCoreFileName DelayJob \
                  DelayJobUntil DelayUser DelayUserUntil DelayCluster LocalFiles JobStarterDebug \
                  MachineAttrX0 ConcurrencyLimits JobPrio NiceUser JobSetName Nonessential JobLeaseDuration \
                  DAGManJobId CronMinute DeferralTime StackSize SubmitterTag CloudLabelX WantFTOnCheckpoint \
                  EncryptExecuteDirectory ManifestDesired Renice JobMaterializeLimit NumJobStarts LimitDirectoryAccess \
                  MATCH_EXP_X SUBMIT_Iwd";
    for name in acting.split_whitespace() {
        let why = check(name).unwrap_err();
        let begin = format!("the attribute {name} may not be set: it ");
        assert!(why.starts_with(&begin) && why.ends_with("HTC_ALLOW_ATTRIBUTES"), "{why}");
        assert!(check(&name.to_lowercase()).is_err(), "{name}");
    }
}

#[test]
fn what_is_ours_is_never_free_whatever_a_site_allows() {
    let ours = "HTCOperatorUid htcack HTCNamespace HTCName ChirpHTCReport Owner USER Cmd Args Env Environment Iwd \
                LeaveJobInQueue x509userproxy TransferInput TransferOutput OnExitRemove JobBatchName \
                OAuthServicesNeeded _condor_x true TARGET JobMaxVacateTime Out Err WantGracefulRemoval \
                MyProxyPassword SendCredential";
    let all = site(&[], &["*"]);
    for name in ours.split_whitespace().chain(["", "1x", "a.b", "a b", &"x".repeat(257)]) {
        assert!(check(name).is_err() && check_name(name, &all).is_err(), "{name}");
    }
}

#[test]
fn what_was_refused_before_is_refused_still() {
    let before = "SUBMIT_Iwd JobStatus WantIOProxy TransferOutputRemaps PeriodicRemove OtherJobRemoveRequirements \
                  IsNoopJob PreCmd SingularityImage WantJobRouter RoutedToJobId NumJobStarts ExitCode \
                  StageInFinish UserLog";
    for name in before.split_whitespace() {
        assert!(check(name).is_err(), "{name}");
    }
}

#[test]
fn every_name_of_the_list_is_refused_but_for_the_allowed() {
    let names: Vec<&str> = KNOWN.lines().skip(1).collect();
    assert!(names.len() > 1_400, "{}", names.len());
    for name in names {
        let one = name.replace('*', "X");
        assert_eq!(check(&one).is_ok(), is_allowed(&one), "{name}");
    }
    for (name, why) in ALLOWED {
        assert!(is_known(name) && !why.is_empty(), "{name} need not be allowed");
    }
}

#[test]
fn the_list_says_its_release() {
    let numbers: Vec<u32> = release().split('.').map(|n| n.parse().unwrap()).collect();
    assert!(numbers >= vec![25, 14, 1], "{}", release());
}

#[test]
fn a_site_can_deny_more_and_allow_more_and_what_it_denies_counts() {
    let want = site(&["Want*"], &[]);
    assert!(check_name("WantOS", &want).unwrap_err().contains("at this site"));
    assert_eq!(check_name("MaxRuntime", &want), Ok(()));
    let keep = site(&["KeepClaimIdle"], &["KeepClaim*", "StackSize"]);
    assert_eq!(check_name("stacksize", &keep), Ok(()));
    assert!(check_name("KeepClaimIdle", &keep).unwrap_err().contains("at this site"));
    assert!(check_name("JobPrio", &keep).is_err());
}

#[test]
fn the_guide_shows_what_is_allowed_and_nothing_else() {
    let guide = include_str!("../../docs/htcjob.md");
    let table = guide.split("| attribute that HTCondor knows |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let told: Vec<String> = rows.map(str::to_owned).collect();
    let expected: Vec<String> = ALLOWED.iter().map(|(name, why)| format!("| `{name}` | {why} |")).collect();
    assert_eq!(told, expected);
}
