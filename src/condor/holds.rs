//! HTCondor's hold codes: the name of each, and who can do what about it.
//! <https://htcondor.readthedocs.io/en/latest/codes-other-values/hold-reason-codes.html>

use std::borrow::Cow;

/// `HoldReasonSubCode` of a job that used more memory than it had.
const MEMORY: i64 = 102;
/// The same for disk.
const DISK: i64 = 104;

/// The label of codes that are not in the table.
const OTHER: &str = "Other";

const NEW_CODE: &str = "This version of the operator does not know the hold code. The pool's admin knows what it \
                        means; afterwards condor_release runs the job again, or delete the HTCJob";
const MORE_MEMORY: &str = "The job used more memory than it asked for. Delete the HTCJob and apply it again with a \
                           larger request_memory in spec.htcopts; or an admin raises RequestMemory with condor_qedit \
                           and runs condor_release";
const MORE_DISK: &str = "The job used more disk than it asked for. Delete the HTCJob and apply it again with a larger \
                         request_disk in spec.htcopts; or an admin raises RequestDisk with condor_qedit and runs \
                         condor_release";
const PROTOCOL: &str = "Two parts of HTCondor lost one another while files travelled, as in a restart. condor_release \
                        runs the job again; if it comes back, ask the pool's admin";
const STREAM: &str = "The pool's admin looks at rights and room for it on the access point, then condor_release runs \
                      the job again";
const CLOUD: &str = "It is about virtual machines in a cloud, which the operator never asks for: somebody has changed \
                     the job. Delete the HTCJob and apply it again";

