//! Workers that could start nothing of the user's. The job has signed that it was so, so nothing is lost by another
//! submission of the same attempt, which passes the machines over for a while.

use htc_core::workload::names::JobKey;
use htc_core::workload::progress::End;
use htc_core::workload::report::Report;

use super::board::{Entry, Finished};
use super::words::shortened;
use crate::condor::ad::Exit;
use crate::condor::submit::PassedOver;
use crate::limits::{MESSAGE_MAX, TROUBLE_MAX, WORKER_PASSED_OVER, WORKER_PASSED_OVER_STEP, WORKERS_TRIED};
pub use crate::store::worker_faults::WorkerFaults;

/// Why a job's worker could start nothing of the user's, where the job says so and its ad agrees.
pub fn fault(exit: Exit, report: Option<&Report>) -> Option<&str> {
    let report = report.filter(|report| report.is_final())?;
    let agrees = |code: &i32| *code != 0 && exit == Exit::Code(*code);
    report.retcode.filter(agrees).and(report.worker_fault.as_deref())
}

/// Whether an index that so many workers have failed is tried on another.
pub fn may_go_on(before: Option<&WorkerFaults>) -> bool {
    before.is_none_or(|before| before.times < WORKERS_TRIED)
}

/// What is kept of the index once the job with this key has failed so, too; none where it was tried elsewhere often
/// enough.
pub fn after(
    before: Option<&WorkerFaults>,
    key: &JobKey,
    machine: Option<&str>,
    why: &str,
    now: i64,
) -> Option<WorkerFaults> {
    if !may_go_on(before) {
        return None;
    }
    let times = before.map_or(0, |before| before.times);
    let mut machines = before.map_or_else(Vec::new, |before| before.machines.clone());
    machines.extend(machine.filter(|name| !machines.iter().any(|known| known == name)).map(str::to_owned));
    Some(WorkerFaults {
        attempt: key.attempt,
        submission: key.submission,
        times: times + 1,
        machines,
        until: until(times, now),
        why: shortened(why.replace(char::is_control, " "), TROUBLE_MAX),
    })
}

/// Longer each time. In steps, so that jobs that fail in one moment go together again.
fn until(times: u32, now: i64) -> i64 {
    let step = WORKER_PASSED_OVER_STEP.as_secs().cast_signed();
    let until = now + (WORKER_PASSED_OVER.as_secs() << times).cast_signed();
    (until / step + 1) * step
}

/// The end of a job, which names all machines where the last of them failed like those before.
pub fn named(end: End, before: Option<&WorkerFaults>, finished: &Finished, report: Option<&Report>) -> End {
    let (Some(before), Some(_)) = (before, fault(finished.exit, report)) else { return end };
    let last = finished.machine.iter().filter(|last| !before.machines.contains(last));
    let machines: Vec<&str> = before.machines.iter().chain(last).map(String::as_str).collect();
    let tail = format!(
        " (in {} submissions no worker could run it; machines: {})",
        before.times + 1,
        if machines.is_empty() { "unknown".to_owned() } else { machines.join(", ") }
    );
    let room = MESSAGE_MAX.saturating_sub(tail.len());
    End { message: format!("{}{tail}", shortened(end.message, room)), ..end }
}

impl WorkerFaults {
    /// What keeps the next submission from these machines.
    pub(super) fn passed_over(&self) -> Option<PassedOver> {
        let WorkerFaults { machines, until, .. } = self;
        (!machines.is_empty()).then(|| PassedOver { machines: machines.clone(), until: *until })
    }
}

impl Entry {
    /// Takes in what an earlier life has kept of an index.
    pub(super) fn remember_faults(&mut self, index: u32, faults: WorkerFaults) {
        if let Some(job) = self.jobs.get_mut(&index).filter(|job| job.end().is_none()) {
            job.goes_elsewhere = faults.is_last(&job.key);
        }
        let has_ended =
            self.rested.get(index).is_some() || self.jobs.get(&index).is_some_and(|job| job.end().is_some());
        if !has_ended {
            self.worker_faults.insert(index, faults);
        }
    }
}

