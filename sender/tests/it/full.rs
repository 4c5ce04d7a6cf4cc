//! A disk that a container fills: what is written is whole, what is missing is counted, and how the job ended
//! comes out.

use std::fs::{self, File};
use std::process::Command;

use htc_core::events::job_key;
use htc_core::result;
use htc_core::workload::container::Image;
use htc_core::workload::report::Report;
use htc_core::workload::spec::FILE;

use crate::reports::events;
use crate::scratch::{Scratch, job};

/// Runs the sender on a disk of 1 MiB that only it sees, and copies what comes home from there.
const RUN: &str = r#"mount -t tmpfs -o size=1m tmpfs disk && cp job.json disk/ && cd disk || exit 99
"$0" run; code=$?; cp result.json log.main ..; exit $code"#;

const UNSHARED: [&str; 3] = ["--user", "--map-root-user", "--mount"];

/// Runs a script there; `@out` stands for the file with what the sender says. Gives the exit code too, or
/// nothing where this machine's users may not mount anything.
fn on_a_small_disk(script: &str) -> Option<(Scratch, i32)> {
    if !Command::new("unshare").args(UNSHARED).arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: unshare --user --mount is not allowed here");
        return None;
    }
    let scratch = Scratch::new();
    let out = scratch.path().join("sender.out").display().to_string();
    let mut job = job(Image::Host, &["sh", "@script"], &script.replace("@out", &out));
    job.events = Some(events(None, None));
    scratch.write(FILE, &serde_json::to_vec(&job).unwrap());
    fs::create_dir(scratch.path().join("disk")).unwrap();
    let run = scratch.start_as(|command| {
        let mut unshare = Command::new("unshare");
        unshare.args(UNSHARED).args(["sh", "-c", RUN]).arg(command.get_program());
        let said = || File::options().append(true).open(&out).unwrap();
        unshare.current_dir(scratch.path()).stdout(said()).stderr(said());
        *command = unshare;
    });
    let code = run.wait().code();
    Some((scratch, code))
}

/// The last report, which this job has signed.
fn signed(scratch: &Scratch) -> Report {
    let bytes = fs::read(scratch.path().join("result.json")).unwrap();
    let key = "u/7/0/0".parse().unwrap();
    result::read(&bytes, &key, |id| (id == "k").then(|| job_key(b"master", &key))).unwrap()
}

/// The numbers in the log, and how many records it says are lost. Every record is whole.
fn numbers(scratch: &Scratch) -> (Vec<u64>, u64) {
    let (mut there, mut lost) = (Vec::new(), 0);
    for record in scratch.read("log.main").lines() {
        let words: Vec<&str> = record.split(' ').collect();
        match words[..] {
            [_, "stdout", "F", number] => there.push(number.parse().unwrap()),
            [_, "stderr", "F", "htc-sender:", count, "records", ..] => lost += count.parse::<u64>().unwrap(),
            _ => panic!("{record:?}"),
        }
    }
    (there, lost)
}

#[test]
fn a_full_disk_does_not_hide_how_the_job_ended() {
    let script = "seq 100; cat /dev/zero > ../fill 2>&-; seq 101 20000; exit 3";
    let Some((scratch, code)) = on_a_small_disk(script) else { return };
    let report = signed(&scratch);
    assert_eq!(
        (code, report.retcode, report.is_final()),
        (3, Some(3), true),
        "{}",
        scratch.read("sender.out")
    );
    // There was never room to say it in the log.
    let (there, lost) = numbers(&scratch);
    let missing = 20_000 - there.len();
    assert_eq!((there.last().copied(), lost), (Some(there.len() as u64), 0));
    let said = scratch.read("sender.out");
    assert!(said.contains(&format!("{missing} records of log.main are lost: No space left")), "{said}");
}

#[test]
fn what_a_full_disk_takes_of_a_log_is_counted_and_no_record_is_torn() {
    let script = "seq 100; cat /dev/zero > ../fill 2>&-; seq 101 20000
                  until grep -q lost @out; do :; done; rm ../fill; seq 20001 20100";
    let Some((scratch, code)) = on_a_small_disk(script) else { return };
    assert_eq!(code, 0, "{}", scratch.read("sender.out"));
    let (there, lost) = numbers(&scratch);
    assert!(lost > 0 && there.is_sorted() && there.last() == Some(&20_100));
    assert_eq!(there.len() as u64 + lost, 20_100);
}