/// Code, name, and remedy. Missing numbers are those of parts that HTCondor no longer has.
const CODES: &[(i64, &str, &str)] = &[
    (
        0,
        "Unspecified",
        "HTCondor names no reason. Ask the pool's admin, then condor_release runs the job again",
    ),
    (
        1,
        "UserRequest",
        "Somebody put it on hold with condor_hold. That person or an admin runs condor_release; or delete the HTCJob",
    ),
    (
        3,
        "JobPolicy",
        "A rule of the job itself (such as periodic_hold) was met; the sentence says which. Correct it in a new \
         HTCJob and delete this one, or an admin runs condor_release",
    ),
    (
        4,
        "CorruptedCredential",
        "The job's credential is missing, expired or damaged. The operator's admin renews it, then condor_release \
         runs the job again",
    ),
    (
        5,
        "JobPolicyUndefined",
        "A rule of the job has no value, mostly for a misspelt attribute. Correct spec.htcopts in a new HTCJob and \
         delete this one",
    ),
    (
        6,
        "FailedToCreateProcess",
        "The worker could not start the in-job program: it is damaged, for another kind of machine, or may not run \
         there. The operator's admin corrects the setting HTC_SENDER; then delete the HTCJob and apply it again",
    ),
    (7, "UnableToOpenOutput", STREAM),
    (8, "UnableToOpenInput", STREAM),
    (9, "UnableToOpenOutputStream", STREAM),
    (10, "UnableToOpenInputStream", STREAM),
    (11, "InvalidTransferAck", PROTOCOL),
    (
        12,
        "TransferOutputError",
        "The job's files could not be brought back. If the script removes its working folder, correct it in a new \
         HTCJob and delete this one; if a disk is full, its admin makes room and condor_release runs the job again",
    ),
    (
        13,
        "TransferInputError",
        "The job's files could not be brought to the worker. If a disk is full, its admin makes room and \
         condor_release runs the job again; if they are gone, delete the HTCJob and apply it again",
    ),
    (
        14,
        "IwdError",
        "The job's folder cannot be entered. The pool's admin looks at the folder that the sentence names, then \
         condor_release runs the job again",
    ),
    (15, "SubmittedOnHold", "It was submitted on hold. condor_release lets it start"),
    (
        16,
        "SpoolingInput",
        "Its files are on their way to HTCondor. Nothing is to be done: the operator waits for them, or submits it \
         again",
    ),
    (
        17,
        "JobShadowMismatch",
        "The access point's condor_shadow does not suit the job. The pool's admin mends the installation, then \
         condor_release runs the job again",
    ),
    (18, "InvalidTransferGoAhead", PROTOCOL),
    (
        19,
        "HookPrepareJobFailure",
        "A program that the pool runs before each job refused it or failed. The pool's admin looks at \
         HOOK_PREPARE_JOB, then condor_release runs the job again",
    ),
    (
        20,
        "MissedDeferredExecutionTime",
        "The time at which it should have started is over. Delete the HTCJob and apply it again",
    ),
    (
        21,
        "StartdHeldJob",
        "A rule of the machine (WANT_HOLD) was met, mostly a limit of memory, disk or time. Ask for more in \
         spec.htcopts of a new HTCJob and delete this one, or ask the pool's admin to condor_release it",
    ),
    (22, "UnableToInitUserLog", STREAM),
    (
        23,
        "FailedToAccessUserAccount",
        "The account that runs the job cannot be used there. The pool's admin mends the account, then condor_release \
         runs the job again",
    ),
    (
        24,
        "NoCompatibleShadow",
        "The access point has no condor_shadow for the job. The pool's admin mends the installation, then \
         condor_release runs the job again",
    ),
    (
        25,
        "InvalidCronSettings",
        "Its times to start make no sense. The operator never sets any: somebody has changed the job. Delete the \
         HTCJob and apply it again",
    ),
    (
        26,
        "SystemPolicy",
        "A rule of the pool (SYSTEM_PERIODIC_HOLD) was met, mostly a limit; the sentence says which. Ask for what the \
         job needs in spec.htcopts of a new HTCJob and delete this one, or ask the pool's admin to condor_release it",
    ),
    (
        27,
        "SystemPolicyUndefined",
        "A rule of the pool has no value for this job. The pool's admin mends it, then condor_release runs the job \
         again",
    ),
    (
        32,
        "MaxTransferInputSizeExceeded",
        "The job's files are larger than the pool takes (MAX_TRANSFER_INPUT_MB). Let the script fetch what it needs, \
         in a new HTCJob, and delete this one; or ask the pool's admin for more",
    ),
    (
        33,
        "MaxTransferOutputSizeExceeded",
        "What the script left in its working folder is larger than may come home (--max-output-mb of the operator, \
         MAX_TRANSFER_OUTPUT_MB of the pool). Let it write large files elsewhere, in a new HTCJob, and delete this \
         one; or ask the admins for more",
    ),
    (
        34,
        "JobOutOfResources",
        "The job used more than it asked for, mostly memory. Delete the HTCJob and apply it again with a larger \
         request_memory or request_disk in spec.htcopts; or an admin raises it with condor_qedit and runs \
         condor_release",
    ),
    (
        35,
        "InvalidDockerImage",
        "The image cannot be used. Correct spec.script.image in a new HTCJob and delete this one",
    ),
    (
        36,
        "FailedToCheckpoint",
        "The job did not take the signal to save its state. The operator never asks for that: somebody has changed \
         the job. Delete the HTCJob and apply it again",
    ),
    (37, "EC2UserError", CLOUD),
    (38, "EC2InternalError", CLOUD),
    (39, "EC2AdminError", CLOUD),
    (40, "EC2ConnectionProblem", CLOUD),
    (41, "EC2ServerError", CLOUD),
    (42, "EC2InstancePotentiallyLostError", CLOUD),
    (
        43,
        "PreScriptFailed",
        "A program that the pool runs before the job failed. The pool's admin looks at it, then condor_release runs \
         the job again",
    ),
    (
        44,
        "PostScriptFailed",
        "A program that the pool runs after the job failed. The pool's admin looks at it, then condor_release runs \
         the job again",
    ),
    (
        45,
        "SingularityTestFailed",
        "Apptainer does not work on that worker. The pool's admin mends the worker, then condor_release runs the job \
         again",
    ),
    (
        46,
        "JobDurationExceeded",
        "It took longer than allowed_job_duration, with its files' travel. Delete the HTCJob and apply it again with \
         more time or less work",
    ),
    (
        47,
        "JobExecuteExceeded",
        "It ran longer than allowed_execute_duration. Delete the HTCJob and apply it again with more time or less \
         work",
    ),
    (
        48,
        "HookShadowPrepareJobFailure",
        "A program that the access point runs before each job refused it or failed. The pool's admin looks at the \
         shadow's hook, then condor_release runs the job again",
    ),
    (
        49,
        "CannotSwitchPrimaryGroup",
        "The job's attribute PrimaryUnixGroup names a group in which the operator's account may not run it. The \
         operator never sets it: somebody has changed the job, or the pool's admin changes the account or the rule \
         that sets it. Then condor_release runs the job again, or delete the HTCJob and apply it again",
    ),
];

/// The name of a hold code.
pub fn name(code: i64) -> Cow<'static, str> {
    find(code).map_or_else(|| format!("HoldCode{code}").into(), |(_, name, _)| (*name).into())
}

