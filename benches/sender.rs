//! The in-job program: its size, which travels with every job; how quickly it writes a container's
//! log, and how much memory it takes meanwhile.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use htc_core::workload::container::{Container, Image, Program, Pull};
use htc_core::workload::spec::{FILE, ImageSettings, JobSpec, VERSION};

use crate::harness::bed_folder;
use crate::table::Row;
use crate::{Rows, first_line};

const BUDGET: usize = 2_000_000;

/// What a container writes: lines of 80 bytes.
const OUTPUT: usize = 1_000_000_000;
const LOG_BUDGET: f64 = 100.0;
const MEMORY_BUDGET: f64 = 10.0;

/// The rows of this subject.
pub fn rows() -> Rows {
    let mut rows = vec![size()?];
    rows.extend(first_line::row("busybox")?);
    rows.extend(log()?);
    Ok(rows)
}

/// How quickly a container's output gets into its log, beside the same output in a plain file.
fn log() -> Rows {
    let folder = tempfile::tempdir_in(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into()));
    let folder = folder.map_err(|e| e.to_string())?;
    let line = "x".repeat(79);
    let script = format!("yes {line} | head -c {OUTPUT}");
    let mut plain = Command::new("sh");
    plain
        .arg("-c")
        .arg(&script)
        .stdout(fs::File::create(folder.path().join("plain")).map_err(|e| e.to_string())?);
    let (raw, _) = timed(plain)?;
    fs::write(folder.path().join(FILE), serde_json::to_vec(&job(&script)).unwrap())
        .map_err(|e| e.to_string())?;
    let mut sender = Command::new(bed_folder().join("bin/htc-sender"));
    sender.arg("run").current_dir(folder.path()).stdout(Stdio::null());
    let (ours, memory) = timed(sender)?;
    let logged = fs::metadata(folder.path().join("log.main.prev")).map_or(0, |meta| meta.len());
    let speed = |took: Duration| OUTPUT as f64 / 1e6 / took.as_secs_f64();
    let verdict = |within| if within { "within" } else { "OVER" };
    let (is_quick, is_small) = (speed(ours) >= LOG_BUDGET, memory <= MEMORY_BUDGET);
    Ok(vec![
        Row {
            name: "output into a log".into(),
            unit: "MB/s",
            raw: Some(speed(raw)),
            ours: Some(speed(ours)),
            n: 1,
            note: format!("raw: into a plain file; {} the budget of {LOG_BUDGET} MB/s", verdict(is_quick)),
            failed: logged == 0,
        },
        Row {
            name: "memory of the sender".into(),
            unit: "MiB",
            raw: None,
            ours: Some(memory),
            n: 1,
            note: format!(
                "both processes at their highest; {} the budget of {MEMORY_BUDGET} MiB",
                verdict(is_small)
            ),
            failed: memory == 0.0,
        },
    ])
}

/// A job without an image that runs this script.
pub fn job(script: &str) -> JobSpec {
    let main = Container {
        name: "main".into(),
        image: Image::Host,
        pull: Pull::IfNotPresent,
        program: Program::Words(["sh", "-c", script].map(Into::into).into()),
        env: vec![],
        working_dir: None,
        mounts: vec![],
        termination_message: None,
    };
    JobSpec {
        version: VERSION,
        key: "bench/0/0/0".parse().unwrap(),
        name: "bench".into(),
        namespace: String::new(),
        init_containers: vec![],
        containers: vec![main],
        volumes: vec![],
        grace_seconds: 30,
        deadline_seconds: None,
        hostname: None,
        registries: vec![],
        events: None,
        max_output_files: htc_core::workload::spec::MAX_OUTPUT_FILES,
        images: ImageSettings::default(),
    }
}

/// How long it took, and the most MiB that it and its first child had meanwhile.
fn timed(mut command: Command) -> Result<(Duration, f64), String> {
    let began = Instant::now();
    let mut child: Child = command.spawn().map_err(|e| e.to_string())?;
    let mut highest = 0.0_f64;
    loop {
        let pid = child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let first = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        highest = highest.max(peak(pid) + first.map_or(0.0, peak));
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            let took = began.elapsed();
            return if status.success() {
                Ok((took, highest))
            } else {
                Err(format!("it ended with {status}"))
            };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `VmHWM` of a process, MiB.
fn peak(pid: u32) -> f64 {
    let status =
        fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn size() -> Result<Row, String> {
    let path = bed_folder().join("bin/htc-sender");
    let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let library = if holds(&bytes, b"GLIBC_TUNABLES") { "glibc" } else { "musl" };
    let linked = if needs_a_loader(&bytes) { "NOT static" } else { "static" };
    let verdict = if bytes.len() <= BUDGET { "within" } else { "OVER" };
    let note = format!("{library}, {linked}; {verdict} the budget of {BUDGET} bytes");
    let ours = Some(bytes.len() as f64);
    Ok(Row { name: "size of the sender".into(), unit: "bytes", raw: None, ours, n: 1, note, failed: false })
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Whether a program header of this 64-bit ELF file is PT_INTERP.
/// <https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html>
fn needs_a_loader(elf: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, size: usize| {
        elf.get(at..at + size)
            .map_or(0, |bytes| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    };
    let (table, size, count) = (number(32, 8) as usize, number(54, 2) as usize, number(56, 2) as usize);
    (0..count).any(|n| number(table + n * size, 4) == PT_INTERP)
}
