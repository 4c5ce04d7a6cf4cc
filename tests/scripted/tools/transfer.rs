//! `condor_transfer_data`: brings outputs from the spool to where the jobs were submitted from.

use std::io;
use std::path::Path;

use serde_json::Value;

use super::faults::Fault;
use super::options::Options;
use super::state::Ad;
use super::{Call, Failure, Outcome, act, job, say};

pub(super) fn run(call: Call, options: &Options) -> Outcome {
    let Call { schedd, fault, before, .. } = call;
    let mut places = before.matching(options.constraint()?)?;
    say("Fetching data files...\n");
    match fault {
        Some(Fault::NothingDone) => return Ok(()),
        Some(Fault::HalfOutput { .. }) => places.truncate(places.len() / 2),
        _ => {}
    }
    let jobs: Vec<&Ad> = places.iter().map(|place| &before.queue[*place]).collect();
    for ad in &jobs {
        fetch(&before.spool, ad)?;
    }
    if let Some(Fault::HalfOutput { code }) = fault {
        let text =
            "DCSchedd::receiveJobSandbox:7003:File transfer failed.\nERROR: Failed to spool job files.";
        return if code == 0 { Ok(()) } else { Err(Failure { text: text.to_owned(), code }) };
    }
    let jobs: Vec<String> = jobs.into_iter().map(job::id).collect();
    schedd.change(|state| {
        let now = state.now();
        let over = |ad: &&mut Ad| job::is_over(ad) && jobs.contains(&job::id(ad));
        for ad in state.queue.iter_mut().filter(over) {
            ad.insert("StageOutStart".to_owned(), Value::from(now));
            ad.insert("StageOutFinish".to_owned(), Value::from(now));
        }
    })?;
    act::after(schedd, fault)
}

/// Brings the files of one job home. One that lacks a file fails the whole call, as with the real
/// tool; of a job that never ran there is nothing to fetch.
fn fetch(root: &Path, ad: &Ad) -> Outcome {
    if !matches!(job::int(ad, "NumShadowStarts"), Some(1..)) {
        return Ok(());
    }
    let (from, to) = (job::spool(root, ad), Path::new(job::text(ad, "SUBMIT_Iwd")));
    for name in job::outputs(ad) {
        let done = copy(&from.join(name), &to.join(name));
        if let (Err(error), true) = (&done, job::is_over(ad)) {
            return Err(Failure::from(format!(
                "DCSchedd::receiveJobSandbox:7003:File transfer failed for target job {}: {}: {error}\n\
                 ERROR: Failed to spool job files.",
                job::id(ad),
                from.join(name).display(),
            )));
        }
    }
    Ok(())
}

/// Copies a file, or a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return std::fs::copy(from, to).map(drop);
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
