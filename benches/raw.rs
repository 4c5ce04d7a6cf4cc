//! The alternative: `condor_submit` by hand, with the folders and the descriptions that ours have.

use std::path::{Path, PathBuf};
use std::time::Instant;

use htc_core::events;
use htc_core::workload::spec::{self, Events, ImageSettings, JobSpec, Route};
use htc_operator::condor::cli::{Call, run};
use htc_operator::condor::submit::{Row, Terms, description};
use htc_operator::engine::files::{make_folder, write_private};
use htc_operator::limits::SUBMIT_DEADLINE;

use crate::queue::{Corner, Took};
use crate::work::{key, workload};

/// Submits `n` jobs, `at_once` in a call; how long it took until all were staged. Files are written
/// before the clock starts.
pub async fn submit(
    corner: &Corner,
    sender: &Path,
    round: &str,
    n: usize,
    at_once: usize,
) -> Result<Took, String> {
    let rows: Vec<Row> = (0..n).map(|n| row(corner, round, n)).collect();
    let files: Vec<PathBuf> = rows
        .chunks(at_once)
        .enumerate()
        .map(|(n, rows)| {
            let file = corner.folder.join(format!("{round}.{n}.submit"));
            write_private(&file, description(&corner.queue.instance, sender, None, None, rows).as_bytes())
                .unwrap();
            file
        })
        .collect();
    let began = Instant::now();
    for file in files {
        let arguments = ["-terse", "-spool", &file.display().to_string()].map(str::to_owned).to_vec();
        let pool = &corner.queue.pool;
        let call = Call { tool: "condor_submit", arguments, pool, deadline: SUBMIT_DEADLINE };
        run(call).await.map_err(|e| e.to_string())?;
    }
    Ok(corner.queue.until_staged_now(n).await?.since(began))
}

fn row(corner: &Corner, round: &str, n: usize) -> Row {
    let (key, name) = (key(round, n), format!("raw-{n}"));
    let (workload, folder) = (workload(&name), corner.folder.join(round).join(n.to_string()));
    let route =
        Route { url: "http://127.0.0.1:1".to_owned(), source: events::DEFAULT_SOURCE.to_owned(), ca: None };
    let key_id = "k1".to_owned();
    let events = Events { key_id, key: events::job_key(&[7; 32], &key), route: Some(route) };
    make_folder(&folder).unwrap();
    let folder = folder.display().to_string();
    let job = JobSpec::new(
        &workload,
        &corner.queue.instance,
        key.clone(),
        &folder,
        Some(events),
        &ImageSettings::default(),
        spec::MAX_OUTPUT_FILES,
    );
    write_private(&Path::new(&folder).join(spec::FILE), &serde_json::to_vec(&job).unwrap()).unwrap();
    let (namespace, name) = (corner.queue.instance.clone(), name);
    Row { key, folder, namespace, name, terms: Terms::from(&workload) }
}