/// Who can do what about it, in words.
pub fn remedy(code: i64, subcode: i64) -> &'static str {
    match (code, subcode) {
        (21 | 34, MEMORY) => MORE_MEMORY,
        (21 | 34, DISK) => MORE_DISK,
        _ => find(code).map_or(NEW_CODE, |(.., remedy)| remedy),
    }
}

/// The name of a hold code where only so many names may be: in metrics.
pub fn label(code: i64) -> &'static str {
    find(code).map_or(OTHER, |(_, name, _)| name)
}

/// Whether it stands for memory that was used beyond what was asked for.
pub fn is_out_of_memory(code: i64, subcode: i64) -> bool {
    matches!((code, subcode), (21 | 34, MEMORY))
}

/// All labels.
pub fn labels() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|(_, name, _)| *name).chain([OTHER])
}

fn find(code: i64) -> Option<&'static (i64, &'static str, &'static str)> {
    CODES.iter().find(|(known, ..)| *known == code)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The codes of HTCondor 25.14.1, the newest that the test bed has, in their order from 0.
    const RELEASED: &str = "\
        Unspecified UserRequest GlobusGramError JobPolicy CorruptedCredential JobPolicyUndefined \
        FailedToCreateProcess UnableToOpenOutput UnableToOpenInput UnableToOpenOutputStream \
        UnableToOpenInputStream InvalidTransferAck TransferOutputError TransferInputError IwdError \
        SubmittedOnHold SpoolingInput JobShadowMismatch InvalidTransferGoAhead HookPrepareJobFailure \
        MissedDeferredExecutionTime StartdHeldJob UnableToInitUserLog FailedToAccessUserAccount \
        NoCompatibleShadow InvalidCronSettings SystemPolicy SystemPolicyUndefined GlexecChownSandboxToUser \
        PrivsepChownSandboxToUser GlexecChownSandboxToCondor PrivsepChownSandboxToCondor \
        MaxTransferInputSizeExceeded MaxTransferOutputSizeExceeded JobOutOfResources InvalidDockerImage \
        FailedToCheckpoint EC2UserError EC2InternalError EC2AdminError EC2ConnectionProblem EC2ServerError \
        EC2InstancePotentiallyLostError PreScriptFailed PostScriptFailed SingularityTestFailed \
        JobDurationExceeded JobExecuteExceeded HookShadowPrepareJobFailure CannotSwitchPrimaryGroup";

    #[test]
    fn every_code_of_the_newest_release_has_its_name_and_a_remedy_and_none_has_two() {
        // Those of Globus, glexec and PrivSep: HTCondor has their numbers and no longer the parts.
        let is_set = |(code, _): &(i64, &str)| *code != 2 && !(28..=31).contains(code);
        let released: Vec<_> = (0..).zip(RELEASED.split_whitespace()).filter(is_set).collect();
        let known: Vec<_> = CODES.iter().map(|(code, name, _)| (*code, *name)).collect();
        assert_eq!(known, released);
        for (code, name, remedy) in CODES {
            assert!(name.chars().all(char::is_alphanumeric) && !name.is_empty(), "{code}: {name:?}");
            assert!(remedy.len() > 20 && !remedy.ends_with('.'), "{code}: {remedy:?}");
        }
        let names: HashSet<&str> = labels().collect();
        assert_eq!(names.len(), CODES.len() + 1, "a name is there twice");
    }

    #[test]
    fn memory_and_disk_have_remedies_of_their_own() {
        assert_eq!(name(34), "JobOutOfResources");
        assert!(remedy(34, 102).contains("larger request_memory in"), "{}", remedy(34, 102));
        assert!(remedy(34, 104).contains("larger request_disk in"), "{}", remedy(34, 104));
        assert!(remedy(34, 0).contains("request_memory or request_disk"), "{}", remedy(34, 0));
        assert_eq!(remedy(21, 102), remedy(34, 102));
        assert!(is_out_of_memory(34, 102) && !is_out_of_memory(34, 104) && !is_out_of_memory(12, 102));
        assert_ne!(remedy(12, 102), remedy(34, 102), "there it is an error number");
    }

    #[test]
    fn a_code_that_came_later_has_a_name_with_its_number_and_one_label() {
        assert_eq!((name(99).as_ref(), label(99)), ("HoldCode99", "Other"));
        assert!(remedy(99, 0).contains("condor_release"));
    }
}
