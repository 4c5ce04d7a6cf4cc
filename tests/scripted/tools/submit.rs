//! `condor_submit -spool`: commit all, print the id, then send the files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::constraint::Expression;
use super::description::{self, Description, Proc};
use super::faults::{Fault, Planned};
use super::job;
use super::options::Options;
use super::state::{Ad, Event, State};
use super::{Call, Failure, Outcome, hang, say, transfer, unscripted, wait_until};

/// What a submit command's value becomes.
#[derive(Clone, Copy)]
enum Kind {
    /// A string.
    Text,
    /// An expression.
    Expression,
    /// Nothing that the schedd keeps.
    Nothing,
}

/// The commands that are known, and their attributes; others are macros.
const COMMANDS: &[(&str, &str, Kind)] = &[
    ("universe", "", Kind::Nothing),
    ("executable", "Cmd", Kind::Text),
    ("arguments", "Args", Kind::Text),
    ("transfer_input_files", "TransferInput", Kind::Text),
    ("transfer_output_files", "TransferOutput", Kind::Text),
    ("max_transfer_output_mb", "MaxTransferOutputMB", Kind::Expression),
    ("output", "Out", Kind::Text),
    ("error", "Err", Kind::Text),
    ("should_transfer_files", "ShouldTransferFiles", Kind::Text),
    ("when_to_transfer_output", "WhenToTransferOutput", Kind::Text),
    ("initialdir", "Iwd", Kind::Text),
    ("batch_name", "JobBatchName", Kind::Text),
    ("on_exit_remove", "OnExitRemove", Kind::Expression),
    ("want_graceful_removal", "WantGracefulRemoval", Kind::Expression),
    ("leave_in_queue", "LeaveJobInQueue", Kind::Expression),
    ("job_max_vacate_time", "JobMaxVacateTime", Kind::Expression),
    ("requirements", "Requirements", Kind::Expression),
    ("rank", "Rank", Kind::Expression),
    ("priority", "JobPrio", Kind::Expression),
    ("request_cpus", "RequestCpus", Kind::Text),
    ("request_memory", "RequestMemory", Kind::Text),
    ("request_disk", "RequestDisk", Kind::Text),
    ("request_gpus", "RequestGPUs", Kind::Text),
    ("accounting_group", "AcctGroup", Kind::Text),
    ("accounting_group_user", "AcctGroupUser", Kind::Text),
    ("concurrency_limits", "ConcurrencyLimits", Kind::Text),
    ("getenv", "", Kind::Nothing),
    ("notification", "", Kind::Nothing),
];

pub(super) fn run(call: Call, options: &Options) -> Outcome {
    let Call { schedd, fault, before, .. } = call;
    let (true, true, [file]) = (options.terse, options.spool, options.plain.as_slice()) else {
        return Err(unscripted("condor_submit without -terse, -spool and one file"));
    };
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::from(format!("ERROR: Failed to open command file {file} ({e})")))?;
    let description = description::parse(&text)?;
    // Everything that the tool itself refuses, before it speaks of a commit.
    let ads = ads(&description, 0, 0)?;
    if Planned::room(&before.plan).is_some_and(|room| before.queue.len() + ads.len() > room) {
        return Err(beyond("MAX_JOBS_PER_OWNER"));
    }
    if Planned::at_once(&before.plan).is_some_and(|most| ads.len() > most) {
        return Err(beyond("MAX_JOBS_PER_SUBMISSION"));
    }
    let values = ads.iter().flat_map(Ad::values).filter_map(Value::as_str);
    if let Some(refusal) = Planned::refusal(&before.plan, values) {
        return Err(Failure::from(refusal));
    }
    if fault == Some(Fault::WaitBeforeCommit) {
        wait_until(schedd, |state| state.gate > before.gate)?;
    }
    let committed = schedd.change(|state| commit(state, &description))??;
    let first = committed.first().map(job::id).unwrap_or_default();
    let last = committed.last().map(job::id).unwrap_or_default();
    let print = || say(&format!("{first} - {last}\n"));
    match fault {
        Some(Fault::CommitThenFail(text)) => return Err(Failure::from(text)),
        Some(Fault::CommitThenHang { print: id }) => {
            if id {
                print();
            }
            hang(schedd)?;
        }
        _ => print(),
    }
    if Planned::is_slow(&before.plan, committed.len()) {
        hang(schedd)?;
    }
    match fault {
        Some(Fault::ExitZeroButHeld) => return Ok(()),
        Some(Fault::SpoolFails) => {
            return Err(failed_to_spool(
                &first,
                "reading from the connection: (errno 104) Connection reset by peer",
            ));
        }
        Some(Fault::WaitAfterId) => wait_until(schedd, |state| state.gate > before.gate)?,
        _ => {}
    }
    for ad in &committed {
        spool(&before.spool, ad)?;
    }
    schedd.change(|state| release(state, &committed))?;
    Ok(())
}

