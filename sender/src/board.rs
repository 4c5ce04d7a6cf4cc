//! What is known of each container, as the report that says it.

use std::collections::BTreeSet;

use htc_core::workload::report::{ContainerState, ContainerStatus, Cut, Phase, Report};
use htc_core::workload::spec::JobSpec;
use jiff::Timestamp;

use crate::job_ad::JobAd;
use crate::reporter::Reporter;
use crate::tidy::Found;

/// The exit code of a job that was asked to end: that of a process that SIGTERM ended.
pub const STOPPED: i32 = 128 + 15;

/// The state of all containers, init containers first: their numbers count through both lists.
pub struct Board {
    report: Report,
    /// The numbers of the containers that this worker could not start through a fault of its own.
    blamed: BTreeSet<usize>,
    reporter: Option<Reporter>,
}

impl Board {
    /// Nothing has started.
    pub fn new(job: &JobSpec, ad: JobAd, reporter: Option<Reporter>) -> Board {
        let waiting = |name: &String| {
            let state =
                ContainerState::Waiting { reason: "PodInitializing".to_owned(), message: String::new() };
            ContainerStatus { name: name.clone(), state }
        };
        let report = Report {
            name: job.name.clone(),
            namespace: job.namespace.clone(),
            jobid: ad.id,
            retcode: None,
            key: job.key.clone(),
            start: ad.start,
            seq: 0,
            now: Timestamp::now(),
            phase: Phase::Preparing,
            cut: None,
            worker_fault: None,
            left_out: None,
            init_containers: job.init_containers.iter().map(|c| waiting(&c.name)).collect(),
            containers: job.containers.iter().map(|c| waiting(&c.name)).collect(),
        };
        Board { report, blamed: BTreeSet::new(), reporter }
    }

    /// Changes the state of a container; [`Board::tell`] makes it known.
    pub fn set(&mut self, number: usize, state: ContainerState) {
        let inits = self.report.init_containers.len();
        let status = match number.checked_sub(inits) {
            None => self.report.init_containers.get_mut(number),
            Some(number) => self.report.containers.get_mut(number),
        };
        if let Some(status) = status {
            status.state = state;
        }
    }

    /// Notes whether this worker is at fault that a container was not started.
    pub fn blame(&mut self, number: usize, is_workers: bool) {
        if is_workers {
            self.blamed.insert(number);
        }
    }

    /// Why this worker could start nothing of the user's, where that is nothing but its own fault.
    fn worker_fault(&self) -> Option<String> {
        let statuses = self.report.init_containers.iter().chain(&self.report.containers).enumerate();
        let mut fault = None;
        for (number, status) in statuses {
            match &status.state {
                ContainerState::Terminated { started_at: None, message, .. }
                    if self.blamed.contains(&number) =>
                {
                    fault.get_or_insert_with(|| message.clone());
                }
                ContainerState::Waiting { .. } => {}
                // It has started, or would fail anywhere.
                ContainerState::Terminated { .. } | ContainerState::Running { .. } => return None,
            }
        }
        fault.filter(|_| self.report.phase == Phase::Done && self.report.cut.is_none())
    }

    /// Changes the phase. Once the job was asked to end, that is the phase for good.
    pub fn set_phase(&mut self, phase: Phase) {
        if self.report.phase != Phase::Stopping {
            self.report.phase = phase;
        }
    }

    /// The job has reached a limit; the first one is why it ends.
    pub fn cut(&mut self, cut: Cut) {
        self.report.cut.get_or_insert(cut);
    }

    /// What became of the outputs. Too many of them are a failure, unless there is one already, which then keeps
    /// the first word.
    pub fn tidied(&mut self, found: &Found) {
        let has_failed = self.exit_code() != 0;
        match found.excess {
            Some(excess) if !has_failed => self.cut(Cut::Outputs { excess }),
            _ => {}
        }
        let excess = found.excess.filter(|_| has_failed).map(|excess| excess.to_string());
        let told: Vec<String> = excess.into_iter().chain(found.left_out()).collect();
        self.report.left_out = (!told.is_empty()).then(|| told.join("; "));
    }

    /// The limit that it has reached.
    pub fn is_cut(&self) -> Option<&Cut> {
        self.report.cut.as_ref()
    }

