//! `condor_tail`: the bytes of a file of a running job, from its first on, and with `-follow` what is
//! added until the job runs no more.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::options::Options;
use super::state::{Ad, State};
use super::{Call, Failure, Outcome, hang, job, unscripted};

pub(super) fn run(call: Call, options: &Options) -> Outcome {
    let Call { schedd, before, .. } = call;
    let (true, [id, name]) = (options.max_bytes >= Some(1 << 40), options.plain.as_slice()) else {
        return Err(unscripted("condor_tail of anything but all of one file"));
    };
    let Some((start, path)) = running(&before, id, name)? else {
        // The real one tries again and again.
        return hang(schedd).map(drop);
    };
    // The spool keeps a file that the job has not made yet out of its way.
    let mut file = loop {
        match std::fs::File::open(&path) {
            Ok(file) => break file,
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let mut at = 0;
    loop {
        // Looked at before the file: what the job wrote until then is sent.
        let goes_on = running(&schedd.read()?, id, name)?.is_some_and(|(now, _)| now == start);
        if options.follow && !goes_on {
            return Ok(());
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(at))?;
        at += file.read_to_end(&mut bytes)? as u64;
        let mut out = std::io::stdout();
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() || !options.follow {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The start and the file of a running job; nothing when it does not run.
fn running(state: &State, id: &str, name: &str) -> Result<Option<(i64, PathBuf)>, Failure> {
    let is_it = |ad: &&Ad| job::id(ad) == *id;
    let ad = state.queue.iter().find(is_it).ok_or_else(|| format!("No such job: {id}"))?;
    if !job::outputs(ad).contains(&name) {
        let text = format!("Failed to peek at file from starter: File {name} requested but not authorized");
        return Err(Failure::from(text));
    }
    if job::int(ad, "JobStatus") != Some(2) {
        return Ok(None);
    }
    let start = job::int(ad, "NumShadowStarts").unwrap_or(0);
    Ok(Some((start, job::spool(&state.spool, ad).join(name))))
}