#[cfg(test)]
mod tests {
    use htc_core::workload::progress::{JobId, Outcome};
    use htc_core::workload::report::Phase;
    use jiff::Timestamp;

    use super::*;

    fn key(submission: u32) -> JobKey {
        format!("u/0/0/{submission}").parse().unwrap()
    }

    #[test]
    fn five_times_an_index_goes_elsewhere_and_its_machines_are_passed_over_for_longer_each_time() {
        let (mut known, mut times) = (None, Vec::new());
        for (submission, machine) in ["a", "b", "a", "c", "d", "e"].into_iter().enumerate() {
            let key = key(u32::try_from(submission).unwrap());
            let Some(faults) = after(known.as_ref(), &key, Some(machine), "no\napptainer", 1_000_000) else {
                break;
            };
            assert!(faults.is_last(&key) && faults.why == "no apptainer");
            times.push(faults.until - 1_000_000);
            known = Some(faults);
        }
        let known = known.unwrap();
        assert_eq!((known.times, known.machines.join("")), (5, "abcd".to_owned()));
        let hours: Vec<i64> = times.iter().map(|seconds| seconds / 3_600).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16]);
        assert!(times.iter().all(|seconds| seconds % 3_600 <= 600), "{times:?}");
        let nameless = after(None, &key(0), None, "x", 0).unwrap();
        assert_eq!((nameless.machines.len(), nameless.passed_over()), (0, None));
    }

    #[test]
    fn only_a_last_report_with_the_exit_code_of_the_ad_tells_of_a_worker() {
        let of = |exit, phase, retcode| {
            let report: Report = serde_json::from_value(serde_json::json!({
                "name": "n", "namespace": "", "jobid": null, "retcode": retcode, "key": "u/0/0/0", "start": 1,
                "seq": 1, "now": "2026-01-01T00:00:00Z", "phase": phase, "workerFault": "no apptainer",
                "initContainers": [], "containers": [],
            }))
            .unwrap();
            fault(exit, Some(&report)).is_some()
        };
        assert!(of(Exit::Code(127), Phase::Done, Some(127)));
        assert!(!of(Exit::Code(1), Phase::Done, Some(127)));
        assert!(!of(Exit::Code(0), Phase::Done, Some(0)));
        assert!(!of(Exit::Signal(9), Phase::Done, Some(137)));
        assert!(!of(Exit::Code(127), Phase::Stopping, None));
        assert_eq!(fault(Exit::Code(127), None), None);
    }

    #[test]
    fn the_last_end_names_the_machines_however_long_it_is() {
        let faults = WorkerFaults {
            attempt: 0,
            submission: 4,
            times: 5,
            machines: vec!["a".to_owned(), "b".to_owned()],
            until: 0,
            why: String::new(),
        };
        let report: Report = serde_json::from_value(serde_json::json!({
            "name": "n", "namespace": "", "jobid": null, "retcode": 127, "key": "u/0/0/5", "start": 1, "seq": 1,
            "now": "2026-01-01T00:00:00Z", "phase": "done", "workerFault": "no", "initContainers": [],
            "containers": [],
        }))
        .unwrap();
        let finished = Finished {
            job: JobId { cluster: 1, proc: 0 },
            exit: Exit::Code(127),
            at: Timestamp::UNIX_EPOCH,
            seen: std::time::Instant::now(),
            machine: Some("c".to_owned()),
        };
        let at = Timestamp::UNIX_EPOCH;
        let end = End { outcome: Outcome::CannotRun, message: "x".repeat(MESSAGE_MAX), at };
        let told = named(end.clone(), Some(&faults), &finished, Some(&report)).message;
        assert!(told.ends_with("(in 6 submissions no worker could run it; machines: a, b, c)"), "{told}");
        assert!(told.len() <= MESSAGE_MAX + 3);
        assert_eq!(named(end.clone(), None, &finished, Some(&report)), end);
    }
}