/// The second line has no `ERROR:`.
fn beyond(limit: &str) -> Failure {
    Failure::from(format!("\nERROR: Failed to create proc\nNumber of submitted jobs would exceed {limit}"))
}

/// The ads of the jobs of a description, as they are committed.
fn ads(description: &Description, cluster: u32, now: i64) -> Result<Vec<Ad>, Failure> {
    let ads = description.procs().enumerate().map(|(n, proc)| ad(proc.with_id(cluster, n), cluster, n, now));
    let ads = ads.collect::<Result<Vec<Ad>, Failure>>()?;
    if ads.is_empty() { Err(Failure::from("ERROR: no jobs".to_owned())) } else { Ok(ads) }
}

fn ad(proc: Proc, cluster: u32, n: usize, now: i64) -> Result<Ad, Failure> {
    let mut ad = Ad::new();
    for name in proc.names() {
        let known = COMMANDS.iter().find(|(command, ..)| command.eq_ignore_ascii_case(name));
        let own = name.get(..3).filter(|scope| scope.eq_ignore_ascii_case("MY.")).map(|_| &name[3..]);
        let (attribute, kind) = match (known, own) {
            (Some((_, attribute, kind)), _) => (*attribute, *kind),
            (None, Some(attribute)) => (attribute, Kind::Expression),
            (None, None) => continue,
        };
        let value = proc.value(name)?.unwrap_or_default();
        let value = match kind {
            Kind::Nothing => continue,
            Kind::Text => Value::from(value),
            Kind::Expression => Expression::to_json(&value).map_err(|_| {
                Failure::from(format!("ERROR: Parse error in expression: \n\t{attribute} = {value}"))
            })?,
        };
        ad.insert(attribute.to_owned(), value);
    }
    let here = std::env::current_dir()?;
    let folder = here.join(job::text(&ad, "Iwd"));
    if !folder.is_dir() {
        return Err(Failure::from(format!("ERROR: No such directory: {}", folder.display())));
    }
    let executable = here.join(job::text(&ad, "Cmd"));
    if !executable.is_file() {
        return Err(Failure::from(format!("ERROR: Executable file {} does not exist", executable.display())));
    }
    job::set(
        &mut ad,
        json!({
            "ClusterId": cluster, "ProcId": n, "GlobalJobId": format!("test@pool#{cluster}.{n}#{now}"),
            "MyType": "Job", "JobUniverse": 5, "Owner": "alice", "User": "alice@pool", "QDate": now,
            "JobStatus": 5, "EnteredCurrentStatus": now, "HoldReason": "Spooling input data files",
            "HoldReasonCode": 16, "NumJobStarts": 0, "ExitBySignal": false,
            "Iwd": folder.display().to_string(),
        }),
    );
    Ok(ad)
}

fn commit(state: &mut State, description: &Description) -> Result<Vec<Ad>, Failure> {
    state.cluster += 1;
    state.commits += 1;
    let ads = ads(description, state.cluster, state.now())?;
    for ad in &ads {
        state.record(ad, Event::Committed);
    }
    state.queue.extend(ads.iter().cloned());
    Ok(ads)
}

/// Sends the input files of a job.
fn spool(root: &Path, ad: &Ad) -> Outcome {
    let (from, to) = (PathBuf::from(job::text(ad, "Iwd")), job::spool(root, ad));
    std::fs::create_dir_all(&to)?;
    for name in job::text(ad, "TransferInput").split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let source = from.join(name);
        let target = to.join(source.file_name().unwrap_or_default());
        transfer::copy(&source, &target).map_err(|error| {
            failed_to_spool(&job::id(ad), &format!("reading from file {}: {error}", source.display()))
        })?;
    }
    Ok(())
}

/// As measured: "first failure" of whatever goes wrong while files travel.
fn failed_to_spool(job: &str, why: &str) -> Failure {
    Failure::from(format!(
        "DCSchedd::spoolJobFiles:7002:File transfer failed for target job {job}: {why}\n\
         ERROR: Failed to spool job files."
    ))
}

/// All files are there: the jobs may run.
pub fn release(state: &mut State, jobs: &[Ad]) {
    let (now, root) = (state.now(), state.spool.clone());
    for place in 0..state.queue.len() {
        let ad = &mut state.queue[place];
        if !jobs.iter().any(|job| job::is_same(job, ad)) || job::int(ad, "HoldReasonCode") != Some(16) {
            continue;
        }
        let (submitted_from, spool) = (job::text(ad, "Iwd").to_owned(), job::spool(&root, ad));
        job::set(
            ad,
            json!({
                "StageInStart": now, "StageInFinish": now,
                "SUBMIT_Iwd": submitted_from, "Iwd": spool.display().to_string(),
            }),
        );
        state.make_idle(place);
        let ad = state.queue[place].clone();
        state.record(&ad, Event::Staged);
    }
}
