//! From the start of a job's program to the first line of its user's output, where the worker has the image;
//! beside the same command by apptainer alone, on the same file.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use htc_core::workload::container::{Image, Program};
use htc_core::workload::spec::{FILE, ImageCache, JobSpec};

use crate::Rows;
use crate::harness::bed_folder;
use crate::sender;
use crate::table::{Row, median};

/// What it may take longer than apptainer alone, seconds.
const BUDGET: f64 = 0.3;
/// One after the other, in turns.
const TRIES: usize = 15;
/// It ends when nobody writes to it.
const SCRIPT: &str = "echo begun; exec cat";

/// The row of an image.
pub fn row(name: &str) -> Rows {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into()));
    let folder = tempfile::tempdir_in(home).map_err(|e| e.to_string())?;
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).map_err(|e| e.to_string())?;
    // The first one pulls.
    ours(folder.path(), &cache, name)?;
    let image = find(&cache, "sif").ok_or("the cache has no image")?;
    let (mut raw, mut own) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        own.push(ours(folder.path(), &cache, name)?.as_secs_f64());
        raw.push(plain(&image)?.as_secs_f64());
    }
    let ((raw, _), (own, range)) = (median(raw), median(own));
    let verdict = if own - raw <= BUDGET { "within" } else { "OVER" };
    let note = format!(
        "{range}; {:.0} ms over apptainer alone, {verdict} the budget of {:.0} ms",
        (own - raw) * 1e3,
        BUDGET * 1e3
    );
    let name = format!("job start -> first line, {name} cached");
    Ok(vec![Row { name, unit: "s", raw: Some(raw), ours: Some(own), n: TRIES, note, failed: false }])
}

/// By the sender: until its log has a line.
fn ours(folder: &Path, cache: &Path, image: &str) -> Result<Duration, String> {
    let scratch = tempfile::tempdir_in(folder).map_err(|e| e.to_string())?;
    let mut job: JobSpec = sender::job(SCRIPT);
    job.containers[0].image = Image::Apptainer(format!("docker://{image}"));
    job.containers[0].program = Program::Words(["sh", "-c", SCRIPT].map(Into::into).into());
    job.images.cache = Some(ImageCache { path: cache.display().to_string(), folder: None, bytes: 1 << 30 });
    fs::write(scratch.path().join(FILE), serde_json::to_vec(&job).unwrap()).map_err(|e| e.to_string())?;
    let mut command = Command::new(bed_folder().join("bin/htc-sender"));
    command.arg("run").current_dir(scratch.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let log = scratch.path().join("log.main");
    let said = || fs::metadata(&log).is_ok_and(|meta| meta.len() > 0);
    let took = until(began, said);
    let report = || fs::read_to_string(scratch.path().join("result.json")).unwrap_or_default();
    child.wait().map_err(|e| e.to_string())?;
    took.ok_or_else(|| format!("no line in {:?}: {}", began.elapsed(), report()))
}

/// By apptainer alone: until its output has a line.
fn plain(image: &Path) -> Result<Duration, String> {
    let mut command = Command::new("apptainer");
    command.args(["exec", "--contain", "--ipc", "--pid", "--cleanenv", "--writable-tmpfs"]);
    command
        .arg(image)
        .args(["sh", "-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let mut first = [0];
    let read = child.stdout.take().ok_or("no output")?.read_exact(&mut first);
    let took = began.elapsed();
    drop(child.stdin.take());
    child.wait().map_err(|e| e.to_string())?;
    read.map(|()| took).map_err(|e| e.to_string())
}

fn until(began: Instant, is_so: impl Fn() -> bool) -> Option<Duration> {
    while began.elapsed() < Duration::from_secs(60) {
        if is_so() {
            return Some(began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn find(folder: &Path, kind: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, kind),
        false => (path.extension()?.to_str() == Some(kind)).then_some(path),
    })
}