    /// Reports the present state.
    pub fn tell(&mut self) {
        self.report.seq += 1;
        self.report.now = Timestamp::now();
        if let Some(reporter) = &self.reporter {
            reporter.publish(self.report.clone().fitted());
        }
    }

    /// The exit code of the job so far: the highest of the containers, or that of an init container
    /// that failed, since nothing was run after it. What was cut short is no success, however well
    /// its containers took it.
    pub fn exit_code(&self) -> i32 {
        let code = |status: &ContainerStatus| match status.state {
            ContainerState::Terminated { exit_code, .. } => exit_code,
            _ => 0,
        };
        let all = self.report.init_containers.iter().chain(&self.report.containers);
        let highest = all.map(code).max().unwrap_or(0);
        if highest == 0 && self.report.cut.is_some() { STOPPED } else { highest }
    }

    /// The last report: the job is done, unless it was asked to end.
    pub fn close(mut self) -> (Report, Option<Reporter>) {
        self.set_phase(Phase::Done);
        self.report.retcode = (self.report.phase == Phase::Done).then(|| self.exit_code());
        self.report.worker_fault = self.worker_fault();
        self.tell();
        (self.report.fitted(), self.reporter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let container = |name: &str| {
            format!(
                r#"{{"name":"{name}","image":"host","program":{{"words":[]}},"env":[],"workingDir":null,"mounts":[]}}"#
            )
        };
        let job = format!(
            r#"{{"version":1,"key":"u/0/0/0","name":"n","namespace":"d","initContainers":[{}],
            "containers":[{},{}],"volumes":[],"graceSeconds":1}}"#,
            container("i"),
            container("a"),
            container("b")
        );
        Board::new(&serde_json::from_str(&job).unwrap(), JobAd { id: None, start: 2 }, None)
    }

    fn ended(exit_code: i32) -> ContainerState {
        ContainerState::Terminated {
            exit_code,
            signal: None,
            reason: "Error".to_owned(),
            message: String::new(),
            started_at: None,
            finished_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_job_has_the_highest_code_of_its_containers() {
        let mut board = board();
        for (number, code) in [(0, 0), (1, 3), (2, 137)] {
            board.set(number, ended(code));
        }
        let (report, _) = board.close();
        assert_eq!((report.retcode, report.phase, report.order()), (Some(137), Phase::Done, (2, 1)));
    }

    fn started(exit_code: i32) -> ContainerState {
        let ContainerState::Terminated { signal, reason, message, finished_at, .. } = ended(exit_code) else {
            unreachable!()
        };
        let started_at = Some(finished_at);
        ContainerState::Terminated { exit_code, signal, reason, message, started_at, finished_at }
    }

    #[test]
    fn a_worker_is_at_fault_only_where_nothing_has_started_and_nothing_else_has_failed() {
        let fault = |states: [(ContainerState, bool); 3], asked: bool| {
            let mut board = board();
            for (number, (state, is_workers)) in states.into_iter().enumerate() {
                board.set(number, state);
                board.blame(number, is_workers);
            }
            if asked {
                board.set_phase(Phase::Stopping);
            }
            board.close().0.worker_fault
        };
        let waits = || (ContainerState::Waiting { reason: String::new(), message: String::new() }, false);
        let lacks = || (ended(127), true);
        assert_eq!(fault([lacks(), waits(), waits()], false), Some(String::new()));
        assert_eq!(fault([lacks(), lacks(), lacks()], false), Some(String::new()));
        assert_eq!(fault([lacks(), lacks(), (ended(127), false)], false), None, "one has no such command");
        assert_eq!(fault([(started(0), false), lacks(), lacks()], false), None, "an init container has run");
        assert_eq!(fault([waits(), lacks(), (started(1), false)], false), None);
        assert_eq!(fault([waits(), waits(), waits()], false), None);
        assert_eq!(fault([lacks(), waits(), waits()], true), None, "it was asked to end");
    }

    #[test]
    fn a_job_that_was_asked_to_end_never_says_that_it_is_done() {
        let mut board = board();
        board.set_phase(Phase::Stopping);
        board.set(0, ended(143));
        board.set_phase(Phase::Running);
        assert_eq!(board.exit_code(), 143);
        let (report, _) = board.close();
        assert_eq!((report.retcode, report.phase), (None, Phase::Stopping));
    }
}
